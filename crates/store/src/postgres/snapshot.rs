//! Snapshots on PostgreSQL: a transaction for each question.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::{AssertSqlSafe, Postgres, Transaction};

use super::PostgresStore;
use crate::StoreError;
use crate::snapshot::{Snapshot, Snapshots};

/// Snapshots of a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresSnapshots(Arc<PostgresStore>);

impl PostgresSnapshots {
    /// Snapshots of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Snapshots for PostgresSnapshots {
    async fn begin(&self, within: Duration) -> Result<Box<dyn Snapshot>, StoreError> {
        // Zero would mean without limit.
        let limit = within.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
        let begin =
            format!("begin isolation level repeatable read read only; set local statement_timeout = {limit}");
        Ok(Box::new(PostgresSnapshot(self.0.queries.begin_with(AssertSqlSafe(begin)).await?)))
    }
}

/// The transaction of a question.
#[derive(Debug)]
pub(crate) struct PostgresSnapshot(pub(crate) Transaction<'static, Postgres>);
