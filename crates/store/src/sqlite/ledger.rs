//! The ledger on SQLite.

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
use crate::StoreError;
use crate::ledger::{DecidedEvent, Decision, Ledger, LedgerTx, Outcome, Window, WindowKey};

static WINDOWS: LazyLock<Statements> = LazyLock::new(|| {
    let after = ") select wanted.rule, wanted.type, wanted.subject, d.id, d.first_time
        from wanted join decisions d on d.id = (select id from decisions last
            where last.rule = wanted.rule and last.type = wanted.type and last.subject = wanted.subject
                and last.outcome in ('sent', 'grouped')
            order by first_time desc limit 1)";
    statements("with wanted (rule, type, subject) as (values ", 3, after)
});
static DECIDE: LazyLock<Statements> = LazyLock::new(|| {
    let before = "insert into decisions (id, rule, rule_version, source, event_id, position, type,
            subject, outcome, reason, because, count, first_time, last_time, last_position)
        values ";
    let after = " on conflict (id) do update set count = count + excluded.count,
            last_time = max(last_time, excluded.last_time), last_position = max(last_position, excluded.last_position)
        where excluded.last_position > last_position";
    statements(before, 15, after)
});
const COLUMNS: &str =
    "select id, rule, rule_version, source, event_id, position, type, subject, outcome, reason,
        because, count, first_time, last_time, last_position
    from decisions";
const OF_EVENT: &str = "where source = ?1 and event_id = ?2
        or count > 1 and type = ?3 and subject = ?4 and position < ?5 and last_position >= ?5
    order by rule, position";

/// The ledger in a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteLedger(Arc<SqliteStore>);

impl SqliteLedger {
    /// The ledger of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn of_event(&self, event: &DecidedEvent<'_>) -> Result<Vec<Decision>, StoreError> {
        let query = sqlx::query(AssertSqlSafe(format!("{COLUMNS} {OF_EVENT}")))
            .bind(event.source)
            .bind(event.id)
            .bind(event.event_type)
            .bind(event.subject)
            .bind(signed(event.position));
        query.fetch_all(&self.0.timeseries.reader).await?.iter().map(decision).collect()
    }

    async fn get(&self, id: &str) -> Result<Option<Decision>, StoreError> {
        let query = sqlx::query(AssertSqlSafe(format!("{COLUMNS} where id = ?1"))).bind(id);
        query.fetch_optional(&self.0.timeseries.reader).await?.as_ref().map(decision).transpose()
    }
}

#[async_trait]
impl LedgerTx for SqliteTx {
    async fn windows(&mut self, keys: &[WindowKey]) -> Result<HashMap<WindowKey, Window>, StoreError> {
        let mut windows = HashMap::new();
        for (which, piece) in cut(keys) {
            let mut query = sqlx::query(AssertSqlSafe(WINDOWS[which].as_str()));
            for key in piece {
                query = query.bind(&key.rule).bind(&key.event_type).bind(&key.subject);
            }
            for row in query.fetch_all(&mut *self.0).await? {
                let key = WindowKey {
                    rule: row.try_get(0)?,
                    event_type: row.try_get(1)?,
                    subject: row.try_get(2)?,
                };
                let since = Timestamp::from_micros(row.try_get(4)?);
                windows.insert(key, Window { decision: row.try_get(3)?, since });
            }
        }
        Ok(windows)
    }

    async fn decide(&mut self, decisions: &[Decision]) -> Result<(), StoreError> {
        for (which, piece) in cut(decisions) {
            let mut query = sqlx::query(AssertSqlSafe(DECIDE[which].as_str()));
            for one in piece {
                query = query
                    .bind(&one.id)
                    .bind(&one.rule)
                    .bind(one.rule_version)
                    .bind(&one.source)
                    .bind(&one.event_id)
                    .bind(signed(one.position))
                    .bind(&one.event_type)
                    .bind(&one.subject)
                    .bind(one.outcome.name())
                    .bind(&one.reason)
                    .bind(&one.because)
                    .bind(signed(one.count))
                    .bind(one.first_time.as_micros())
                    .bind(one.last_time.as_micros())
                    .bind(signed(one.last_position));
            }
            query.execute(&mut *self.0).await?;
        }
        Ok(())
    }
}

fn decision(row: &SqliteRow) -> Result<Decision, StoreError> {
    Ok(Decision {
        id: row.try_get(0)?,
        rule: row.try_get(1)?,
        rule_version: row.try_get(2)?,
        source: row.try_get(3)?,
        event_id: row.try_get(4)?,
        position: row.try_get::<i64, _>(5)?.cast_unsigned(),
        event_type: row.try_get(6)?,
        subject: row.try_get(7)?,
        outcome: Outcome::from_name(row.try_get(8)?).unwrap_or(Outcome::Failed),
        reason: row.try_get(9)?,
        because: row.try_get(10)?,
        count: row.try_get::<i64, _>(11)?.cast_unsigned(),
        first_time: Timestamp::from_micros(row.try_get(12)?),
        last_time: Timestamp::from_micros(row.try_get(13)?),
        last_position: row.try_get::<i64, _>(14)?.cast_unsigned(),
    })
}
