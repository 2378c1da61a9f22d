//! The store on SQLite: one process, one file, nothing to install.

mod event_log;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

pub use event_log::SqliteEventLog;

use crate::StoreError;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/sqlite");

/// How long a statement waits for a lock of the file before it is an outage.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// An open database file, held by this process alone.
#[derive(Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    reader: SqlitePool,
    /// Held until the store is dropped; the system lets go of it when the process dies, however it dies.
    _lock: File,
}

impl SqliteStore {
    /// Opens the file, makes it when it is missing, and brings its schema up to date.
    ///
    /// Refused when another process has it open, or when it would not be durable.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let lock = lock(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        // SQLite has one writer at a time; queueing for it here is fair, queueing in SQLite is not.
        let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
        MIGRATIONS.run(&writer).await?;
        require_durability(&writer).await?;
        let reader =
            SqlitePoolOptions::new().max_connections(4).connect_with(options.read_only(true)).await?;
        Ok(Self { writer, reader, _lock: lock })
    }
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
