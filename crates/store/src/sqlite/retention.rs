//! Letting go of old samples on SQLite, row by row.

use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use crate::series::{AFTER_ALL, BEFORE_ALL, Forgotten, SeriesRetention};
use crate::{DetectorKey, ModelId, SeriesId, StoreError};

/// A part at a time, so that the writer of new ones gets its turn in between.
const DROP: [&str; 3] = [
    "delete from scores where (series_id, time, position, model_id) in
        (select series_id, time, position, model_id from scores where time < ? limit 5000)",
    "delete from samples where (series_id, time, position) in
        (select series_id, time, position from samples where time < ? limit 5000)",
    "delete from rollups where (series_id, step, bucket) in
        (select series_id, step, bucket from rollups where bucket < ? limit 5000)",
];
/// The last of some states, where there are more.
const PART: &str = "select series_id, model_id from detector_states
    where (series_id, model_id) > (?, ?) order by series_id, model_id limit 1 offset ?";
const FORGET: &str = "with offs as materialized (
        select model_id, max(seq) as seq from controls where change = 'off' and made_at < ?1 group by model_id)
    delete from detector_states as d
    where (series_id, model_id) > (?2, ?3) and (series_id, model_id) <= (?4, ?5)
        and (exists (select 1 from offs where model_id = d.model_id and seq > d.since)
            or (last_time < ?1 and not exists (
                select 1 from samples s where s.series_id = d.series_id and s.time >= ?1)))
        and not exists (select 1 from series s join parked_keys p
            on p.key = cast(s.subject as blob) where s.id = d.series_id)";

/// Ages the series of a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteSeriesRetention(Arc<SqliteStore>);

impl SqliteSeriesRetention {
    /// Ages the series of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl SeriesRetention for SqliteSeriesRetention {
    async fn age(&self, oldest: Timestamp, _compress: Timestamp) -> Result<(), StoreError> {
        let midnight = Timestamp::from_day(oldest.day()).as_micros();
        for statement in DROP {
            let mut dropped = 1;
            while dropped > 0 {
                let query = sqlx::query(statement).bind(midnight);
                dropped = query.execute(&self.0.timeseries.writer).await?.rows_affected();
            }
        }
        Ok(())
    }

    async fn forget(
        &self,
        oldest: Timestamp,
        after: Option<DetectorKey>,
        most: u32,
    ) -> Result<Forgotten, StoreError> {
        let writer = &self.0.timeseries.writer;
        let (series, model) = after.unwrap_or(BEFORE_ALL);
        let part = sqlx::query(PART).bind(series.0).bind(model.0).bind(most.max(1) - 1);
        let key = |row: SqliteRow| Ok::<_, StoreError>((SeriesId(row.try_get(0)?), ModelId(row.try_get(1)?)));
        let next = part.fetch_optional(writer).await?.map(key).transpose()?;
        let last = next.unwrap_or(AFTER_ALL);
        let query = sqlx::query(FORGET).bind(oldest.as_micros()).bind(series.0).bind(model.0);
        let gone = query.bind(last.0.0).bind(last.1.0).execute(writer).await?;
        Ok(Forgotten { states: gone.rows_affected(), next })
    }
}
