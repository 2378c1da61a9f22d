//! What PostgreSQL does with the same rows when nothing stands in front of it: COPY by psql, single inserts by pgbench.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use cornjacket_domain::{Clock, Event, Limits, Partitions, SystemClock};
use cornjacket_store::Store;
use cornjacket_store::postgres::copy;
use tokio::process::Command;

use super::scratch::{Database, client, output};
use super::workload;

/// One event for each transaction, as the log stores it, position and key in ascending order.
const INSERT: &str = r"\set device random(1000, 1999)
with position as (select nextval('bench_position') as position, clock_timestamp() as ingest_time),
    log as (insert into event_store.log (position, ingest_time, type, subject, event)
        select position, ingest_time, 'sensor.reading', 'device-' || :device, decode('EVENT', 'hex') from position)
    insert into event_store.ledger (key, digest, position, ingest_time)
        select decode(lpad(to_hex(position), 32, '0'), 'hex'), decode('DIGEST', 'hex'), position, ingest_time
        from position;
";

/// Events per second that SQLite's log takes when it is handed them directly: what no door in front of it can exceed.
pub async fn sqlite_append(
    url: &str,
    batches: Vec<Vec<cornjacket_proto::events::Event>>,
) -> anyhow::Result<f64> {
    let store = open(url).await?;
    let rows: usize = batches.iter().map(Vec::len).sum();
    let batches: Vec<Vec<Event>> = batches
        .into_iter()
        .map(|batch| batch.into_iter().map(valid).collect())
        .collect::<anyhow::Result<_>>()?;
    let started = Instant::now();
    for batch in &batches {
        store.log.append(batch).await?;
    }
    Ok(f64::from(u32::try_from(rows)?) / started.elapsed().as_secs_f64())
}

async fn open(url: &str) -> anyhow::Result<Store> {
    let (url, partitions) = (url.to_owned(), Partitions::ONE);
    let options = cornjacket_store::Options::new(url, partitions);
    Ok(Store::open(&options, Arc::new(SystemClock)).await?)
}

/// A migrated database that has today's partitions and one event.
async fn prepare(database: &Database) -> anyhow::Result<()> {
    let store = open(&database.url()).await?;
    store.log.append(&[valid(workload::reading(0))?]).await?;
    Ok(())
}

fn valid(event: cornjacket_proto::events::Event) -> anyhow::Result<Event> {
    Ok(Event::new(event, SystemClock.now(), &Limits::default())?)
}

/// Rows per second of COPY in binary form, the same batches in a transaction each. The files are made before the time
/// begins: the time is psql's and PostgreSQL's alone.
pub async fn copy(
    database: &Database,
    batches: &[Vec<cornjacket_proto::events::Event>],
) -> anyhow::Result<f64> {
    prepare(database).await?;
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("copy.sql");
    let (mut text, mut rows) = (String::new(), 0);
    let now = SystemClock.now();
    for (number, batch) in batches.iter().enumerate() {
        let events = batch.iter().cloned().map(valid).collect::<anyhow::Result<Vec<_>>>()?;
        let events: Vec<&Event> = events.iter().collect();
        let (log, ledger) = copy::rows(&events, rows as u64 + 2, now);
        rows += batch.len();
        text.push_str("begin;\n");
        for (table, columns, bytes) in [
            ("log", "position, ingest_time, type, subject, event", log),
            ("ledger", "key, digest, position, ingest_time", ledger),
        ] {
            let path = folder.path().join(format!("{table}-{number}"));
            std::fs::write(&path, bytes)?;
            let path = path.display();
            writeln!(text, "\\copy event_store.{table} ({columns}) from '{path}' (format binary)")?;
        }
        text.push_str("commit;\n");
    }
    std::fs::write(&script, text)?;
    let took = run_script(&database.socket_url(), &script).await?;
    Ok(f64::from(u32::try_from(rows)?) / took.as_secs_f64())
}

async fn run_script(url: &str, script: &Path) -> anyhow::Result<Duration> {
    let mut command = Command::new(client("psql"));
    command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--file"]).arg(script).arg(url);
    let started = Instant::now();
    output(&mut command).await?;
    Ok(started.elapsed())
}

/// Transactions per second of pgbench with that many clients, each inserting one event a transaction.
pub async fn single_inserts(database: &Database, clients: usize, time: Duration) -> anyhow::Result<f64> {
    prepare(database).await?;
    let event = valid(workload::reading(1))?;
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let script =
        INSERT.replace("EVENT", &hex(event.encoded())).replace("DIGEST", &hex(event.digest().as_bytes()));
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("insert.sql");
    std::fs::write(&path, script)?;
    super::scratch::psql(&database.url(), "create sequence bench_position start 2 cache 1").await?;
    let mut command = Command::new(client("pgbench"));
    command.args(["--no-vacuum", "--protocol=prepared", "--jobs=2", "--client", &clients.to_string()]);
    command.args(["--time", &time.as_secs().to_string(), "--file"]).arg(&path).arg(database.socket_url());
    let said = output(&mut command).await?;
    let tps = said.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next());
    Ok(tps.with_context(|| format!("pgbench printed no tps: {said}"))?.parse()?)
}
