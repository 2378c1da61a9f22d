//! The ledger on PostgreSQL.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::PostgresStore;
use super::event_log::{from_sql, signed, to_sql};
use super::offsets::PostgresTx;
use crate::StoreError;
use crate::ledger::{DecidedEvent, Decision, Ledger, LedgerTx, Outcome, Window, WindowKey};

const WINDOWS: &str = "select wanted.rule, wanted.type, wanted.subject, last.id, last.first_time
    from unnest($1::text[], $2::text[], $3::text[]) as wanted (rule, type, subject)
    cross join lateral (select id, first_time from actions.decisions d
        where d.rule = wanted.rule and d.type = wanted.type and d.subject = wanted.subject and d.outcome in ('sent', 'grouped')
        order by first_time desc limit 1) as last";
const DECIDE: &str = "insert into actions.decisions as known (id, rule, rule_version, source, event_id, position, type,
        subject, outcome, reason, because, count, first_time, last_time, last_position)
    select * from unnest($1::text[], $2::text[], $3::integer[], $4::text[], $5::text[], $6::bigint[], $7::text[],
        $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::timestamptz[], $14::timestamptz[],
        $15::bigint[])
    on conflict (id) do update set count = known.count + excluded.count,
        last_time = greatest(known.last_time, excluded.last_time),
        last_position = greatest(known.last_position, excluded.last_position)
    where excluded.last_position > known.last_position";
const COLUMNS: &str =
    "select id, rule, rule_version, source, event_id, position, type, subject, outcome, reason,
        because, count, first_time, last_time, last_position
    from actions.decisions";

/// The ledger in a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresLedger(Arc<PostgresStore>);

impl PostgresLedger {
    /// The ledger of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn of_event(&self, event: &DecidedEvent<'_>) -> Result<Vec<Decision>, StoreError> {
        const OF_EVENT: &str = "where source = $1 and event_id = $2
            or count > 1 and type = $3 and subject = $4
                and position < $5 and last_position >= $5
            order by rule, position";
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} {OF_EVENT}")));
        let rows = query
            .bind(event.source)
            .bind(event.id)
            .bind(event.event_type)
            .bind(event.subject)
            .bind(signed(event.position))
            .fetch_all(&self.0.reader)
            .await?;
        rows.iter().map(decision).collect()
    }

    async fn get(&self, id: &str) -> Result<Option<Decision>, StoreError> {
        let query = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} where id = $1"))).bind(id);
        query.fetch_optional(&self.0.reader).await?.as_ref().map(decision).transpose()
    }
}

#[async_trait]
impl LedgerTx for PostgresTx {
    async fn windows(&mut self, keys: &[WindowKey]) -> Result<HashMap<WindowKey, Window>, StoreError> {
        let column = |of: fn(&WindowKey) -> &str| keys.iter().map(of).collect::<Vec<_>>();
        let rows = sqlx::query(WINDOWS)
            .bind(column(|key| &key.rule))
            .bind(column(|key| &key.event_type))
            .bind(column(|key| &key.subject))
            .fetch_all(&mut *self.0)
            .await?;
        let window = |row: &PgRow| {
            let key =
                WindowKey { rule: row.try_get(0)?, event_type: row.try_get(1)?, subject: row.try_get(2)? };
            Ok((key, Window { decision: row.try_get(3)?, since: from_sql(row.try_get(4)?) }))
        };
        rows.iter().map(window).collect()
    }

    async fn decide(&mut self, decisions: &[Decision]) -> Result<(), StoreError> {
        let text = |of: fn(&Decision) -> &str| decisions.iter().map(of).collect::<Vec<_>>();
        let number =
            |of: fn(&Decision) -> u64| decisions.iter().map(|one| signed(of(one))).collect::<Vec<_>>();
        let versions: Vec<i32> = decisions.iter().map(|one| one.rule_version.cast_signed()).collect();
        let because: Vec<Option<&str>> = decisions.iter().map(|one| one.because.as_deref()).collect();
        let first: Vec<OffsetDateTime> = decisions.iter().map(|one| to_sql(one.first_time)).collect();
        let last: Vec<OffsetDateTime> = decisions.iter().map(|one| to_sql(one.last_time)).collect();
        sqlx::query(DECIDE)
            .bind(text(|one| &one.id))
            .bind(text(|one| &one.rule))
            .bind(versions)
            .bind(text(|one| &one.source))
            .bind(text(|one| &one.event_id))
            .bind(number(|one| one.position))
            .bind(text(|one| &one.event_type))
            .bind(text(|one| &one.subject))
            .bind(text(|one| one.outcome.name()))
            .bind(text(|one| &one.reason))
            .bind(because)
            .bind(number(|one| one.count))
            .bind(first)
            .bind(last)
            .bind(number(|one| one.last_position))
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}

fn decision(row: &PgRow) -> Result<Decision, StoreError> {
    Ok(Decision {
        id: row.try_get(0)?,
        rule: row.try_get(1)?,
        rule_version: row.try_get::<i32, _>(2)?.cast_unsigned(),
        source: row.try_get(3)?,
        event_id: row.try_get(4)?,
        position: row.try_get::<i64, _>(5)?.cast_unsigned(),
        event_type: row.try_get(6)?,
        subject: row.try_get(7)?,
        outcome: Outcome::from_name(row.try_get(8)?).unwrap_or(Outcome::Failed),
        reason: row.try_get(9)?,
        because: row.try_get(10)?,
        count: row.try_get::<i64, _>(11)?.cast_unsigned(),
        first_time: from_sql(row.try_get(12)?),
        last_time: from_sql(row.try_get(13)?),
        last_position: row.try_get::<i64, _>(14)?.cast_unsigned(),
    })
}
