//! `cornjacket bench anomalies`: from the acceptance of a sample to its anomaly in a tail, with Kafka in between.

use std::collections::HashMap;
use std::ops::Range;
use std::time::Duration;

use anyhow::Context;
use cornjacket_proto::admin::{Model, ModelMode, RegisterModelRequest};
use cornjacket_proto::events::Event;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::ingest::ingest_service_client::IngestServiceClient;
use cornjacket_proto::json::to_struct;
use cornjacket_proto::query::tail_events_response::Message;
use cornjacket_proto::query::{TailEventsRequest, TailEventsResponse};
use tokio::time::{Instant, timeout};
use tonic::Streaming;

use super::load::{self, Latencies, Measured};
use super::report::Report;
use super::scratch::Postgres;
use super::server::Server;
use super::{Options, e2e, workload};
use crate::commands::client::Connection;
use crate::config::Settings;

/// Samples a second, and how many.
const RATE: u32 = 1_000;
pub const SAMPLES: usize = 15_000;
/// One sample in so many is an anomaly.
const ONE_IN: usize = 10;
const ORDINARY: f64 = 20.0;
const LIMIT: f64 = 80.0;
const STRANGE: f64 = 99.0;
/// How long anomalies may take that are still on their way when all samples were sent.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Measures, prints a table, and writes the figures.
pub async fn run(settings: &Settings, options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(settings.store.url.starts_with("postgres"), "store.url: must name a PostgreSQL");
    anyhow::ensure!(settings.bus.url.starts_with("kafka"), "bus.url: must name a Kafka");
    let postgres = Postgres::connect(&settings.store.url).await?;
    let mut report = Report::default();
    for run in 1..=options.runs {
        eprintln!("run {run} of {}", options.runs);
        let database = postgres.database("anomalies").await?;
        let measured = measure(&database.socket_url(), &settings.bus.url, &mut report).await;
        database.drop_it().await?;
        measured?;
    }
    println!("{}", report.table());
    println!(
        "PostgreSQL, Kafka, every role and the clients share the machine. {RATE} samples a second of {} devices, each a call; one \
         in {ONE_IN} is beyond the limit of a threshold model: from its receipt to its anomaly in a TailEvents.",
        workload::DEVICES
    );
    options.json.as_ref().map_or(Ok(()), |path| report.write_json(path))
}

async fn measure(url: &str, bus: &str, report: &mut Report) -> anyhow::Result<()> {
    let server = e2e::start(url, bus, "ingest,relay,projector,inference,query").await?;
    register(&server).await?;
    let request = TailEventsRequest { r#type: "ai.anomaly_detected".into(), ..TailEventsRequest::default() };
    let mut tail = server.query().await?.tail_events(request).await?.into_inner();
    let ingest = server.client().await?;
    // As in `e2e`, the start is not what is measured.
    send_and_see(&ingest, &mut tail, 0..SAMPLES).await?;
    let measured = send_and_see(&ingest, &mut tail, SAMPLES..2 * SAMPLES).await?;
    let (p50, p99) = (measured.quantile_ms(0.5), measured.quantile_ms(0.99));
    eprintln!("{:.0} samples/s: p50 {p50:.1} ms, p99 {p99:.1} ms", measured.per_second());
    report.add("infer.e2e_p50_ms", "ms", p50);
    report.add("infer.e2e_p99_ms", "ms", p99);
    server.stop().await
}

/// A threshold, as an operator registers it.
pub async fn register(server: &Server) -> anyhow::Result<()> {
    let model = Model {
        name: "hot".into(),
        detector: "threshold".into(),
        parameters: Some(to_struct(&format!(r#"{{"upper": {LIMIT}}}"#))?),
        mode: ModelMode::Active.into(),
        ..Model::default()
    };
    server.admin().await?.register_model(RegisterModelRequest { model: Some(model) }).await?;
    Ok(())
}

/// Sends samples at the rate, and sees the anomaly of each that is one.
async fn send_and_see(
    ingest: &IngestServiceClient<Connection>,
    tail: &mut Streaming<TailEventsResponse>,
    numbers: Range<usize>,
) -> anyhow::Result<Measured> {
    let (count, due) = (numbers.len(), numbers.clone().filter(|number| is_strange(*number)).count());
    let began = Instant::now();
    let (accepted, seen) = tokio::try_join!(send(ingest, numbers), see(tail, due))?;
    let mut latencies = Latencies::default();
    for (id, accepted) in accepted {
        let seen = seen.get(&id).with_context(|| format!("no anomaly of {id}"))?;
        // The receipt may be the one that comes later.
        latencies.extend([seen.saturating_duration_since(accepted)]);
    }
    Ok(Measured { events: count, took: began.elapsed(), latencies: latencies.into_histogram() })
}

/// Each device is beyond the limit every tenth time, and not all of them at once.
pub const fn is_strange(number: usize) -> bool {
    (number / workload::DEVICES + number).is_multiple_of(ONE_IN)
}

/// When the samples were accepted that are beyond the limit, by id.
pub async fn send(
    ingest: &IngestServiceClient<Connection>,
    numbers: Range<usize>,
) -> anyhow::Result<Vec<(String, Instant)>> {
    let samples = numbers.map(|number| {
        let strange = is_strange(number);
        (workload::reading_of(number, if strange { STRANGE } else { ORDINARY }), strange)
    });
    load::paced(ingest, RATE, samples).await
}

/// When so many anomalies were seen, by the ids of their causes.
async fn see(
    tail: &mut Streaming<TailEventsResponse>,
    due: usize,
) -> anyhow::Result<HashMap<String, Instant>> {
    let mut seen = HashMap::new();
    while seen.len() < due {
        let response = timeout(DEADLINE, tail.message());
        let response = response.await.with_context(|| format!("{} anomalies of {due}", seen.len()))??;
        if let Some(Message::Event(event)) = response.context("the tail goes on")?.message {
            seen.insert(cause(event)?, Instant::now());
        }
    }
    Ok(seen)
}

fn cause(event: Event) -> anyhow::Result<String> {
    match event.payload {
        Some(Payload::AnomalyDetected(anomaly)) => Ok(anomaly.cause_id),
        other => anyhow::bail!("no anomaly: {other:?}"),
    }
}
