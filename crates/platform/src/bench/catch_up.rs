//! `cornjacket bench catch-up`: how fast consumers read what is already stored.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::{Partitions, SystemClock};
use cornjacket_store::Store;
use tokio::time::{Instant, sleep};

use super::report::Report;
use super::scratch::Postgres;
use super::server::Server;
use super::{Options, cpu, load, workload};
use crate::config::Settings;

const BATCH: usize = 5_000;
const BATCHES: usize = 80;
const CALLERS: usize = 3;
/// How often it is looked whether they have caught up.
const LOOK: Duration = Duration::from_millis(20);
const DEADLINE: Duration = Duration::from_mins(10);

/// Measures, prints a table, and writes the figures.
pub async fn run(settings: &Settings, options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(settings.store.url.starts_with("postgres"), "store.url: must name a PostgreSQL");
    let server = Postgres::connect(&settings.store.url).await?;
    let mut report = Report::default();
    for run in 1..=options.runs {
        eprintln!("run {run} of {}", options.runs);
        let database = server.database("catch_up").await?;
        let measured = measure(&database.socket_url(), &mut report).await;
        database.drop_it().await?;
        measured?;
    }
    println!("{}", report.table());
    println!(
        "{} readings of a thousand devices, one every ten seconds, read from the log. Per core of ours: events by the \
         seconds of processor time that the consuming process used; PostgreSQL's own are beside it.",
        BATCH * BATCHES
    );
    options.json.as_ref().map_or(Ok(()), |path| report.write_json(path))
}

async fn measure(url: &str, report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(url, "ingest", &[]).await?;
    load::batches(&server, workload::history(BATCHES * BATCH, BATCH), CALLERS).await?;
    server.stop().await?;
    let options = cornjacket_store::Options::new(url.to_owned(), Partitions::ONE);
    let store = Store::open(&options, Arc::new(SystemClock)).await?;
    for (name, roles, consumer) in
        [("projector", "projector", "device_state"), ("series", "inference", "inference")]
    {
        let postgres_before = cpu::of_postgres()?;
        let server = Server::start(url, roles, &[]).await?;
        let started = Instant::now();
        until_caught_up(&store, consumer).await?;
        let took = started.elapsed();
        let (ours, postgres) = (cpu::of(server.id()?)?, cpu::of_postgres()? - postgres_before);
        server.stop().await?;
        #[allow(clippy::cast_precision_loss, reason = "a few hundred thousand")]
        let events = (BATCHES * BATCH) as f64;
        report.add(format!("{name}.catch_up_per_s"), "events/s", events / ours);
        report.add(format!("{name}.catch_up_wall_per_s"), "events/s", events / took.as_secs_f64());
        report.add(format!("{name}.catch_up_postgres_cpu"), "s per 100,000", postgres / events * 1e5);
    }
    Ok(())
}

/// Returns when a consumer has read the whole log.
pub async fn until_caught_up(store: &Store, consumer: &str) -> anyhow::Result<()> {
    let head = store.log.head().await?.position;
    let deadline = Instant::now() + DEADLINE;
    loop {
        let consumers = store.consumers.list().await?;
        let read = consumers.iter().filter(|status| status.at.consumer == consumer);
        if read.map(|status| status.progress.last_position).max() >= Some(head) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{consumer} has not caught up within {DEADLINE:?}");
        sleep(LOOK).await;
    }
}
