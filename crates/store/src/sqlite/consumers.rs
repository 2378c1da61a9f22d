//! What consumers say of themselves, on SQLite.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use cornjacket_domain::{Timestamp, Topic};
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, Row};

use super::SqliteStore;
use super::dead_letters::partition;
use super::event_log::signed;
use super::rows::{Statements, cut, statements};
use crate::StoreError;
use crate::consumers::{ConsumerReport, ConsumerStatus, Consumers, Gap, Orders};
use crate::milestones::{Milestone, OF_CONSUMERS, slot};
use crate::offsets::Progress;

const REPORT: &str = "insert into consumer_reports
        (consumer, topic, partition, state, reason, holder, reported_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    on conflict (consumer, topic, partition) do update set state = excluded.state, reason = excluded.reason,
        holder = excluded.holder, reported_at = excluded.reported_at";
// What a milestone of the same second knows is kept; one of an earlier hour is written over.
static KEEP: LazyLock<Statements> = LazyLock::new(|| {
    let before = "insert into milestones as known
        (consumer, topic, partition, slot, after_position, last_position, reached_at) values ";
    let after = " on conflict (topic, partition, consumer, slot) do update set
        after_position = case when known.reached_at > excluded.reached_at - 1000000
            then min(known.after_position, excluded.after_position) else excluded.after_position end,
        last_position = excluded.last_position, reached_at = excluded.reached_at";
    statements(before, 7, after)
});
const REACHED: &str = "select consumer, min(reached_at) from milestones
    where topic = ?1 and partition = ?2 and after_position < ?3 and last_position >= ?3 group by consumer";
const PAUSED: &str = "select coalesce(max(paused), false) from consumer_orders where consumer = ?1";
const REDRIVE: &str = "select distinct topic, partition from parked_keys where consumer = ?1 and redrive";
const LIST: &str = "select p.consumer, p.topic, p.partition, p.next_offset, p.last_position,
        r.state, r.reason, r.holder, r.reported_at,
        (select count(*) from parked_keys k
            where (k.consumer, k.topic, k.partition) = (p.consumer, p.topic, p.partition)),
        (select count(*) from dead_letters d
            where (d.consumer, d.topic, d.partition) = (p.consumer, p.topic, p.partition)),
        g.lost_until
    from progress p left join consumer_reports r using (consumer, topic, partition)
        left join consumer_gaps g using (consumer, topic, partition)
    order by p.consumer, p.topic, p.partition";
// A partition that was never read from is listed from now on.
const ENTER: &str = "insert into progress (consumer, topic, partition, next_offset, last_position)
    values (?1, ?2, ?3, 0, 0) on conflict do nothing";
const MARK_GAP: &str = "insert into consumer_gaps as known (consumer, topic, partition, lost_until)
    values (?1, ?2, ?3, ?4) on conflict (consumer, topic, partition)
    do update set lost_until = max(known.lost_until, excluded.lost_until)";
const FORGET_GAPS: &str = "delete from consumer_gaps where consumer = ?1
    and consumer not in (select projection from projections)
    and lost_until < (select last_position from progress p where
        (p.consumer, p.topic, p.partition) = (consumer_gaps.consumer, consumer_gaps.topic, consumer_gaps.partition))";
const SET_PAUSED: &str = "insert into consumer_orders (consumer, paused) values (?1, ?2)
    on conflict (consumer) do update set paused = excluded.paused";

/// Consumers of a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteConsumers(Arc<SqliteStore>);

impl SqliteConsumers {
    /// The consumers of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Consumers for SqliteConsumers {
    async fn report(&self, consumer: &str, reports: &[ConsumerReport]) -> Result<Orders, StoreError> {
        for report in reports {
            sqlx::query(REPORT)
                .bind(&report.at.consumer)
                .bind(report.at.topic)
                .bind(report.at.partition)
                .bind(&report.state)
                .bind(&report.reason)
                .bind(&report.holder)
                .bind(report.reported_at.as_micros())
                .execute(&self.0.timeseries.writer)
                .await?;
        }
        let paused = sqlx::query_scalar(PAUSED).bind(consumer).fetch_one(&self.0.timeseries.reader).await?;
        let redrive = sqlx::query_as(REDRIVE).bind(consumer).fetch_all(&self.0.timeseries.reader).await?;
        Ok(Orders { paused, redrive })
    }

    async fn keep(&self, milestones: &[Milestone]) -> Result<(), StoreError> {
        for (which, piece) in cut(milestones) {
            let mut query = sqlx::query(AssertSqlSafe(KEEP[which].as_str()));
            for Milestone { at, after, last_position, reached_at } in piece {
                query = query.bind(&at.consumer).bind(at.topic).bind(at.partition);
                query = query.bind(slot(*reached_at, OF_CONSUMERS)).bind(signed(*after));
                query = query.bind(signed(*last_position)).bind(reached_at.as_micros());
            }
            query.execute(&self.0.timeseries.writer).await?;
        }
        Ok(())
    }

    async fn reached(
        &self,
        topic: Topic,
        partition: u16,
        position: u64,
    ) -> Result<HashMap<String, Timestamp>, StoreError> {
        let query = sqlx::query_as(REACHED).bind(topic.name()).bind(partition).bind(signed(position));
        let rows: Vec<(String, i64)> = query.fetch_all(&self.0.timeseries.reader).await?;
        Ok(rows.into_iter().map(|(consumer, time)| (consumer, Timestamp::from_micros(time))).collect())
    }

    async fn list(&self) -> Result<Vec<ConsumerStatus>, StoreError> {
        let rows = sqlx::query(LIST).fetch_all(&self.0.timeseries.reader).await?;
        rows.iter().map(status).collect()
    }

    async fn mark_gap(&self, gap: &Gap) -> Result<(), StoreError> {
        let Gap { at, last, .. } = gap;
        let pool = &self.0.timeseries.writer;
        let enter = sqlx::query(ENTER).bind(&at.consumer).bind(at.topic).bind(i32::from(at.partition));
        enter.execute(pool).await?;
        let mark = sqlx::query(MARK_GAP).bind(&at.consumer).bind(at.topic).bind(i32::from(at.partition));
        mark.bind(signed(*last)).execute(pool).await?;
        Ok(())
    }

    async fn set_paused(&self, consumer: &str, paused: bool) -> Result<(), StoreError> {
        if !paused {
            sqlx::query(FORGET_GAPS).bind(consumer).execute(&self.0.timeseries.writer).await?;
        }
        sqlx::query(SET_PAUSED).bind(consumer).bind(paused).execute(&self.0.timeseries.writer).await?;
        Ok(())
    }
}

fn status(row: &SqliteRow) -> Result<ConsumerStatus, StoreError> {
    let at = partition(row)?;
    let report = row.try_get::<Option<String>, _>(5)?.map(|state| {
        Ok::<_, sqlx::Error>(ConsumerReport {
            at: at.clone(),
            state,
            reason: row.try_get(6)?,
            holder: row.try_get(7)?,
            reported_at: Timestamp::from_micros(row.try_get(8)?),
        })
    });
    Ok(ConsumerStatus {
        at: at.clone(),
        progress: Progress {
            next_offset: row.try_get::<i64, _>(3)?.cast_unsigned(),
            last_position: row.try_get::<i64, _>(4)?.cast_unsigned(),
        },
        report: report.transpose()?,
        parked_keys: row.try_get::<i64, _>(9)?.cast_unsigned(),
        dead_letters: row.try_get::<i64, _>(10)?.cast_unsigned(),
        lost_until: row.try_get::<Option<i64>, _>(11)?.map(i64::cast_unsigned),
    })
}
