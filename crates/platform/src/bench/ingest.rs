//! `cornjacket bench ingest`: durable ingest beside what PostgreSQL does alone.

use std::time::Duration;

use super::Options;
use super::report::Report;
use super::scratch::Postgres;
use super::server::Server;
use super::{baseline, load, workload};
use crate::config::Settings;

/// Events of a batch: as many as a transaction takes, so that a call is a transaction.
const BATCH: usize = 5_000;
/// Batches of a measurement.
const BATCHES: usize = 80;
/// Callers of `AppendBatch` at once: one batch is committed while the others are on their way.
const BATCH_CALLERS: usize = 3;
const STREAMS: usize = 4;
/// How long single events are sent.
const TIME: Duration = Duration::from_secs(5);
/// After this long nothing that belongs to the start is still going on.
const SETTLE: Duration = Duration::from_secs(2);
const CALLERS: [usize; 4] = [1, 16, 64, 256];

/// Measures, prints a table, and writes the figures.
pub async fn run(settings: &Settings, options: &Options) -> anyhow::Result<()> {
    let mut report = Report::default();
    for run in 1..=options.runs {
        eprintln!("run {run} of {}", options.runs);
        if settings.store.url.starts_with("postgres") {
            postgres(&Postgres::connect(&settings.store.url).await?, &mut report).await?;
        }
        sqlite(&mut report).await?;
    }
    println!("{}", report.table());
    if !settings.store.url.starts_with("postgres") {
        println!("Without store.url=postgres://… only SQLite was measured.");
    }
    println!(
        "Clients run on the same machine and are part of every figure. A batch has {BATCH} events, as a transaction has."
    );
    options.json.as_ref().map_or(Ok(()), |path| report.write_json(path))
}

async fn postgres(server: &Postgres, report: &mut Report) -> anyhow::Result<()> {
    let database = server.database("copy").await?;
    let copy = baseline::copy(&database, &workload::batches(BATCHES, BATCH)).await;
    database.drop_it().await?;
    let copy = copy?;
    report.add("postgres.copy_per_s", "rows/s", copy);

    let database = server.database("pgbench").await?;
    let inserts = baseline::single_inserts(&database, 64, TIME).await;
    database.drop_it().await?;
    let inserts = inserts?;
    report.add("postgres.insert64_per_s", "rows/s", inserts);

    let database = server.database("ingest").await?;
    let measured = doors("postgres", &database.socket_url(), report).await;
    database.drop_it().await?;
    let measured = measured?;
    report.add("ingest.batch_vs_copy", "ratio", measured.batch_per_s / copy);
    report.add("ingest.unary64_vs_insert", "ratio", measured.single64_per_s / inserts);
    Ok(())
}

async fn sqlite(report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(".")?;
    let path = folder.path().canonicalize()?;
    let url = |name: &str| format!("sqlite://{}", path.join(name).display());
    let append = baseline::sqlite_append(&url("append.db"), workload::batches(BATCHES, BATCH)).await?;
    report.add("sqlite.append_per_s", "events/s", append);
    let measured = doors("sqlite", &url("ingest.db"), report).await?;
    report.add("ingest.embedded_per_s", "events/s", measured.batch_per_s);
    let idle = Server::start(&url("idle.db"), "ingest,relay,projector,inference,query", &[]).await?;
    tokio::time::sleep(SETTLE).await;
    report.add("startup_ms", "ms", idle.startup.as_secs_f64() * 1e3);
    report.add("memory.idle_mb", "MiB", idle.memory_mib()?);
    idle.stop().await
}

struct Doors {
    batch_per_s: f64,
    single64_per_s: f64,
}

/// Every way in, one after the other, on a server of its own.
async fn doors(store: &str, url: &str, report: &mut Report) -> anyhow::Result<Doors> {
    let server = Server::start(url, "ingest", &[]).await?;
    // Connections, caches and today's partitions are not what is measured.
    load::batches(&server, workload::batches(2, BATCH), 1).await?;
    let batches = load::batches(&server, workload::batches(BATCHES, BATCH), BATCH_CALLERS).await?;
    report.add(format!("{store}.batch_per_s"), "events/s", batches.per_second());
    let streams = load::streams(&server, workload::batches(BATCHES, BATCH), STREAMS).await?;
    report.add(format!("{store}.stream_per_s"), "events/s", streams.per_second());
    let mut single64_per_s = 0.0;
    for callers in CALLERS {
        let single = load::single(&server, callers, TIME).await?;
        report.add(format!("{store}.unary{callers}_per_s"), "events/s", single.per_second());
        for (name, quantile) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)] {
            report.add(format!("{store}.unary{callers}_{name}_ms"), "ms", single.quantile_ms(quantile));
        }
        if callers == 64 {
            single64_per_s = single.per_second();
        }
    }
    report.add(format!("{store}.memory_after_load_mb"), "MiB", server.memory_mib()?);
    server.stop().await?;
    Ok(Doors { batch_per_s: batches.per_second(), single64_per_s })
}
