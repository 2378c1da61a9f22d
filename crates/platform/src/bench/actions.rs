//! `cornjacket bench actions`: from strange samples to signed webhooks, decisions, deliveries, and one dead endpoint among many.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use anyhow::Context;
use cornjacket_domain::{Partitions, SystemClock};
use cornjacket_proto::actions::{
    CreateEndpointRequest, CreateRuleRequest, Endpoint, GetEndpointRequest, Rule, UpdateEndpointRequest,
    Webhook, endpoint,
};
use cornjacket_store::Store;
use tokio::time::Instant;

use super::catch_up::until_caught_up;
use super::load::{self, Latencies, Measured};
use super::receiver::{Arrival, DEAD, Receiver};
use super::report::Report;
use super::scratch::Postgres;
use super::server::Server;
use super::{Options, anomalies, cpu, workload};
use crate::config::Settings;

/// Events that are told of, events that are not, how many of them in a call, and calls at once.
const MEANT: usize = 40_000;
const NOT_MEANT: usize = 400_000;
const BATCH: usize = 5_000;
const CALLERS: usize = 3;
/// Endpoints, events a second that each tell one of them, and how many there are.
const ENDPOINTS: usize = 100;
const RATE: u32 = 100;
const TOLD: usize = 2_000;
const EVERY_ROLE: &str = "ingest,relay,projector,inference,query,actions";
/// Conditions that all events meet, and none. Both have to be evaluated.
const ALL: &str = "event.sensor_reading.measurements.exists(m, m.value < 1000.0)";
const NONE: &str = "event.sensor_reading.measurements.exists(m, m.value > 1000.0)";
/// Receivers on this machine are allowed, and not limited; their secrets are kept under a key that is good for nothing else.
const ACTIONS: [(&str, &str); 3] = [
    ("ACTIONS__ALLOW", "[\"127.0.0.1\"]"),
    ("ACTIONS__ATTEMPTS_PER_MINUTE", "0"),
    ("ACTIONS__SECRET_KEY", "YSBrZXkgZm9yIGJlbmNobWFya3MgYW5kIG5vIG1vcmU="),
];

/// Measures, prints a table, and writes the figures.
pub async fn run(settings: &Settings, options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(settings.store.url.starts_with("postgres"), "store.url: must name a PostgreSQL");
    anyhow::ensure!(settings.bus.url.starts_with("kafka"), "bus.url: must name a Kafka");
    let (postgres, bus) = (Postgres::connect(&settings.store.url).await?, settings.bus.url.as_str());
    let mut report = Report::default();
    for run in 1..=options.runs {
        eprintln!("run {run} of {}", options.runs);
        for part in [Part::Alarms, Part::Decisions, Part::Nothing, Part::AllWell, Part::OneDead] {
            let database = postgres.database("actions").await?;
            let measured = part.measure(&database.socket_url(), bus, &mut report).await;
            database.drop_it().await?;
            measured.with_context(|| format!("{part:?}"))?;
        }
    }
    println!("{}", report.table());
    println!(
        "PostgreSQL, Kafka, every role, the clients and the receiver share the machine. Latency: a hundred of a thousand samples a \
         second are anomalies, each of which a rule tells: from the sample's receipt to its signed webhook. Decisions: {MEANT} \
         events that were stored already and all are told of, and {NOT_MEANT} of which none is, by the seconds of processor time \
         that the deciding process used. Deliveries: to one \
         endpoint that answers at once. Dead: {RATE} events a second tell one of {ENDPOINTS} endpoints each; the p99 of those that \
         answer, when all do and when one never does."
    );
    options.json.as_ref().map_or(Ok(()), |path| report.write_json(path))
}

/// What is measured on a database of its own.
#[derive(Clone, Copy, Debug)]
enum Part {
    Alarms,
    Decisions,
    Nothing,
    AllWell,
    OneDead,
}

impl Part {
    async fn measure(self, url: &str, bus: &str, report: &mut Report) -> anyhow::Result<()> {
        match self {
            Self::Alarms => alarms(url, bus, report).await,
            Self::Decisions => decisions(url, report).await,
            Self::Nothing => passed_over(url, report).await,
            Self::AllWell => among_many(url, bus, None, report).await,
            Self::OneDead => among_many(url, bus, Some(ENDPOINTS / 2), report).await,
        }
    }
}

/// On the bus of that URL, with topics of its own, or on the embedded one.
async fn start(url: &str, roles: &str, bus: Option<&str>) -> anyhow::Result<Server> {
    let prefix = format!("bench-{}-", uuid::Uuid::now_v7());
    let bus = [("BUS__URL", bus.unwrap_or("embedded:")), ("BUS__TOPIC_PREFIX", &prefix)];
    Server::start(url, roles, &[&ACTIONS[..], &bus].concat()).await
}

/// An endpoint that the receiver verifies, where it answers.
async fn make_endpoint(
    server: &Server,
    receiver: &Receiver,
    endpoint: Endpoint,
    path: &str,
) -> anyhow::Result<()> {
    let webhook = Webhook { url: receiver.url(path), ..Webhook::default() };
    let endpoint = Endpoint { channel: Some(endpoint::Channel::Webhook(webhook)), ..endpoint };
    let made =
        server.actions().await?.create_endpoint(CreateEndpointRequest { endpoint: Some(endpoint) }).await?;
    receiver.verify_by(path, &made.into_inner().verification_key)
}

/// A rule that tells of every event that it means.
async fn make_rule(server: &Server, rule: Rule) -> anyhow::Result<()> {
    let rule = Rule { deduplication_window: Some(prost_types::Duration::default()), ..rule };
    server.actions().await?.create_rule(CreateRuleRequest { rule: Some(rule) }).await?;
    Ok(())
}

fn named(name: &str) -> Endpoint {
    Endpoint { name: name.to_owned(), slots: 64, ..Endpoint::default() }
}

fn rule(name: &str, event_type: &str, endpoint: &str) -> Rule {
    Rule {
        name: name.to_owned(),
        types: vec![event_type.to_owned()],
        endpoints: vec![endpoint.to_owned()],
        ..Rule::default()
    }
}

/// From the receipts of strange samples to the webhooks that tell of their anomalies.
async fn alarms(url: &str, bus: &str, report: &mut Report) -> anyhow::Result<()> {
    let (server, mut receiver) = (start(url, EVERY_ROLE, Some(bus)).await?, Receiver::start().await?);
    anomalies::register(&server).await?;
    make_endpoint(&server, &receiver, named("pager"), "pager").await?;
    make_rule(&server, rule("anomalies", "ai.anomaly_detected", "pager")).await?;
    let ingest = server.client().await?;
    let mut measure = async |numbers: Range<usize>| {
        let due = numbers.clone().filter(|number| anomalies::is_strange(*number)).count();
        let of_cause = |arrival: &Arrival| arrival.event["data"]["causeId"].as_str().map(str::to_owned);
        let began = Instant::now();
        let (sent, arrived) =
            tokio::try_join!(anomalies::send(&ingest, numbers), arrivals(&mut receiver, due, of_cause))?;
        latencies(&sent, &arrived, began)
    };
    // As in `e2e`, the start is not what is measured.
    measure(0..anomalies::SAMPLES).await?;
    let measured = measure(anomalies::SAMPLES..2 * anomalies::SAMPLES).await?;
    let (p50, p99) = (measured.quantile_ms(0.5), measured.quantile_ms(0.99));
    eprintln!("{:.0} alarms/s: p50 {p50:.1} ms, p99 {p99:.1} ms", measured.per_second());
    report.add("act.e2e_p50_ms", "ms", p50);
    report.add("act.e2e_p99_ms", "ms", p99);
    server.stop().await
}

/// When so many were told, by what they are known by.
async fn arrivals(
    receiver: &mut Receiver,
    due: usize,
    known_by: impl Fn(&Arrival) -> Option<String>,
) -> anyhow::Result<HashMap<String, Instant>> {
    let mut arrived = HashMap::new();
    while arrived.len() < due {
        let next = receiver.next().await.with_context(|| format!("{} webhooks of {due}", arrived.len()))?;
        let id = known_by(&next).with_context(|| format!("what is told has an id: {}", next.event))?;
        arrived.entry(id).or_insert(next.at);
    }
    Ok(arrived)
}

fn latencies(
    sent: &[(String, Instant)],
    arrived: &HashMap<String, Instant>,
    began: Instant,
) -> anyhow::Result<Measured> {
    let mut latencies = Latencies::default();
    for (id, accepted) in sent {
        let arrived = arrived.get(id).with_context(|| format!("nothing is told of {id}"))?;
        // The receipt may be the one that comes later.
        latencies.extend([arrived.saturating_duration_since(*accepted)]);
    }
    Ok(Measured { events: sent.len(), took: began.elapsed(), latencies: latencies.into_histogram() })
}

/// Decides on what is stored and meant, and tells it.
async fn decisions(url: &str, report: &mut Report) -> anyhow::Result<()> {
    let mut receiver = Receiver::start().await?;
    let (server, decided) = catch_up(url, &receiver, ALL, MEANT).await?;
    report.add("act.decisions_per_s", "events/s", decided);
    enable(&server, "fast").await?;
    let began = Instant::now();
    arrivals(&mut receiver, MEANT, |one| one.event["id"].as_str().map(str::to_owned)).await?;
    let took = began.elapsed().as_secs_f64();
    report.add("act.deliveries_per_s", "deliveries/s", per_second(MEANT, took));
    server.stop().await
}

/// Decides on what is stored, and not meant.
async fn passed_over(url: &str, report: &mut Report) -> anyhow::Result<()> {
    let (server, decided) = catch_up(url, &Receiver::start().await?, NONE, NOT_MEANT).await?;
    report.add("act.passed_over_per_s", "events/s", decided);
    server.stop().await
}

/// A process that has decided on so many events that were stored before it was started, and how many of them in a second of its
/// processor time. The endpoint `fast` is disabled.
async fn catch_up(
    url: &str,
    receiver: &Receiver,
    condition: &str,
    events: usize,
) -> anyhow::Result<(Server, f64)> {
    let server = start(url, "ingest,actions", None).await?;
    make_endpoint(&server, receiver, Endpoint { disabled: true, ..named("fast") }, "fast").await?;
    let rule = Rule { condition: condition.to_owned(), ..rule("readings", "sensor.reading", "fast") };
    make_rule(&server, rule).await?;
    server.stop().await?;
    let server = start(url, "ingest", None).await?;
    load::batches(&server, workload::history(events, BATCH), CALLERS).await?;
    server.stop().await?;

    let options = cornjacket_store::Options::new(url.to_owned(), Partitions::ONE);
    let store = Store::open(&options, Arc::new(SystemClock)).await?;
    let server = start(url, "actions", None).await?;
    until_caught_up(&store, "actions").await?;
    let decided = per_second(events, cpu::of(server.id()?)?);
    Ok((server, decided))
}

#[allow(clippy::cast_precision_loss, reason = "some hundred thousand")]
fn per_second(events: usize, seconds: f64) -> f64 {
    events as f64 / seconds
}

async fn enable(server: &Server, name: &str) -> anyhow::Result<()> {
    let mut actions = server.actions().await?;
    let found =
        actions.get_endpoint(GetEndpointRequest { name: name.to_owned() }).await?.into_inner().endpoint;
    let endpoint = Endpoint { disabled: false, ..found.context("an endpoint")? };
    actions.update_endpoint(UpdateEndpointRequest { endpoint: Some(endpoint), ..Default::default() }).await?;
    Ok(())
}

/// Each device's events tell an endpoint of its own, one of which may be dead.
async fn among_many(url: &str, bus: &str, dead: Option<usize>, report: &mut Report) -> anyhow::Result<()> {
    let (server, mut receiver) = (start(url, EVERY_ROLE, Some(bus)).await?, Receiver::start().await?);
    for number in 0..ENDPOINTS {
        let name = format!("endpoint-{number}");
        let path = if dead == Some(number) { DEAD } else { &name };
        let usual = Endpoint { name: name.clone(), ..Endpoint::default() };
        make_endpoint(&server, &receiver, usual, path).await?;
        let of_device = vec![workload::device(number)];
        make_rule(&server, Rule { subjects: of_device, ..rule(&name, "sensor.reading", &name) }).await?;
    }
    let ingest = server.client().await?;
    let matters = |number: usize| dead != Some(number % ENDPOINTS);
    let mut measure = async |numbers: Range<usize>| {
        let due = numbers.clone().filter(|number| matters(*number)).count();
        let events = numbers.map(|number| (workload::reading(number % ENDPOINTS), matters(number)));
        let of_event = |arrival: &Arrival| arrival.event["id"].as_str().map(str::to_owned);
        let began = Instant::now();
        let (sent, arrived) =
            tokio::try_join!(load::paced(&ingest, RATE, events), arrivals(&mut receiver, due, of_event))?;
        latencies(&sent, &arrived, began)
    };
    measure(0..TOLD / 4).await?;
    let measured = measure(0..TOLD).await?;
    let key = if dead.is_some() { "act.p99_one_dead_ms" } else { "act.p99_all_well_ms" };
    eprintln!("{key}: {:.1} (p50 {:.1})", measured.quantile_ms(0.99), measured.quantile_ms(0.5));
    report.add(key, "ms", measured.quantile_ms(0.99));
    server.stop().await
}
