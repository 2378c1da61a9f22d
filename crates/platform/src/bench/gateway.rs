//! `cornjacket bench gateway`: durable ingest as JSON over HTTP beside the same over gRPC, tokens checked on both.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use cornjacket_proto::events::Event;
use cornjacket_proto::events::event::Payload;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::json;

use super::load::{self, Measured};
use super::report::Report;
use super::scratch::Postgres;
use super::server::Server;
use super::{Options, workload};
use crate::config::Settings;

const ROLES: &str = "ingest,query,gateway";
const BATCH: usize = 5_000;
const BATCHES: usize = 40;
const BATCH_CALLERS: usize = 3;
const CALLERS: usize = 64;
const TIME: Duration = Duration::from_secs(5);

/// Measures, prints a table, and writes the figures.
pub async fn run(settings: &Settings, options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(settings.store.url.starts_with("postgres"), "store.url: must be postgres://…");
    let postgres = Postgres::connect(&settings.store.url).await?;
    let mut report = Report::default();
    for run in 1..=options.runs {
        eprintln!("run {run} of {}", options.runs);
        let database = postgres.database("gateway").await?;
        let measured = measure(&database.socket_url(), &mut report).await;
        database.drop_it().await?;
        measured?;
    }
    println!("{}", report.table());
    println!(
        "Clients run on the same machine and are part of every figure. {CALLERS} callers send single events, \
         {BATCH_CALLERS} send batches of {BATCH}."
    );
    options.json.as_ref().map_or(Ok(()), |path| report.write_json(path))
}

async fn measure(url: &str, report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(url, ROLES, &[]).await?;
    let http = Arc::new(Http::new(&server));
    // Connections, caches and today's partitions are not what is measured.
    load::batches(&server, workload::batches(2, BATCH), 1).await?;
    http.batches(2, 1).await?;
    let grpc = load::single(&server, CALLERS, TIME).await?;
    let json = http.single(CALLERS, TIME).await?;
    ratio(report, "unary", &grpc, &json);
    let grpc = load::batches(&server, workload::batches(BATCHES, BATCH), BATCH_CALLERS).await?;
    let json = http.batches(BATCHES, BATCH_CALLERS).await?;
    ratio(report, "batch", &grpc, &json);
    report.add("gateway.memory_after_load_mb", "MiB", server.memory_mib()?);
    server.stop().await
}

fn ratio(report: &mut Report, what: &str, grpc: &Measured, json: &Measured) {
    report.add(format!("grpc.{what}_per_s"), "events/s", grpc.per_second());
    report.add(format!("gateway.{what}_per_s"), "events/s", json.per_second());
    report.add(format!("grpc.{what}_p99_ms"), "ms", grpc.quantile_ms(0.99));
    report.add(format!("gateway.{what}_p99_ms"), "ms", json.quantile_ms(0.99));
    report.add(format!("gateway.{what}_vs_grpc"), "ratio", json.per_second() / grpc.per_second());
}

/// A client of the gateway, with as many connections as it has callers.
pub(super) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    url: String,
    authorization: String,
}

impl Http {
    pub(super) fn new(server: &Server) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        let url = format!("http://{}/api/v1/ingest/events", server.gateway);
        Self { client, url, authorization: server.authorization() }
    }

    async fn post(&self, verb: &str, body: String) -> anyhow::Result<Bytes> {
        let request = Request::post(format!("{}{verb}", self.url))
            .header(AUTHORIZATION, &self.authorization)
            .header(CONTENT_TYPE, "application/json");
        let response = self.client.request(request.body(Full::new(body.into()))?).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        anyhow::ensure!(status.is_success(), "{status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }

    /// `Append` as JSON, as [`load::single`] does it.
    pub(super) async fn single(self: &Arc<Self>, callers: usize, time: Duration) -> anyhow::Result<Measured> {
        let http = self.clone();
        load::repeat(callers, time, move |number| {
            let http = http.clone();
            async move { http.post("", as_json(&workload::reading(number)).to_string()).await.map(drop) }
        })
        .await
    }

    /// Each caller has its share of the batches.
    async fn batches(self: &Arc<Self>, count: usize, callers: usize) -> anyhow::Result<Measured> {
        let http = self.clone();
        load::each(workload::batches(count, BATCH), callers, move |events| {
            let http = http.clone();
            async move {
                let events: Vec<_> = events.iter().map(as_json).collect();
                let answer = http.post(":batch", json!({ "events": events }).to_string()).await?;
                anyhow::ensure!(!contains(&answer, b"\"error\""), "an event was refused");
                Ok(())
            }
        })
        .await
    }
}

fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

/// As a client without our types writes it.
fn as_json(event: &Event) -> serde_json::Value {
    let Some(Payload::SensorReading(reading)) = &event.payload else { return serde_json::Value::Null };
    let measurement = |one: &cornjacket_proto::events::Measurement| json!({"metric": one.metric, "value": one.value, "unit": one.unit});
    let measurements: Vec<_> = reading.measurements.iter().map(measurement).collect();
    json!({"id": event.id, "source": event.source, "type": event.r#type, "subject": event.subject,
        "sensorReading": {"measurements": measurements}})
}
