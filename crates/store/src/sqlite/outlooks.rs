//! What is expected of series, on SQLite.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use super::SqliteStore;
use super::event_log::signed;
use super::offsets::SqliteTx;
use super::rows::{Statements, cut, statements};
use crate::outlooks::{Episode, Next, Outlook, Outlooks};
use crate::scoring::ScoringTx;
use crate::wakes::Wake;
use crate::{SeriesId, StoreError, Tx};

static LOAD: LazyLock<Statements> = LazyLock::new(|| {
    let after = ") select o.series_id, last_time, last_position, up_since, up_limit, down_since, down_limit
        from wanted cross join outlooks o on o.rule = ? and o.series_id = wanted.series_id";
    statements("with wanted (series_id) as (values ", 1, after)
});
const BEGIN: &str = "insert into outlooks
        (rule, series_id, last_time, last_position, up_since, up_limit, down_since, down_limit)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) on conflict do nothing";
const FOLLOW: &str = "update outlooks set last_time = ?3, last_position = ?4,
        up_since = ?5, up_limit = ?6, down_since = ?7, down_limit = ?8
    where rule = ?1 and series_id = ?2 and last_time = ?9 and last_position = ?10";

/// Outlooks in a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteOutlooks(Arc<SqliteStore>);

impl SqliteOutlooks {
    /// The outlooks of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Outlooks for SqliteOutlooks {
    async fn load(&self, rule: &str, series: &[SeriesId]) -> Result<HashMap<SeriesId, Outlook>, StoreError> {
        let mut found = HashMap::with_capacity(series.len());
        for (which, piece) in cut(series) {
            let mut query = sqlx::query(AssertSqlSafe(LOAD[which].as_str()));
            for series in piece {
                query = query.bind(series.0);
            }
            for row in query.bind(rule).fetch_all(&self.0.timeseries.reader).await? {
                found.insert(SeriesId(row.try_get(0)?), outlook(&row)?);
            }
        }
        Ok(found)
    }

    async fn follow(&self, next: &Next<'_>) -> Result<bool, StoreError> {
        let mut tx = SqliteTx(
            self.0.timeseries.writer.begin_with("begin immediate").await?,
            Wake::new(&self.0.wakes),
            0,
        );
        let Outlook { last, up, down } = next.outlook;
        let query = sqlx::query(if next.before.is_some() { FOLLOW } else { BEGIN })
            .bind(next.rule)
            .bind(next.series.0)
            .bind(last.0.as_micros())
            .bind(signed(last.1))
            .bind(up.map(|episode| signed(episode.since)))
            .bind(up.map(|episode| episode.limit))
            .bind(down.map(|episode| signed(episode.since)))
            .bind(down.map(|episode| episode.limit));
        let query = match next.before {
            Some(before) => query.bind(before.last.0.as_micros()).bind(signed(before.last.1)),
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

fn outlook(row: &SqliteRow) -> Result<Outlook, StoreError> {
    let last = (Timestamp::from_micros(row.try_get(1)?), row.try_get::<i64, _>(2)?.cast_unsigned());
    Ok(Outlook { last, up: episode(row, 3)?, down: episode(row, 5)? })
}

fn episode(row: &SqliteRow, column: usize) -> Result<Option<Episode>, StoreError> {
    let since: Option<i64> = row.try_get(column)?;
    let limit: Option<f64> = row.try_get(column + 1)?;
    Ok(since.zip(limit).map(|(since, limit)| Episode { since: since.cast_unsigned(), limit }))
}
