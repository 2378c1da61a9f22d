//! `cornjacket bench e2e`: from acceptance to the answer of a query, with Kafka in between.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::{Partitions, SystemClock};
use cornjacket_proto::ingest::ingest_service_client::IngestServiceClient;
use cornjacket_proto::ingest::{AppendBatchRequest, AppendRequest};
use cornjacket_proto::query::GetProjectionRequest;
use cornjacket_proto::query::query_service_client::QueryServiceClient;
use cornjacket_store::Store;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::load::{Latencies, Measured};
use super::report::Report;
use super::scratch::Postgres;
use super::server::Server;
use super::{Options, workload};
use crate::commands::client::Connection;
use crate::config::Settings;

/// Events a second while latencies are measured, how many of them are asked for, and what the figures are called.
const LATENCIES: [(u32, usize, &str); 2] = [(1_000, 10, "e2e"), (100, 1, "e2e.at_100")];
const TIME: Duration = Duration::from_secs(15);
/// Rates that are tried, one after the other, until the lag grows.
const RATES: [u32; 7] = [6_000, 8_000, 10_000, 12_000, 15_000, 18_000, 22_000];
/// Batches a second at every rate.
const BATCHES: u32 = 20;
const ROLES: [(&str, &str); 2] = [
    ("e2e.sustained", "ingest,relay,projector"),
    ("e2e.sustained_all_roles", "ingest,relay,projector,inference,query"),
];

/// Measures, prints a table, and writes the figures.
pub async fn run(settings: &Settings, options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(settings.store.url.starts_with("postgres"), "store.url: must name a PostgreSQL");
    anyhow::ensure!(settings.bus.url.starts_with("kafka"), "bus.url: must name a Kafka");
    let postgres = Postgres::connect(&settings.store.url).await?;
    let mut report = Report::default();
    for run in 1..=options.runs {
        eprintln!("run {run} of {}", options.runs);
        let database = postgres.database("latency").await?;
        let measured = latency(&database.socket_url(), &settings.bus.url, &mut report).await;
        database.drop_it().await?;
        measured?;
        for (key, roles) in ROLES {
            let database = postgres.database("sustained").await?;
            let rate = sustained(&database.socket_url(), &settings.bus.url, roles).await;
            database.drop_it().await?;
            report.add(format!("{key}_per_s"), "events/s", f64::from(rate?));
        }
    }
    println!("{}", report.table());
    println!(
        "PostgreSQL, Kafka, every role and the clients share the machine. Latency: at a thousand events a second (and at a \
         hundred), from a receipt to the answer of a query with its token, for a hundred events a second. Sustained: the highest of the rates \
         {RATES:?} at which all is accepted in time and the projections are less than a second behind after {TIME:?}."
    );
    options.json.as_ref().map_or(Ok(()), |path| report.write_json(path))
}

/// All roles on a database and topics of their own.
pub async fn start(url: &str, bus: &str, roles: &str) -> anyhow::Result<Server> {
    let prefix = format!("bench-{}-", uuid::Uuid::now_v7());
    Server::start(url, roles, &[("BUS__URL", bus), ("BUS__TOPIC_PREFIX", &prefix)]).await
}

async fn latency(url: &str, bus: &str, report: &mut Report) -> anyhow::Result<()> {
    let server = start(url, bus, "ingest,relay,projector,inference,query").await?;
    let (ingest, query) = (server.client().await?, server.query().await?);
    // Consumers join their groups at the start, and a Kafka that has just been started compiles itself: that is not what
    // is measured.
    let (rate, asks, _) = LATENCIES[0];
    write_and_read_at(rate, asks, &ingest, &query).await?;
    for (rate, asks, key) in LATENCIES {
        let measured = write_and_read_at(rate, asks, &ingest, &query).await?;
        let (p50, p99) = (measured.quantile_ms(0.5), measured.quantile_ms(0.99));
        eprintln!("{:.0} events/s: p50 {p50:.1} ms, p99 {p99:.1} ms", measured.per_second());
        report.add(format!("{key}.p50_ms"), "ms", p50);
        report.add(format!("{key}.p99_ms"), "ms", p99);
    }
    server.stop().await
}

/// Appends `rate` events a second for a while, and asks for one in `asks` of them.
async fn write_and_read_at(
    rate: u32,
    asks: usize,
    ingest: &IngestServiceClient<Connection>,
    query: &QueryServiceClient<Connection>,
) -> anyhow::Result<Measured> {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut calls, mut latencies) = (JoinSet::new(), Latencies::default());
    let began = Instant::now();
    let mut sent = 0_usize;
    while began.elapsed() < TIME {
        ticks.tick().await;
        calls.spawn(write_and_read(ingest.clone(), query.clone(), sent, sent.is_multiple_of(asks)));
        sent += 1;
        while let Some(call) = calls.try_join_next() {
            latencies.extend(call??);
        }
    }
    while let Some(call) = calls.join_next().await {
        latencies.extend(call??);
    }
    Ok(Measured { events: sent, took: began.elapsed(), latencies: latencies.into_histogram() })
}

/// Appends, and asks until the answer has it: from the receipt to that answer.
async fn write_and_read(
    mut ingest: IngestServiceClient<Connection>,
    mut query: QueryServiceClient<Connection>,
    number: usize,
    asks: bool,
) -> anyhow::Result<Option<Duration>> {
    let event = Some(workload::reading(number));
    let receipt = ingest.append(AppendRequest { event }).await?.into_inner().receipt;
    let accepted = Instant::now();
    if !asks {
        return Ok(None);
    }
    let request = GetProjectionRequest {
        projection: "device_state".into(),
        subject: workload::device(number),
        consistency_token: receipt.unwrap_or_default().consistency_token,
    };
    query.get_projection(request).await?;
    Ok(Some(accepted.elapsed()))
}

/// The highest rate at which nothing falls behind.
async fn sustained(url: &str, bus: &str, roles: &str) -> anyhow::Result<u32> {
    let server = start(url, bus, roles).await?;
    let options = cornjacket_store::Options::new(url.to_owned(), Partitions::ONE);
    let store = Store::open(&options, Arc::new(SystemClock)).await?;
    let mut sustained = 0;
    for rate in RATES {
        let accepted = offer(&server, rate).await?;
        let behind = lag(&store).await?;
        eprintln!("{roles}: {rate}/s offered, {accepted:.0}/s accepted, {behind} behind at the end");
        if accepted < 0.97 * f64::from(rate) || behind > u64::from(rate) {
            break;
        }
        sustained = rate;
        while lag(&store).await? > 0 {
            sleep(Duration::from_millis(100)).await;
        }
    }
    server.stop().await?;
    Ok(sustained)
}

/// Sends at that rate, whatever comes back when: how many a second were accepted.
async fn offer(server: &Server, rate: u32) -> anyhow::Result<f64> {
    let size = (rate / BATCHES) as usize;
    let mut ticks = interval(Duration::from_secs(1) / BATCHES);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (began, client) = (Instant::now(), server.client().await?);
    let (mut calls, mut sent) = (JoinSet::new(), 0);
    while began.elapsed() < TIME {
        ticks.tick().await;
        let (mut client, first) = (client.clone(), sent);
        sent += size;
        let events = (first..sent).map(workload::reading).collect();
        calls.spawn(async move { client.append_batch(AppendBatchRequest { events }).await.map(drop) });
    }
    while let Some(call) = calls.join_next().await {
        call??;
    }
    #[allow(clippy::cast_precision_loss, reason = "some hundred thousand")]
    let sent = sent as f64;
    Ok(sent / began.elapsed().as_secs_f64())
}

/// Events that some consumer of sensor events has not read.
async fn lag(store: &Store) -> anyhow::Result<u64> {
    let head = store.log.head().await?.position;
    let consumers = store.consumers.list().await?;
    let read = consumers.iter().filter(|status| status.at.topic == "sensor-events");
    Ok(head - read.map(|status| status.progress.last_position).min().unwrap_or_default())
}
