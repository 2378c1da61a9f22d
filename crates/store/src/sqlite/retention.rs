//! Letting go of old samples on SQLite, row by row.

use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;

use super::SqliteStore;
use crate::StoreError;
use crate::series::SeriesRetention;

/// A part at a time, so that the writer of new ones gets its turn in between.
const DROP: [&str; 3] = [
    "delete from scores where (series_id, time, position, model_id) in
        (select series_id, time, position, model_id from scores where time < ? limit 5000)",
    "delete from samples where (series_id, time, position) in
        (select series_id, time, position from samples where time < ? limit 5000)",
    "delete from rollups where (series_id, step, bucket) in
        (select series_id, step, bucket from rollups where bucket < ? limit 5000)",
];

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
}
