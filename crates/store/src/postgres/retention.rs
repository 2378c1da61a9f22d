//! Letting go of old days.

use cornjacket_domain::Timestamp;
use sqlx::{AssertSqlSafe, PgPool};

use crate::StoreError;

/// The days that have a partition of the log, oldest first, and whether an earlier detach was cut off half way.
const DAYS: &str = "select right(relname, 8), inhdetachpending
    from pg_inherits join pg_class on pg_class.oid = inhrelid
    where inhparent = $1::regclass and right(relname, 8) < to_char(date 'epoch' + $2, 'YYYYMMDD')
    order by relname";
const OLDEST: &str = "select coalesce(min(position), (select position + 1 from event_store.head))
    from event_store.log";

/// Drops whole days before that of `time`, log and ledger alike, as long as nothing above `keep_after` goes.
pub(super) async fn drop_before(pool: &PgPool, time: Timestamp, keep_after: u64) -> Result<u64, StoreError> {
    let keep_after = i64::try_from(keep_after).unwrap_or(i64::MAX);
    let today = i32::try_from(time.day()).expect("a day within protobuf's range of times");
    // The ledger goes last: an id is known for at least as long as its event.
    for table in ["log", "ledger"] {
        let parent = format!("event_store.{table}");
        let days: Vec<(String, bool)> =
            sqlx::query_as(DAYS).bind(&parent).bind(today).fetch_all(pool).await?;
        for (day, half_detached) in days {
            let partition = format!("{parent}_{day}");
            if !half_detached && last_position(pool, &partition).await? > keep_after {
                break;
            }
            drop_partition(pool, &parent, &partition, half_detached).await?;
        }
    }
    Ok(sqlx::query_scalar::<_, i64>(OLDEST).fetch_one(pool).await?.cast_unsigned())
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
