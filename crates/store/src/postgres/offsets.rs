//! Offsets on PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::{Postgres, Row, Transaction};

use super::PostgresStore;
use crate::StoreError;
use crate::offsets::{ConsumerPartition, Offsets, Progress, Tx};
use crate::wakes::Wake;

const LOAD: &str = "select next_offset, last_position from timeseries.progress
    where consumer = $1 and topic = $2 and partition = $3";
const ENTER: &str = "insert into timeseries.progress (consumer, topic, partition, next_offset, last_position)
    values ($1, $2, $3, 0, 0) on conflict do nothing";
// Partitions of one number have the same subjects, whatever their topics: a consumer changes them one after the other, in
// all processes. The lock on a state would not do, since the first state of a subject is nowhere yet.
const MOVE: &str = "update timeseries.progress set next_offset = $6, last_position = $7
    where consumer = $1 and topic = $2 and partition = $3 and next_offset = $4 and last_position = $5
        and (select pg_advisory_xact_lock(hashtext($1), $3)) is not null";
const TOUCH: &str = "select 1";

/// Offsets in a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresOffsets(Arc<PostgresStore>);

impl PostgresOffsets {
    /// The offsets of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Offsets for PostgresOffsets {
    async fn load(&self, at: &ConsumerPartition) -> Result<Progress, StoreError> {
        let query = sqlx::query(LOAD).bind(&at.consumer).bind(at.topic).bind(i32::from(at.partition));
        let Some(row) = query.fetch_optional(&self.0.effects).await? else { return Ok(Progress::default()) };
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
        let mut transaction = self.0.effects.begin().await?;
        if from == Progress::default() {
            let enter = sqlx::query(ENTER).bind(&at.consumer).bind(at.topic).bind(i32::from(at.partition));
            enter.execute(&mut *transaction).await?;
        }
        let moved = sqlx::query(MOVE)
            .bind(&at.consumer)
            .bind(at.topic)
            .bind(i32::from(at.partition))
            .bind(from.next_offset.cast_signed())
            .bind(from.last_position.cast_signed())
            .bind(to.next_offset.cast_signed())
            .bind(to.last_position.cast_signed())
            .execute(&mut *transaction)
            .await?;
        Ok((moved.rows_affected() == 1).then(|| {
            Box::new(PostgresTx(transaction, Wake::new(&self.0.wakes), from.last_position)) as Box<dyn Tx>
        }))
    }

    async fn begin_apart(&self) -> Result<Box<dyn Tx>, StoreError> {
        let transaction = self.0.effects.begin().await?;
        Ok(Box::new(PostgresTx(transaction, Wake::new(&self.0.wakes), 0)))
    }
}

/// The transaction of an effect, and the position that its consumer had come to.
#[derive(Debug)]
pub(crate) struct PostgresTx(pub(crate) Transaction<'static, Postgres>, pub(crate) Wake, pub(crate) u64);

#[async_trait]
impl Tx for PostgresTx {
    fn reached(&self) -> u64 {
        self.2
    }

    async fn touch(&mut self) -> Result<(), StoreError> {
        sqlx::query(TOUCH).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.0.commit().await?;
        self.1.wake();
        Ok(())
    }
}
