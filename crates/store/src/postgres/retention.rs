//! Letting go of old days.

use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgExecutor, PgPool, Row};

use super::PostgresStore;
use super::event_log::to_sql;
use crate::series::{AFTER_ALL, BEFORE_ALL, Forgotten, SeriesRetention};
use crate::{DetectorKey, ModelId, SeriesId, StoreError};

/// The days of a partitioned table before another, oldest first, and whether an earlier detach was cut off half way.
const DAYS: &str = "select right(relname, 8), inhdetachpending
    from pg_inherits join pg_class on pg_class.oid = inhrelid
    where inhparent = $1::regclass and right(relname, 8) < to_char(date 'epoch' + $2, 'YYYYMMDD')
    order by relname";
const OLDEST: &str = "select coalesce(min(position), (select position + 1 from event_store.head))
    from event_store.log";
/// Whether series are partitioned by us; else they are TimescaleDB's hypertables.
const PARTITIONED: &str = "select relkind = 'p' from pg_class where oid = 'timeseries.samples'::regclass";
const COMPRESS: [&str; 2] = [
    "select compress_chunk(chunk, if_not_compressed => true)::text
        from show_chunks('timeseries.samples', older_than => $1::timestamptz) as chunk",
    "select compress_chunk(chunk, if_not_compressed => true)::text
        from show_chunks('timeseries.scores', older_than => $1::timestamptz) as chunk",
];
const DROP_CHUNKS: [&str; 3] = [
    "select drop_chunks('timeseries.scores', older_than => $1::timestamptz)",
    "select drop_chunks('timeseries.samples', older_than => $1::timestamptz)",
    "select drop_chunks('timeseries.rollups', older_than => $1::timestamptz)",
];
/// The last of some states, where there are more.
const PART: &str = "select series_id, model_id from timeseries.detector_states
    where (series_id, model_id) > ($1, $2) order by series_id, model_id offset $3 limit 1";
// What is saved meanwhile is no longer that old. Its series' first sample after so long has it saved, so that none is stored
// without.
const FORGET: &str = "with offs as materialized (
        select model_id, max(seq) as seq from timeseries.controls
        where change = 'off' and made_at < $1 group by model_id)
    delete from timeseries.detector_states d
    where (series_id, model_id) > ($2, $3) and (series_id, model_id) <= ($4, $5)
        and (exists (select from offs where model_id = d.model_id and seq > d.since)
            or (last_time < $1 and not exists (
                select from timeseries.samples s where s.series_id = d.series_id and s.time >= $1)))
        and not exists (select from timeseries.series s join timeseries.parked_keys p
            on p.key = convert_to(s.subject, 'UTF8') where s.id = d.series_id)";

/// Drops whole days before that of `time`, log and ledger alike, as long as nothing above `keep_after` goes.
pub(super) async fn drop_before(pool: &PgPool, time: Timestamp, keep_after: u64) -> Result<u64, StoreError> {
    let keep_after = i64::try_from(keep_after).unwrap_or(i64::MAX);
    // The ledger goes last: an id is known for at least as long as its event.
    for parent in ["event_store.log", "event_store.ledger"] {
        for (partition, half_detached) in days_before(pool, parent, time).await? {
            if !half_detached && last_position(pool, &partition).await? > keep_after {
                break;
            }
            drop_partition(pool, parent, &partition, half_detached).await?;
        }
    }
    Ok(sqlx::query_scalar::<_, i64>(OLDEST).fetch_one(pool).await?.cast_unsigned())
}

async fn days_before(
    pool: &PgPool,
    parent: &str,
    time: Timestamp,
) -> Result<Vec<(String, bool)>, StoreError> {
    let today = i32::try_from(time.day()).expect("a day within protobuf's range of times");
    let days: Vec<(String, bool)> = sqlx::query_as(DAYS).bind(parent).bind(today).fetch_all(pool).await?;
    Ok(days.into_iter().map(|(day, half)| (format!("{parent}_{day}"), half)).collect())
}

async fn last_position(pool: &PgPool, partition: &str) -> Result<i64, StoreError> {
    let sql = format!("select coalesce(max(position), 0) from {partition}");
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await?)
}

/// Concurrently, so that readers and the writer go on meanwhile.
async fn drop_partition(pool: &PgPool, parent: &str, partition: &str, half: bool) -> Result<(), StoreError> {
    let how = if half { "finalize" } else { "concurrently" };
    let detach = format!("alter table {parent} detach partition {partition} {how}");
    sqlx::query(AssertSqlSafe(detach)).execute(pool).await?;
    sqlx::query(AssertSqlSafe(format!("drop table {partition}"))).execute(pool).await?;
    Ok(())
}

/// Ages the series of a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresSeriesRetention(Arc<PostgresStore>);

impl PostgresSeriesRetention {
    /// Ages the series of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl SeriesRetention for PostgresSeriesRetention {
    async fn age(&self, oldest: Timestamp, compress: Timestamp) -> Result<(), StoreError> {
        let pool = &self.0.owner;
        if !sqlx::query_scalar::<_, bool>(PARTITIONED).fetch_one(pool).await? {
            return age_chunks(pool, oldest, compress).await;
        }
        for parent in ["timeseries.scores", "timeseries.samples", "timeseries.rollups"] {
            for (partition, half_detached) in days_before(pool, parent, oldest).await? {
                drop_partition(pool, parent, &partition, half_detached).await?;
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
        let (series, model) = after.unwrap_or(BEFORE_ALL);
        let part = sqlx::query(PART).bind(series.0).bind(model.0).bind(i64::from(most.max(1) - 1));
        let key = |row: PgRow| Ok::<_, StoreError>((SeriesId(row.try_get(0)?), ModelId(row.try_get(1)?)));
        let next = part.fetch_optional(&self.0.owner).await?.map(key).transpose()?;
        let last = next.unwrap_or(AFTER_ALL);
        let query = sqlx::query(FORGET).bind(to_sql(oldest)).bind(series.0).bind(model.0);
        let gone = query.bind(last.0.0).bind(last.1.0).execute(&self.0.owner).await?;
        Ok(Forgotten { states: gone.rows_affected(), next })
    }
}

/// A chunk is a day.
pub(crate) async fn age_chunks<'e>(
    executor: impl PgExecutor<'e> + Copy,
    oldest: Timestamp,
    compress: Timestamp,
) -> Result<(), StoreError> {
    let midnight = |time: Timestamp| to_sql(Timestamp::from_day(time.day()));
    for statement in DROP_CHUNKS {
        sqlx::query(statement).bind(midnight(oldest)).execute(executor).await?;
    }
    for statement in COMPRESS {
        sqlx::query(statement).bind(midnight(compress)).execute(executor).await?;
    }
    Ok(())
}
