//! Snapshots on SQLite: a transaction on each of the files that a question looks into.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Sqlite, SqlitePool, Transaction};

use super::SqliteStore;
use crate::StoreError;
use crate::snapshot::{Snapshot, Snapshots};

/// Instructions of SQLite's machine between two looks at the clock.
const LOOK_EVERY: i32 = 10_000;

/// Snapshots of a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteSnapshots(Arc<SqliteStore>);

impl SqliteSnapshots {
    /// Snapshots of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Snapshots for SqliteSnapshots {
    async fn begin(&self, within: Duration) -> Result<Box<dyn Snapshot>, StoreError> {
        let (store, deadline) = (self.0.clone(), Instant::now() + within);
        Ok(Box::new(SqliteSnapshot { store, deadline, events: None, timeseries: None }))
    }
}

/// The transactions of a question, opened when they are first needed.
#[derive(Debug)]
pub(super) struct SqliteSnapshot {
    store: Arc<SqliteStore>,
    deadline: Instant,
    events: Option<Reading>,
    timeseries: Option<Reading>,
}

impl SqliteSnapshot {
    /// The log.
    pub async fn events(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        open(&mut self.events, &self.store.events.queries, self.deadline).await
    }

    /// What is derived from it.
    pub async fn timeseries(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        open(&mut self.timeseries, &self.store.timeseries.queries, self.deadline).await
    }
}

type Reading = Transaction<'static, Sqlite>;

async fn open<'a>(
    reading: &'a mut Option<Reading>,
    pool: &SqlitePool,
    deadline: Instant,
) -> Result<&'a mut SqliteConnection, StoreError> {
    if reading.is_none() {
        let mut transaction = pool.begin().await?;
        // It stays on the connection: every user of these pools sets it anew.
        transaction.lock_handle().await?.set_progress_handler(LOOK_EVERY, move || Instant::now() < deadline);
        *reading = Some(transaction);
    }
    Ok(reading.as_mut().expect("opened just now"))
}
