//! Offsets on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{Row, Sqlite, Transaction};

use super::SqliteStore;
use crate::StoreError;
use crate::offsets::{ConsumerPartition, Offsets, Progress, Tx};
use crate::wakes::Wake;

const LOAD: &str = "select next_offset, last_position from progress
    where consumer = ? and topic = ? and partition = ?";
const ENTER: &str = "insert into progress (consumer, topic, partition, next_offset, last_position)
    values (?, ?, ?, 0, 0) on conflict do nothing";
const MOVE: &str = "update progress set next_offset = ?, last_position = ?
    where consumer = ? and topic = ? and partition = ? and next_offset = ? and last_position = ?";

/// Offsets in a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteOffsets(Arc<SqliteStore>);

impl SqliteOffsets {
    /// The offsets of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Offsets for SqliteOffsets {
    async fn load(&self, at: &ConsumerPartition) -> Result<Progress, StoreError> {
        let query = sqlx::query(LOAD).bind(&at.consumer).bind(at.topic).bind(at.partition);
        let row = query.fetch_optional(&self.0.timeseries.reader).await?;
        let Some(row) = row else { return Ok(Progress::default()) };
        Ok(Progress {
            next_offset: row.try_get::<i64, _>(0)?.cast_unsigned(),
            last_position: row.try_get::<i64, _>(1)?.cast_unsigned(),
        })
    }

    async fn begin(
        &self,
        at: &ConsumerPartition,
        from: Progress,
        to: Progress,
    ) -> Result<Option<Box<dyn Tx>>, StoreError> {
        let mut transaction = self.0.timeseries.writer.begin_with("begin immediate").await?;
        if from == Progress::default() {
            let enter = sqlx::query(ENTER).bind(&at.consumer).bind(at.topic).bind(at.partition);
            enter.execute(&mut *transaction).await?;
        }
        let moved = sqlx::query(MOVE)
            .bind(to.next_offset.cast_signed())
            .bind(to.last_position.cast_signed())
            .bind(&at.consumer)
            .bind(at.topic)
            .bind(at.partition)
            .bind(from.next_offset.cast_signed())
            .bind(from.last_position.cast_signed())
            .execute(&mut *transaction)
            .await?;
        Ok((moved.rows_affected() == 1).then(|| {
            Box::new(SqliteTx(transaction, Wake::new(&self.0.wakes), from.last_position)) as Box<dyn Tx>
        }))
    }

    async fn begin_apart(&self) -> Result<Box<dyn Tx>, StoreError> {
        let transaction = self.0.timeseries.writer.begin_with("begin immediate").await?;
        Ok(Box::new(SqliteTx(transaction, Wake::new(&self.0.wakes), 0)))
    }
}

/// The transaction of an effect, and the position that its consumer had come to.
#[derive(Debug)]
pub(super) struct SqliteTx(pub(super) Transaction<'static, Sqlite>, pub(super) Wake, pub(super) u64);

#[async_trait]
impl Tx for SqliteTx {
    fn reached(&self) -> u64 {
        self.2
    }

    async fn touch(&mut self) -> Result<(), StoreError> {
        // Nobody is cut off here.
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.0.commit().await?;
        self.1.wake();
        Ok(())
    }
}
