//! Alarms on PostgreSQL.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Row};
use time::OffsetDateTime;

use super::PostgresStore;
use super::event_log::{from_sql, signed, to_sql};
use super::offsets::PostgresTx;
use crate::StoreError;
use crate::alarms::{Alarm, AlarmState, Alarms, AlarmsTx, Lasting};
use crate::groups::GroupKey;

// There is nothing to lock of an alarm that is not there yet.
const LOCK: &str = "select pg_advisory_xact_lock(hashtextextended(key, 7)) from unnest($1::text[])
    with ordinality as wanted (key, place) order by place";
const COLUMNS: &str = "select key, state, severity, rule, rule_version, decision, source, event_id, subject, title, event,
        told, raised_count, event_count, raised_at, acknowledged_at, acknowledged_by, cleared_at, last_position, group_key
    from actions.alarms";
const THESE: &str = "where key = any($1)";
const PUT: &str =
    "insert into actions.alarms (key, state, severity, rule, rule_version, decision, source, event_id,
        subject, title, event, told, raised_count, event_count, raised_at, acknowledged_at, acknowledged_by,
        cleared_at, last_position, group_key)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
    on conflict (key) do update set state = $2, severity = $3, rule = $4, rule_version = $5, decision = $6,
        source = $7, event_id = $8, subject = $9, title = $10, event = $11, told = $12, raised_count = $13,
        event_count = $14, raised_at = $15, acknowledged_at = $16, acknowledged_by = $17, cleared_at = $18,
        last_position = $19, group_key = $20";
const LIST: &str = "where ($1::text is null or state = $1) and key > $2 order by key limit $3";

const LASTING: &str = "where rule = $1 and group_key = $2 and state <> 'cleared' and told";
const OPEN: &str = "and state = 'open' order by raised_at, key limit $3";

/// Alarms in a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresAlarms(Arc<PostgresStore>);

impl PostgresAlarms {
    /// The alarms of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Alarms for PostgresAlarms {
    async fn list(
        &self,
        state: Option<AlarmState>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Alarm>, StoreError> {
        let query = sqlx::query(AssertSqlSafe(format!("{COLUMNS} {LIST}")));
        let query = query.bind(state.map(AlarmState::name)).bind(after).bind(i64::from(limit));
        query.fetch_all(&self.0.reader).await?.iter().map(alarm).collect()
    }
}

#[async_trait]
impl AlarmsTx for PostgresTx {
    async fn lock_alarms(&mut self, keys: &[String]) -> Result<HashMap<String, Alarm>, StoreError> {
        sqlx::query(LOCK).bind(keys).execute(&mut *self.0).await?;
        // A statement of its own: it sees what the last holder committed.
        let query = sqlx::query(AssertSqlSafe(format!("{COLUMNS} {THESE}")));
        let rows = query.bind(keys).fetch_all(&mut *self.0).await?;
        let alarms = rows.iter().map(alarm);
        alarms.map(|alarm| alarm.map(|alarm| (alarm.key.clone(), alarm))).collect()
    }

    async fn put_alarms(&mut self, alarms: &[Alarm]) -> Result<(), StoreError> {
        for alarm in alarms {
            let (at, by) = alarm.acknowledged.clone().unzip();
            sqlx::query(PUT)
                .bind(&alarm.key)
                .bind(alarm.state.name())
                .bind(alarm.severity)
                .bind(&alarm.rule)
                .bind(alarm.rule_version.cast_signed())
                .bind(&alarm.decision)
                .bind(&alarm.source)
                .bind(&alarm.event_id)
                .bind(&alarm.subject)
                .bind(&alarm.title)
                .bind(&alarm.event)
                .bind(alarm.told)
                .bind(signed(alarm.raised_count))
                .bind(signed(alarm.event_count))
                .bind(to_sql(alarm.raised))
                .bind(at.map(to_sql))
                .bind(by.flatten())
                .bind(alarm.cleared.map(to_sql))
                .bind(signed(alarm.last_position))
                .bind(&alarm.group)
                .execute(&mut *self.0)
                .await?;
        }
        Ok(())
    }

    async fn lasting_alarms(&mut self, group: &GroupKey, most: u32) -> Result<Lasting, StoreError> {
        let counts =
            format!("select count(*), count(*) filter (where state = 'open') from actions.alarms {LASTING}");
        let counts = sqlx::query_as(AssertSqlSafe(counts)).bind(&group.rule).bind(&group.key);
        let (count, open_count): (i64, i64) = counts.fetch_one(&mut *self.0).await?;
        let query = sqlx::query(AssertSqlSafe(format!("{COLUMNS} {LASTING} {OPEN}")));
        let query = query.bind(&group.rule).bind(&group.key).bind(i64::from(most));
        let open = query.fetch_all(&mut *self.0).await?.iter().map(alarm).collect::<Result<_, _>>()?;
        Ok(Lasting { count: count.cast_unsigned(), open_count: open_count.cast_unsigned(), open })
    }
}

fn alarm(row: &PgRow) -> Result<Alarm, StoreError> {
    let time = |index| Ok::<_, StoreError>(row.try_get::<Option<OffsetDateTime>, _>(index)?.map(from_sql));
    let by: Option<String> = row.try_get(16)?;
    let number = |index| Ok::<_, StoreError>(row.try_get::<i64, _>(index)?.cast_unsigned());
    Ok(Alarm {
        key: row.try_get(0)?,
        state: AlarmState::from_name(row.try_get(1)?).unwrap_or(AlarmState::Open),
        severity: row.try_get(2)?,
        rule: row.try_get(3)?,
        rule_version: row.try_get::<i32, _>(4)?.cast_unsigned(),
        decision: row.try_get(5)?,
        source: row.try_get(6)?,
        event_id: row.try_get(7)?,
        subject: row.try_get(8)?,
        title: row.try_get(9)?,
        event: row.try_get(10)?,
        told: row.try_get(11)?,
        raised_count: number(12)?,
        event_count: number(13)?,
        raised: from_sql(row.try_get(14)?),
        acknowledged: time(15)?.map(|at| (at, by)),
        cleared: time(17)?,
        last_position: number(18)?,
        group: row.try_get(19)?,
    })
}
