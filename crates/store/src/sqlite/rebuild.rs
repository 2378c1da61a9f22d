//! Rebuilding projections on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cornjacket_domain::Timestamp;
use sqlx::Row;

use super::SqliteStore;
use super::event_log::signed;
use super::offsets::SqliteTx;
use crate::StoreError;
use crate::read_model::ProjectionId;
use crate::rebuild::{Built, LivePartition, RebuildTx, Rebuilds, live_partitions};
use crate::wakes::Wake;

const DECLARE: &str = "insert into projections (projection, build, fold, last_begun)
    values (?, 1, ?, 1) on conflict do nothing";
const LIST: &str =
    "select projection, build, fold, nullif(last_begun, build) from projections order by projection";
const BEGIN: &str =
    "update projections set last_begun = last_begun + 1 where projection = ? returning last_begun";
// A part at a time, so that the writers of live states get their turn in between.
const DROP_UNUSED: &str = "delete from projection_states where (projection, version, subject) in (
    select projection, s.version, s.subject from projection_states s join projections p using (projection)
    where projection = ? and s.version not in (p.build, p.last_begun) limit 5000)";
const DROP_EXPIRED: &str = "delete from projection_states where event_time < ?
    and version = (select build from projections p where p.projection = projection_states.projection)";
const PROGRESS: &str = "select topic, partition, last_position from progress where consumer = ?";
const PARKED: &str = "select topic, partition, key, min(position) from dead_letters
    where consumer = ? and position is not null group by topic, partition, key";
const CARRY_OVER: &str = "insert into projection_states
        (projection, version, subject, state, last_position, event_time)
    select projection, ?2, subject, state, last_position, event_time from projection_states
    where projection = ?1 and last_position < ?3
        and version = (select build from projections where projection = ?1)
    on conflict do nothing";
const GO_LIVE: &str =
    "update projections set build = ?2, fold = ?3 where projection = ?1 and last_begun = ?2";
const CLOSE_GAPS: &str = "delete from consumer_gaps where consumer = ?1";

/// Rebuilding in a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteRebuilds(Arc<SqliteStore>);

impl SqliteRebuilds {
    /// Rebuilding in `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Rebuilds for SqliteRebuilds {
    async fn declare(&self, projection: ProjectionId) -> Result<(), StoreError> {
        let query = sqlx::query(DECLARE).bind(projection.name).bind(projection.version);
        query.execute(&self.0.timeseries.writer).await?;
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Built>, StoreError> {
        let rows = sqlx::query(LIST).fetch_all(&self.0.timeseries.reader).await?;
        let built = rows.iter().map(|row| {
            Ok(Built {
                projection: row.try_get(0)?,
                build: row.try_get(1)?,
                fold: row.try_get(2)?,
                unfinished: row.try_get(3)?,
            })
        });
        built.collect()
    }

    async fn begin(&self, projection: ProjectionId) -> Result<u32, StoreError> {
        self.declare(projection).await?;
        let query = sqlx::query_scalar(BEGIN).bind(projection.name);
        let build = query.fetch_one(&self.0.timeseries.writer).await?;
        self.drop_unused(projection).await?;
        Ok(build)
    }

    async fn write(&self) -> Result<Box<dyn RebuildTx>, StoreError> {
        Ok(Box::new(SqliteTx(
            self.0.timeseries.writer.begin_with("begin immediate").await?,
            Wake::new(&self.0.wakes),
            0,
        )))
    }

    async fn drop_unused(&self, projection: ProjectionId) -> Result<(), StoreError> {
        let mut dropped = 1;
        while dropped > 0 {
            let query = sqlx::query(DROP_UNUSED).bind(projection.name);
            dropped = query.execute(&self.0.timeseries.writer).await?.rows_affected();
        }
        Ok(())
    }

    async fn drop_expired(&self, time: Timestamp) -> Result<(), StoreError> {
        sqlx::query(DROP_EXPIRED).bind(time.as_micros()).execute(&self.0.timeseries.writer).await?;
        Ok(())
    }
}

#[async_trait]
impl RebuildTx for SqliteTx {
    async fn live(&mut self, consumer: &str) -> Result<Vec<LivePartition>, StoreError> {
        let rows = sqlx::query(PROGRESS).bind(consumer).fetch_all(&mut *self.0).await?;
        let progress = rows.iter().map(|row| {
            let partition = row.try_get(1)?;
            Ok((row.try_get(0)?, partition, row.try_get::<i64, _>(2)?.cast_unsigned()))
        });
        let progress = progress.collect::<Result<_, StoreError>>()?;
        let rows = sqlx::query(PARKED).bind(consumer).fetch_all(&mut *self.0).await?;
        let parked = rows.iter().map(|row| {
            let partition = row.try_get(1)?;
            let key = Bytes::from(row.try_get::<Vec<u8>, _>(2)?);
            Ok((row.try_get(0)?, partition, key, row.try_get::<i64, _>(3)?.cast_unsigned()))
        });
        Ok(live_partitions(consumer, progress, parked.collect::<Result<_, StoreError>>()?))
    }

    /// The one writer of the file is this transaction.
    async fn hold(&mut self, _consumer: &str) -> Result<(), StoreError> {
        Ok(())
    }

    async fn carry_over(
        &mut self,
        projection: ProjectionId,
        build: u32,
        below: u64,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(CARRY_OVER).bind(projection.name).bind(build);
        query.bind(signed(below)).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn go_live(&mut self, projection: ProjectionId, build: u32) -> Result<bool, StoreError> {
        let query = sqlx::query(GO_LIVE).bind(projection.name).bind(build);
        let query = query.bind(projection.version);
        let goes_live = query.execute(&mut *self.0).await?.rows_affected() == 1;
        if goes_live {
            sqlx::query(CLOSE_GAPS).bind(projection.name).execute(&mut *self.0).await?;
        }
        Ok(goes_live)
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        Ok(self.0.commit().await?)
    }
}
