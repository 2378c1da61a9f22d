//! What is expected of series, on PostgreSQL.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::PostgresStore;
use super::event_log::{from_sql, signed, to_sql};
use super::offsets::PostgresTx;
use crate::outlooks::{Episode, Next, Outlook, Outlooks};
use crate::scoring::ScoringTx;
use crate::wakes::Wake;
use crate::{SeriesId, StoreError, Tx};

const LOAD: &str = "select series_id, last_time, last_position, up_since, up_limit, down_since, down_limit
    from timeseries.outlooks where rule = $1 and series_id = any($2)";
const BEGIN: &str = "insert into timeseries.outlooks
        (rule, series_id, last_time, last_position, up_since, up_limit, down_since, down_limit)
    values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing";
const FOLLOW: &str = "update timeseries.outlooks set last_time = $3, last_position = $4,
        up_since = $5, up_limit = $6, down_since = $7, down_limit = $8
    where rule = $1 and series_id = $2 and last_time = $9 and last_position = $10";

/// Outlooks in a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresOutlooks(Arc<PostgresStore>);

impl PostgresOutlooks {
    /// The outlooks of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Outlooks for PostgresOutlooks {
    async fn load(&self, rule: &str, series: &[SeriesId]) -> Result<HashMap<SeriesId, Outlook>, StoreError> {
        let ids: Vec<i64> = series.iter().map(|series| series.0).collect();
        let rows = sqlx::query(LOAD).bind(rule).bind(ids).fetch_all(&self.0.effects).await?;
        rows.iter().map(|row| Ok((SeriesId(row.try_get(0)?), outlook(row)?))).collect()
    }

    async fn follow(&self, next: &Next<'_>) -> Result<bool, StoreError> {
        let mut tx = PostgresTx(self.0.effects.begin().await?, Wake::new(&self.0.wakes), 0);
        let Outlook { last, up, down } = next.outlook;
        let query = sqlx::query(if next.before.is_some() { FOLLOW } else { BEGIN })
            .bind(next.rule)
            .bind(next.series.0)
            .bind(to_sql(last.0))
            .bind(signed(last.1))
            .bind(up.map(|episode| signed(episode.since)))
            .bind(up.map(|episode| episode.limit))
            .bind(down.map(|episode| signed(episode.since)))
            .bind(down.map(|episode| episode.limit));
        let query = match next.before {
            Some(before) => query.bind(to_sql(before.last.0)).bind(signed(before.last.1)),
            None => query,
        };
        if query.execute(&mut *tx.0).await?.rows_affected() != 1 {
            return Ok(false);
        }
        if !next.events.is_empty() {
            tx.send(next.events).await?;
        }
        Box::new(tx).commit().await?;
        Ok(true)
    }
}

fn outlook(row: &PgRow) -> Result<Outlook, StoreError> {
    let last = (from_sql(row.try_get(1)?), row.try_get::<i64, _>(2)?.cast_unsigned());
    Ok(Outlook { last, up: episode(row, 3)?, down: episode(row, 5)? })
}

fn episode(row: &PgRow, column: usize) -> Result<Option<Episode>, StoreError> {
    let since: Option<i64> = row.try_get(column)?;
    let limit: Option<f64> = row.try_get(column + 1)?;
    Ok(since.zip(limit).map(|(since, limit)| Episode { since: since.cast_unsigned(), limit }))
}
