//! What consumers say of themselves, on PostgreSQL.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::{Timestamp, Topic};
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::PostgresStore;
use super::dead_letters::partition;
use super::event_log::{from_sql, signed, to_sql};
use crate::StoreError;
use crate::consumers::{ConsumerReport, ConsumerStatus, Consumers, Gap, Orders};
use crate::milestones::{Milestone, OF_CONSUMERS, slot};
use crate::offsets::Progress;

const REPORT: &str = "insert into timeseries.consumer_reports
        (consumer, topic, partition, state, reason, holder, reported_at)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (consumer, topic, partition) do update set state = excluded.state, reason = excluded.reason,
        holder = excluded.holder, reported_at = excluded.reported_at";
// What a milestone of the same second knows is kept; one of an earlier hour is written over.
const KEEP: &str = "insert into timeseries.milestones as known
        (consumer, topic, partition, slot, after_position, last_position, reached_at)
    select * from unnest($1::text[], $2::text[], $3::integer[], $4::integer[], $5::bigint[], $6::bigint[],
        $7::timestamptz[])
    on conflict (topic, partition, consumer, slot) do update set
        after_position = case when known.reached_at > excluded.reached_at - interval '1 second'
            then least(known.after_position, excluded.after_position) else excluded.after_position end,
        last_position = excluded.last_position, reached_at = excluded.reached_at";
const REACHED: &str = "select consumer, min(reached_at) from timeseries.milestones
    where topic = $1 and partition = $2 and after_position < $3 and last_position >= $3 group by consumer";
const PAUSED: &str =
    "select coalesce(bool_or(paused), false) from timeseries.consumer_orders where consumer = $1";
const REDRIVE: &str =
    "select distinct topic, partition from timeseries.parked_keys where consumer = $1 and redrive";
const LIST: &str = "select p.consumer, p.topic, p.partition, p.next_offset, p.last_position,
        r.state, r.reason, r.holder, r.reported_at,
        (select count(*) from timeseries.parked_keys k
            where (k.consumer, k.topic, k.partition) = (p.consumer, p.topic, p.partition)),
        (select count(*) from timeseries.dead_letters d
            where (d.consumer, d.topic, d.partition) = (p.consumer, p.topic, p.partition)),
        g.lost_until
    from timeseries.progress p left join timeseries.consumer_reports r using (consumer, topic, partition)
        left join timeseries.consumer_gaps g using (consumer, topic, partition)
    order by p.consumer, p.topic, p.partition";
// A partition that was never read from is listed from now on.
const ENTER: &str = "insert into timeseries.progress (consumer, topic, partition, next_offset, last_position)
    values ($1, $2, $3, 0, 0) on conflict do nothing";
const MARK_GAP: &str =
    "insert into timeseries.consumer_gaps as known (consumer, topic, partition, lost_until)
    values ($1, $2, $3, $4) on conflict (consumer, topic, partition)
    do update set lost_until = greatest(known.lost_until, excluded.lost_until)";
const FORGET_GAPS: &str = "delete from timeseries.consumer_gaps where consumer = $1
    and consumer not in (select projection from timeseries.projections)
    and lost_until < (select last_position from timeseries.progress p where
        (p.consumer, p.topic, p.partition) = (consumer_gaps.consumer, consumer_gaps.topic, consumer_gaps.partition))";
const SET_PAUSED: &str = "insert into timeseries.consumer_orders (consumer, paused) values ($1, $2)
    on conflict (consumer) do update set paused = excluded.paused";

/// Consumers of a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresConsumers(Arc<PostgresStore>);

impl PostgresConsumers {
    /// The consumers of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Consumers for PostgresConsumers {
    async fn report(&self, consumer: &str, reports: &[ConsumerReport]) -> Result<Orders, StoreError> {
        for report in reports {
            sqlx::query(REPORT)
                .bind(&report.at.consumer)
                .bind(report.at.topic)
                .bind(i32::from(report.at.partition))
                .bind(&report.state)
                .bind(&report.reason)
                .bind(&report.holder)
                .bind(to_sql(report.reported_at))
                .execute(&self.0.effects)
                .await?;
        }
        let paused = sqlx::query_scalar(PAUSED).bind(consumer).fetch_one(&self.0.effects).await?;
        let redrive: Vec<(String, i32)> =
            sqlx::query_as(REDRIVE).bind(consumer).fetch_all(&self.0.effects).await?;
        let number = |(topic, partition)| u16::try_from(partition).ok().map(|partition| (topic, partition));
        Ok(Orders { paused, redrive: redrive.into_iter().filter_map(number).collect() })
    }

    async fn keep(&self, milestones: &[Milestone]) -> Result<(), StoreError> {
        if milestones.is_empty() {
            return Ok(());
        }
        sqlx::query(KEEP)
            .bind(column(milestones, |one| one.at.consumer.clone()))
            .bind(column(milestones, |one| one.at.topic))
            .bind(column(milestones, |one| i32::from(one.at.partition)))
            .bind(column(milestones, |one| slot(one.reached_at, OF_CONSUMERS)))
            .bind(column(milestones, |one| signed(one.after)))
            .bind(column(milestones, |one| signed(one.last_position)))
            .bind(column(milestones, |one| to_sql(one.reached_at)))
            .execute(&self.0.effects)
            .await?;
        Ok(())
    }

    async fn reached(
        &self,
        topic: Topic,
        partition: u16,
        position: u64,
    ) -> Result<HashMap<String, Timestamp>, StoreError> {
        let query = sqlx::query_as(REACHED).bind(topic.name()).bind(i32::from(partition));
        let rows: Vec<(String, OffsetDateTime)> =
            query.bind(signed(position)).fetch_all(&self.0.reader).await?;
        Ok(rows.into_iter().map(|(consumer, time)| (consumer, from_sql(time))).collect())
    }

    async fn list(&self) -> Result<Vec<ConsumerStatus>, StoreError> {
        let rows = sqlx::query(LIST).fetch_all(&self.0.reader).await?;
        rows.iter().map(status).collect()
    }

    async fn mark_gap(&self, gap: &Gap) -> Result<(), StoreError> {
        let Gap { at, last, .. } = gap;
        let pool = &self.0.effects;
        let enter = sqlx::query(ENTER).bind(&at.consumer).bind(at.topic).bind(i32::from(at.partition));
        enter.execute(pool).await?;
        let mark = sqlx::query(MARK_GAP).bind(&at.consumer).bind(at.topic).bind(i32::from(at.partition));
        mark.bind(signed(*last)).execute(pool).await?;
        Ok(())
    }

    async fn set_paused(&self, consumer: &str, paused: bool) -> Result<(), StoreError> {
        if !paused {
            sqlx::query(FORGET_GAPS).bind(consumer).execute(&self.0.effects).await?;
        }
        sqlx::query(SET_PAUSED).bind(consumer).bind(paused).execute(&self.0.effects).await?;
        Ok(())
    }
}

fn column<T>(milestones: &[Milestone], of: impl Fn(&Milestone) -> T) -> Vec<T> {
    milestones.iter().map(of).collect()
}

fn status(row: &PgRow) -> Result<ConsumerStatus, StoreError> {
    let at = partition(row)?;
    let report = row.try_get::<Option<String>, _>(5)?.map(|state| {
        Ok::<_, sqlx::Error>(ConsumerReport {
            at: at.clone(),
            state,
            reason: row.try_get(6)?,
            holder: row.try_get(7)?,
            reported_at: from_sql(row.try_get::<OffsetDateTime, _>(8)?),
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
