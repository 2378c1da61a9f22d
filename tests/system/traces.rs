//! One trace from the caller through log, relay and Kafka to the projection, as an OpenTelemetry collector gets it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use cornjacket_proto::actions::delivery::State;
use cornjacket_proto::ingest::AppendRequest;
use cornjacket_testkit::mosquitto::{Broker, password};
use cornjacket_testkit::shared::unique_name;
use cornjacket_testkit::{Program, wait};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::codec::CompressionEncoding;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::full_stack::FullStack;
use super::gateway::{authorized, traefik};
use super::mqtt::until_running;
use super::receiver::{Answer, Asked, Receiver};
use super::told;

const DEADLINE: Duration = Duration::from_secs(30);
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Every span that was exported.
#[derive(Clone, Debug, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let exported = request.into_inner().resource_spans.into_iter().flat_map(|spans| spans.scope_spans);
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.extend(exported.flat_map(|spans| spans.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    /// The names of the spans that are in the trace, or linked to a span in it.
    fn names(&self) -> BTreeSet<String> {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let in_trace = |id: &[u8]| hex(id) == TRACE;
        let joined =
            |span: &&Span| in_trace(&span.trace_id) || span.links.iter().any(|link| in_trace(&link.trace_id));
        spans.iter().filter(joined).map(|span| span.name.clone()).collect()
    }

    /// All spans of a name.
    fn places(&self, name: &str) -> BTreeSet<String> {
        let spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        spans.iter().filter(|span| span.name == name).map(place).collect()
    }
}

/// A span as those are told of it who go on.
fn place(span: &Span) -> String {
    format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// What leads to a state, beside what is in front of us.
const WAY: [&str; 4] = [
    "cornjacket.ingest.v1.IngestService/Append",
    "append to the log",
    "send events",
    "process sensor-events",
];

/// The caller's place in the trace.
fn traceparent() -> String {
    format!("00-{TRACE}-00f067aa0ba902b7-01")
}

impl Collector {
    /// Listens: the address.
    async fn start(&self) -> anyhow::Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let service = TraceServiceServer::new(self.clone()).accept_compressed(CompressionEncoding::Gzip);
        let server = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(server);
        Ok(address)
    }

    async fn until_whole(&self, expected: &[&str]) -> anyhow::Result<()> {
        let complete = async || expected.iter().all(|name| self.names().contains(*name));
        let waited = wait::until(DEADLINE, "the trace is complete", complete).await;
        anyhow::ensure!(waited.is_ok(), "only {:?} are in the trace", self.names());
        Ok(())
    }
}

fn traced(cornjacket: Cornjacket, collector: &str) -> Cornjacket {
    let endpoint = format!("http://{collector}");
    cornjacket.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).env("OTEL_BSP_SCHEDULE_DELAY", "100")
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_caller_to_the_state() -> anyhow::Result<()> {
    let collector = Collector::default();
    let address = collector.start().await?;
    let cornjacket = traced(FullStack::shared().await?.cornjacket(&[])?, &address);
    let process = cornjacket.start().await?;
    let mut request = Request::new(AppendRequest { event: Some(reading("pump", "traced", 1.0)) });
    request.metadata_mut().insert("traceparent", traceparent().parse()?);
    cornjacket.ingest().await?.append(request).await?;
    collector.until_whole(&WAY).await?;
    stop(process).await
}

/// Traefik has spans of its own in it.
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_traefik_to_the_state() -> anyhow::Result<()> {
    let collector = Collector::default();
    let address = collector.start().await?;
    let cornjacket = traced(FullStack::shared().await?.cornjacket(&[])?, &address);
    let process = cornjacket.start().await?;
    let tracing =
        format!("\ntracing:\n  otlp:\n    grpc:\n      endpoint: {address}\n      insecure: true\n");
    let traefik = traefik(&cornjacket, &tracing).await?;
    let event = r#"{"id": "1", "source": "traced", "type": "sensor.reading", "subject": "pump",
        "sensorReading": {"measurements": [{"metric": "temperature", "value": 1}]}}"#;
    let traceparent = traceparent();
    let headers = [("content-type", "application/json"), ("traceparent", traceparent.as_str())];
    let answer = authorized(traefik.web, "POST /api/v1/ingest/events", &headers, event).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("traceparent").contains(TRACE), "{answer:?}");
    let whole = collector.until_whole(&[&WAY[..], &["ReverseProxy"]].concat()).await;
    whole.with_context(|| traefik.log().unwrap_or_default())?;
    stop(process).await
}

/// So does what a device says in a user property.
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_a_user_property_of_mqtt_to_the_state() -> anyhow::Result<()> {
    let collector = Collector::default();
    let address = collector.start().await?;
    let broker = Broker::get(&["pump-7".to_owned()]).await?;
    let client_id = unique_name("traced");
    let settings =
        [("mqtt.url", broker.url.as_str()), ("mqtt.client_id", &client_id), ("mqtt.lease_ms", "400")];
    let cornjacket = traced(FullStack::shared().await?.cornjacket(&settings)?, &address);
    let process = cornjacket.start().await?;
    until_running(&cornjacket).await?;
    let port = broker.port.to_string();
    let publish =
        Program::new("mosquitto_pub").args(["-V", "mqttv5", "-q", "1", "-h", &broker.host, "-p", &port]);
    let publish = publish.args(["-u", "pump-7", "-P", &password("pump-7")]);
    let publish = publish.args(["-D", "publish", "user-property", "traceparent", &traceparent()]);
    let publish = publish.args(["-t", "cornjacket/v1/pump-7/sensor.reading"]);
    let message = r#"{"id": "traced", "measurements": [{"metric": "temperature", "value": 1}]}"#;
    publish.args(["-m", message]).output(DEADLINE).await?;
    collector.until_whole(&WAY[2..]).await?;
    stop(process).await
}

/// What is told of an event is in the event's trace, and so is what is told again after a failure.
#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_caller_to_every_attempt_at_a_webhook() -> anyhow::Result<()> {
    let collector = Collector::default();
    let address = collector.start().await?;
    let cornjacket = traced(FullStack::shared().await?.cornjacket(&told::SETTINGS)?, &address);
    let process = cornjacket.start().await?;
    // It fails once.
    let receiver = Receiver::start(|number| Answer::Status(if number == 0 { 500 } else { 204 })).await?;
    told::make_endpoint(&cornjacket, told::webhook("pager", &receiver.url())).await?;
    told::make_rule(&cornjacket, told::rule("readings", "sensor.reading", "pager")).await?;
    let mut request = Request::new(AppendRequest { event: Some(reading("pump", "traced", 1.0)) });
    request.metadata_mut().insert("traceparent", traceparent().parse()?);
    cornjacket.ingest().await?.append(request).await?;
    told::until_all_are(&cornjacket, 1, State::Delivered).await?;
    let [first, second] = receiver.asked().try_into().map_err(|all| anyhow::format_err!("{all:?}"))?;
    assert!(second.at > first.at + Duration::from_millis(800), "it waits for a second, or a little less");
    let heard = |asked: &Asked| asked.headers.get("traceparent")?.to_str().ok().map(str::to_owned);
    let heard: BTreeSet<String> = [first, second].iter().filter_map(heard).collect();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert!(heard.iter().all(|one| one.contains(TRACE)), "{heard:?}");
    collector.until_whole(&[&WAY[..], &["deliver to pager"]].concat()).await?;
    // Each attempt is a span of its own, and the receiver is told which.
    let told = || collector.places("deliver to pager");
    wait::until(DEADLINE, "both attempts are exported", async || told().len() == 2).await?;
    assert_eq!(told(), heard);
    stop(process).await
}
