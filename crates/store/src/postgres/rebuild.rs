//! Rebuilding projections on PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cornjacket_domain::Timestamp;
use sqlx::Row;

use super::PostgresStore;
use super::event_log::{signed, to_sql};
use super::offsets::PostgresTx;
use crate::StoreError;
use crate::read_model::ProjectionId;
use crate::rebuild::{Built, LivePartition, RebuildTx, Rebuilds, live_partitions};
use crate::wakes::Wake;

const DECLARE: &str = "insert into timeseries.projections (projection, build, fold, last_begun)
    values ($1, 1, $2, 1) on conflict do nothing";
const LIST: &str = "select projection, build, fold, nullif(last_begun, build) from timeseries.projections
    order by projection";
const BEGIN: &str = "update timeseries.projections set last_begun = last_begun + 1 where projection = $1 returning last_begun";
// A part at a time: nobody waits for these rows, but a long transaction holds up vacuum.
const DROP_UNUSED: &str = "delete from timeseries.projection_states where ctid = any (array(
    select s.ctid from timeseries.projection_states s join timeseries.projections p using (projection)
    where projection = $1 and s.version not in (p.build, p.last_begun) limit 10000))";
const DROP_EXPIRED: &str = "delete from timeseries.projection_states s using timeseries.projections p
    where p.projection = s.projection and s.version = p.build and s.event_time < $1";
const PROGRESS: &str = "select topic, partition, last_position from timeseries.progress where consumer = $1";
const PARKED: &str = "select topic, partition, key, min(position) from timeseries.dead_letters
    where consumer = $1 and position is not null group by topic, partition, key";
const HOLD: &str = "select from timeseries.progress where consumer = $1 order by topic, partition for update";
const CARRY_OVER: &str = "insert into timeseries.projection_states
        (projection, version, subject, state, last_position, event_time)
    select projection, $2, subject, state, last_position, event_time from timeseries.projection_states
    where projection = $1 and last_position < $3
        and version = (select build from timeseries.projections where projection = $1)
    on conflict do nothing";
const GO_LIVE: &str = "update timeseries.projections set build = $2, fold = $3
    where projection = $1 and last_begun = $2";
const CLOSE_GAPS: &str = "delete from timeseries.consumer_gaps where consumer = $1";

/// Rebuilding in a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresRebuilds(Arc<PostgresStore>);

impl PostgresRebuilds {
    /// Rebuilding in `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Rebuilds for PostgresRebuilds {
    async fn declare(&self, projection: ProjectionId) -> Result<(), StoreError> {
        let query = sqlx::query(DECLARE).bind(projection.name).bind(i32::from(projection.version));
        query.execute(&self.0.effects).await?;
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Built>, StoreError> {
        let rows = sqlx::query(LIST).fetch_all(&self.0.reader).await?;
        let built = rows.iter().map(|row| {
            Ok(Built {
                projection: row.try_get(0)?,
                build: row.try_get::<i32, _>(1)?.cast_unsigned(),
                fold: u16::try_from(row.try_get::<i32, _>(2)?).unwrap_or(u16::MAX),
                unfinished: row.try_get::<Option<i32>, _>(3)?.map(i32::cast_unsigned),
            })
        });
        built.collect()
    }

    async fn begin(&self, projection: ProjectionId) -> Result<u32, StoreError> {
        self.declare(projection).await?;
        let query = sqlx::query_scalar(BEGIN).bind(projection.name);
        let build: i32 = query.fetch_one(&self.0.effects).await?;
        self.drop_unused(projection).await?;
        Ok(build.cast_unsigned())
    }

    async fn write(&self) -> Result<Box<dyn RebuildTx>, StoreError> {
        Ok(Box::new(PostgresTx(self.0.effects.begin().await?, Wake::new(&self.0.wakes), 0)))
    }

    async fn drop_unused(&self, projection: ProjectionId) -> Result<(), StoreError> {
        let mut dropped = 1;
        while dropped > 0 {
            let query = sqlx::query(DROP_UNUSED).bind(projection.name);
            dropped = query.execute(&self.0.effects).await?.rows_affected();
        }
        Ok(())
    }

    async fn drop_expired(&self, time: Timestamp) -> Result<(), StoreError> {
        sqlx::query(DROP_EXPIRED).bind(to_sql(time)).execute(&self.0.effects).await?;
        Ok(())
    }
}

#[async_trait]
impl RebuildTx for PostgresTx {
    async fn live(&mut self, consumer: &str) -> Result<Vec<LivePartition>, StoreError> {
        // In this order: what is parked between the two is above the progress that was read.
        let rows = sqlx::query(PROGRESS).bind(consumer).fetch_all(&mut *self.0).await?;
        let progress = rows.iter().map(|row| {
            let partition = u16::try_from(row.try_get::<i32, _>(1)?).unwrap_or(u16::MAX);
            Ok((row.try_get(0)?, partition, row.try_get::<i64, _>(2)?.cast_unsigned()))
        });
        let progress = progress.collect::<Result<_, StoreError>>()?;
        let rows = sqlx::query(PARKED).bind(consumer).fetch_all(&mut *self.0).await?;
        let parked = rows.iter().map(|row| {
            let partition = u16::try_from(row.try_get::<i32, _>(1)?).unwrap_or(u16::MAX);
            let key = Bytes::from(row.try_get::<Vec<u8>, _>(2)?);
            Ok((row.try_get(0)?, partition, key, row.try_get::<i64, _>(3)?.cast_unsigned()))
        });
        Ok(live_partitions(consumer, progress, parked.collect::<Result<_, StoreError>>()?))
    }

    async fn hold(&mut self, consumer: &str) -> Result<(), StoreError> {
        sqlx::query(HOLD).bind(consumer).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn carry_over(
        &mut self,
        projection: ProjectionId,
        build: u32,
        below: u64,
    ) -> Result<(), StoreError> {
        let query = sqlx::query(CARRY_OVER).bind(projection.name).bind(build.cast_signed());
        query.bind(signed(below)).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn go_live(&mut self, projection: ProjectionId, build: u32) -> Result<bool, StoreError> {
        let query = sqlx::query(GO_LIVE).bind(projection.name).bind(build.cast_signed());
        let query = query.bind(i32::from(projection.version));
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
