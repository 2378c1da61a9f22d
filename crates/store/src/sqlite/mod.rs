//! The store on SQLite: one process, nothing to install.
//!
//! What PostgreSQL has as a schema is a file here, so that the log's writer and the writers of what is derived from it
//! do not wait for each other.

mod action_retention;
mod alarms;
mod consumers;
mod dead_letters;
mod definitions;
mod deliveries;
mod devices;
mod doors;
mod event_log;
mod groups;
mod leases;
mod ledger;
mod models;
mod offsets;
mod outlooks;
mod quiet;
mod read_model;
mod rebuild;
mod retention;
mod rows;
mod scoring;
mod secrets;
mod sending;
mod series;
mod snapshot;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use cornjacket_domain::{Partitions, Topic};
use sqlx::ConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

pub use action_retention::SqliteActionRetention;
pub use alarms::SqliteAlarms;
pub use consumers::SqliteConsumers;
pub use dead_letters::SqliteDeadLetters;
pub use definitions::SqliteDefining;
pub use deliveries::SqliteDeliveries;
pub use devices::SqliteDevices;
pub use doors::SqliteDoors;
pub use event_log::SqliteEventLog;
pub use leases::SqliteLeases;
pub use ledger::SqliteLedger;
pub use models::SqliteModels;
pub use offsets::SqliteOffsets;
pub use outlooks::SqliteOutlooks;
pub use rebuild::SqliteRebuilds;
pub use retention::SqliteSeriesRetention;
pub use scoring::SqliteOutbox;
pub use snapshot::SqliteSnapshots;

use crate::StoreError;
use crate::wakes::Wakes;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// How long a statement waits for a lock of the file before it is an outage.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// SQLite's page cache, negative for KiB. Its default of 2 MiB would write and read the pages of one batch many times.
const CACHE_KIB: &str = "-32768";
/// The write-ahead log is folded into the file after this many pages of 4 KiB: the default is less than one batch.
const CHECKPOINT_PAGES: &str = "16384";
const FREE_DELIVERIES: &str = "update deliveries set lease_until = 0 where state = 'sending'";
const REMEMBER_TOPIC: &str = "insert into topics (topic, partitions) values (?, ?) on conflict do nothing";
const PARTITIONS: &str = "select topic, partitions from topics";

/// The open database files, held by this process alone.
#[derive(Debug)]
pub struct SqliteStore {
    /// Log, ledger and head: durable with every commit.
    events: Database,
    /// What is derived from the log, with the offsets: after a power cut it may be older, but never wrong.
    timeseries: Database,
    /// Who in this process waits for what is committed.
    wakes: Wakes,
    /// Held until the store is dropped; the system lets go of it when the process dies, however it dies.
    _lock: File,
}

/// A file, and its writer apart from its readers.
#[derive(Debug)]
struct Database {
    /// SQLite has one writer at a time; queueing for it here is fair, queueing in SQLite is not.
    writer: SqlitePool,
    reader: SqlitePool,
    /// For questions.
    queries: SqlitePool,
}

impl SqliteStore {
    /// Opens the files beside `path`, makes them when they are missing, and brings their schemas up to date.
    ///
    /// Refused when another process has them open, or when the log would not be durable.
    pub async fn open(path: &Path, read_connections: u32) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let events = Database::open(path, SqliteSynchronous::Full, "event_store", read_connections).await?;
        require_durability(&events.writer).await?;
        let derived = path.with_extension("timeseries.db");
        let timeseries =
            Database::open(&derived, SqliteSynchronous::Normal, "timeseries", read_connections).await?;
        // Whoever had them under way is gone: nobody else can have the files.
        sqlx::query(FREE_DELIVERIES).execute(&timeseries.writer).await?;
        Ok(Self { events, timeseries, wakes: Wakes::default(), _lock: lock })
    }

    /// Fixes the number of partitions of every topic when the log is new, and returns it.
    pub async fn partitions(&self, wanted: Partitions) -> Result<Partitions, StoreError> {
        for topic in Topic::ALL {
            let query = sqlx::query(REMEMBER_TOPIC).bind(topic.name()).bind(wanted.count());
            query.execute(&self.events.writer).await?;
        }
        let remembered = sqlx::query_as(PARTITIONS).fetch_all(&self.events.writer).await?;
        crate::open::check_partitions(wanted, &remembered)
    }
}

impl Database {
    async fn open(
        path: &Path,
        synchronous: SqliteSynchronous,
        schema: &str,
        read_connections: u32,
    ) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            .foreign_keys(true)
            // As in postgres/mod.rs.
            .disable_statement_logging()
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("temp_store", "memory")
            .pragma("cache_size", CACHE_KIB)
            .pragma("wal_autocheckpoint", CHECKPOINT_PAGES);
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        migrations_of(schema).run(&writer).await?;
        let options = options.read_only(true);
        let reader = SqlitePoolOptions::new().max_connections(2).connect_with(options.clone()).await?;
        let queries = SqlitePoolOptions::new().max_connections(read_connections);
        let queries = queries.connect_with(options).await?;
        Ok(Self { writer, reader, queries })
    }
}

/// The migrations of one file: those whose name begins with its schema; `event_store` has all the others.
fn migrations_of(schema: &str) -> Migrator {
    let is_derived = |description: &str| description.starts_with("timeseries");
    let wanted = schema == "timeseries";
    let migrations = MIGRATIONS.iter().filter(|migration| is_derived(&migration.description) == wanted);
    Migrator { migrations: migrations.cloned().collect(), ..Migrator::DEFAULT }
}

/// SQLite takes a setting it does not understand in silence, hence it is read back.
async fn require_durability(writer: &SqlitePool) -> Result<(), StoreError> {
    const FULL: i64 = 2;
    let synchronous: i64 = sqlx::query_scalar("pragma synchronous").fetch_one(writer).await?;
    if synchronous < FULL {
        return Err(StoreError::Refused(format!(
            "SQLite runs with synchronous={synchronous}: an acknowledged event could be lost; it must be FULL (2)"
        )));
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = PathBuf::from(format!("{}.lock", path.display()));
    let refused = |why: String| StoreError::Refused(format!("{}: {why}", lock_path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| refused(error.to_string()))?;
    }
    let file = File::create(&lock_path).map_err(|error| refused(error.to_string()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(refused("another process has this database open; SQLite is for one process".into()))
        }
        Err(TryLockError::Error(error)) => Err(refused(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_log_that_would_not_be_synced_is_refused() {
        for (synchronous, durable) in [
            (SqliteSynchronous::Off, false),
            (SqliteSynchronous::Normal, false),
            (SqliteSynchronous::Full, true),
        ] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("cornjacket.db");
            let database = Database::open(&path, synchronous, "event_store", 1).await.expect("it opens");
            let checked = require_durability(&database.writer).await;
            let refused = matches!(&checked, Err(StoreError::Refused(said)) if said.contains("synchronous"));
            assert_eq!(refused, !durable, "{checked:?}");
        }
    }
}
