//! The clients: batches, streams and single events, as fast as the server answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use cornjacket_proto::events::Event;
use cornjacket_proto::ingest::ingest_service_client::IngestServiceClient;
use cornjacket_proto::ingest::outcome::Result::Receipt;
use cornjacket_proto::ingest::{AppendBatchRequest, AppendRequest, AppendStreamRequest, Outcome};
use futures::StreamExt;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::server::Server;
use super::workload;
use crate::commands::client::Connection;

/// Callers that share a connection.
const CALLERS_PER_CONNECTION: usize = 16;
/// The slowest answer that is told apart, in microseconds.
const SLOWEST: u64 = 60_000_000;

/// What a load did.
#[derive(Debug)]
pub struct Measured {
    /// Events that were acknowledged.
    pub events: usize,
    /// From the first request to the last answer.
    pub took: Duration,
    /// Of each call, in microseconds.
    pub latencies: Histogram<u64>,
}

impl Measured {
    /// Acknowledged events per second.
    #[allow(clippy::cast_precision_loss, reason = "far fewer than 2^52 events")]
    pub fn per_second(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }

    /// The latency that this share of the calls did not exceed, in milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> f64 {
        Duration::from_micros(self.latencies.value_at_quantile(quantile)).as_secs_f64() * 1e3
    }
}

/// Latencies as they come in.
#[derive(Debug)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(histogram())
    }
}

impl Latencies {
    /// Takes them in.
    pub fn extend(&mut self, took: impl IntoIterator<Item = Duration>) {
        took.into_iter().for_each(|took| record(&mut self.0, took));
    }

    /// All of them.
    pub fn into_histogram(self) -> Histogram<u64> {
        self.0
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, SLOWEST, 3).expect("valid bounds")
}

fn record(latencies: &mut Histogram<u64>, took: Duration) {
    latencies.saturating_record(u64::try_from(took.as_micros()).unwrap_or(SLOWEST));
}

fn require_receipt(outcome: &Outcome) -> anyhow::Result<()> {
    match &outcome.result {
        Some(Receipt(_)) => Ok(()),
        other => anyhow::bail!("an event was refused: {other:?}"),
    }
}

/// Single events, `rate` a second whatever comes back when: when those were accepted that matter, by id.
pub async fn paced(
    client: &IngestServiceClient<Connection>,
    rate: u32,
    events: impl IntoIterator<Item = (Event, bool)>,
) -> anyhow::Result<Vec<(String, Instant)>> {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut calls, mut accepted) = (JoinSet::new(), Vec::new());
    for (event, matters) in events {
        ticks.tick().await;
        let mut client = client.clone();
        calls.spawn(async move {
            let id = event.id.clone();
            client.append(AppendRequest { event: Some(event) }).await?;
            anyhow::Ok(matters.then(|| (id, Instant::now())))
        });
        while let Some(call) = calls.try_join_next() {
            accepted.extend(call??);
        }
    }
    while let Some(call) = calls.join_next().await {
        accepted.extend(call??);
    }
    Ok(accepted)
}

/// `AppendBatch`, each batch a call, `callers` at a time on connections of their own.
pub async fn batches(server: &Server, batches: Vec<Vec<Event>>, callers: usize) -> anyhow::Result<Measured> {
    let mut clients = Vec::new();
    for _ in 0..callers {
        clients.push(server.client().await?);
    }
    let clients = Arc::new(std::sync::Mutex::new(clients));
    each(batches, callers, move |events| {
        // There are as many as callers.
        let client = clients.lock().expect("nobody panics with it").pop();
        let clients = clients.clone();
        async move {
            let mut client = client.context("a client")?;
            let response = client.append_batch(AppendBatchRequest { events }).await?;
            clients.lock().expect("nobody panics with it").push(client);
            response.get_ref().outcomes.iter().try_for_each(require_receipt)
        }
    })
    .await
}

/// A call with each batch, the last one first, `callers` at a time.
pub async fn each<C>(
    batches: Vec<Vec<Event>>,
    callers: usize,
    call: impl Fn(Vec<Event>) -> C + Clone + Send + 'static,
) -> anyhow::Result<Measured>
where
    C: Future<Output = anyhow::Result<()>> + Send,
{
    let events = batches.iter().map(Vec::len).sum();
    let queue = Arc::new(std::sync::Mutex::new(batches));
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for _ in 0..callers {
        let (queue, call) = (queue.clone(), call.clone());
        tasks.spawn(async move {
            let mut latencies = histogram();
            loop {
                let next = queue.lock().expect("nobody panics with it").pop();
                let Some(events) = next else { return anyhow::Ok(latencies) };
                let asked = Instant::now();
                call(events).await?;
                record(&mut latencies, asked.elapsed());
            }
        });
    }
    finish(tasks, events, started).await
}

/// `AppendStream`: `streams` streams at once, each with its share of the events. No latencies: events overlap.
pub async fn streams(server: &Server, batches: Vec<Vec<Event>>, streams: usize) -> anyhow::Result<Measured> {
    let events: Vec<Event> = batches.into_iter().flatten().collect();
    let count = events.len();
    let mut shares: Vec<Vec<Event>> = vec![Vec::with_capacity(count / streams + 1); streams];
    for (index, event) in events.into_iter().enumerate() {
        shares[index % streams].push(event);
    }
    let mut tasks = JoinSet::new();
    let started = Instant::now();
    for share in shares {
        let mut client = server.client().await?;
        tasks.spawn(async move {
            let mut open = share.len();
            let requests = share.into_iter().map(|event| AppendStreamRequest { event: Some(event) });
            let mut outcomes = client.append_stream(futures::stream::iter(requests)).await?.into_inner();
            while let Some(response) = outcomes.next().await {
                require_receipt(&response?.outcome.context("an outcome")?)?;
                open -= 1;
            }
            anyhow::ensure!(open == 0, "{open} events of a stream were not answered");
            Ok(histogram())
        });
    }
    finish(tasks, count, started).await
}

/// `Append`: `callers` at once, each one event after the other, for `time`.
pub async fn single(server: &Server, callers: usize, time: Duration) -> anyhow::Result<Measured> {
    let mut clients: Vec<IngestServiceClient<Connection>> = Vec::new();
    for _ in 0..callers.div_ceil(CALLERS_PER_CONNECTION) {
        clients.push(server.client().await?);
    }
    repeat(callers, time, move |number| {
        let mut client = clients[number % clients.len()].clone();
        async move {
            client.append(AppendRequest { event: Some(workload::reading(number)) }).await?;
            Ok(())
        }
    })
    .await
}

/// A call again and again by `callers` at once for `time`, each call with a number of its own.
pub async fn repeat<C>(
    callers: usize,
    time: Duration,
    call: impl Fn(usize) -> C + Clone + Send + 'static,
) -> anyhow::Result<Measured>
where
    C: Future<Output = anyhow::Result<()>> + Send,
{
    let (started, done) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (call, done) = (call.clone(), done.clone());
        tasks.spawn(async move {
            let (mut latencies, mut number) = (histogram(), caller);
            while started.elapsed() < time {
                let asked = Instant::now();
                call(number).await?;
                record(&mut latencies, asked.elapsed());
                done.fetch_add(1, Ordering::Relaxed);
                number += callers;
            }
            Ok(latencies)
        });
    }
    let measured = finish(tasks, 0, started).await?;
    Ok(Measured { events: done.load(Ordering::Relaxed), ..measured })
}

/// Waits for all, and puts together how long their calls took.
pub async fn finish(
    mut tasks: JoinSet<anyhow::Result<Histogram<u64>>>,
    events: usize,
    started: Instant,
) -> anyhow::Result<Measured> {
    let mut latencies = histogram();
    while let Some(task) = tasks.join_next().await {
        latencies.add(task??)?;
    }
    Ok(Measured { events, took: started.elapsed(), latencies })
}
