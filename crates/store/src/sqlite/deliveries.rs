//! Deliveries on SQLite: reading them. What changes them is in `sending.rs`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::sqlite::{SqliteExecutor, SqliteRow};
use sqlx::{AssertSqlSafe, Row};
use tokio::sync::watch;

use super::SqliteStore;
use crate::StoreError;
use crate::deliveries::{
    Attempt, AttemptResult, Deliveries, Delivery, DeliveryFilter, DeliveryState, Health, NewDelivery,
};

/// What [`delivery`] reads.
pub(super) const COLUMNS: &str = "d.number, d.id, d.endpoint, d.decision, d.rule, d.rule_version, d.source, d.event_id,
    d.order_key, d.priority, d.message, d.created_at, d.state, d.due_at, d.attempts, d.steps, d.fence, d.reason,
    d.settled_at, d.ordered, d.gathers, d.told_with, d.attempts_before";
const LIST: &str = "from deliveries d
    where (?1 is null or endpoint = ?1) and (?2 is null or rule = ?2)
        and (?3 is null or decision = ?3) and (?4 is null or state = ?4)
        and (?5 is null or number < ?5)
    order by number desc limit ?6";
const ATTEMPTS: &str = "select number, began_at, outcome, took, status, error, response, address
    from attempts where delivery = ?1 order by number";
const HEALTH: &str = "select endpoint, failures, open_until, held_until, failing_since, disabled from health";
const NEXT_DUE: &str = "select min(due_at) from (
        select min(due_at) as due_at from deliveries where state = 'pending' and due_at > ?1
        union all select min(due_at) from groups where due_at > ?1) as next";

/// Deliveries in a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteDeliveries(Arc<SqliteStore>);

impl SqliteDeliveries {
    /// The deliveries of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Deliveries for SqliteDeliveries {
    async fn list(
        &self,
        filter: &DeliveryFilter,
        below: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let query = sqlx::query(AssertSqlSafe(format!("select {COLUMNS} {LIST}")));
        let rows = query
            .bind(&filter.endpoint)
            .bind(&filter.rule)
            .bind(&filter.decision)
            .bind(filter.state.map(DeliveryState::name))
            .bind(below)
            .bind(i64::from(limit))
            .fetch_all(&self.0.timeseries.reader)
            .await?;
        rows.iter().map(delivery).collect()
    }

    async fn get(&self, id: &str) -> Result<Option<(Delivery, Vec<Attempt>)>, StoreError> {
        let query = AssertSqlSafe(format!("select {COLUMNS} from deliveries d where id = ?1"));
        let row = sqlx::query(query).bind(id).fetch_optional(&self.0.timeseries.reader).await?;
        let Some(found) = row.as_ref().map(delivery).transpose()? else { return Ok(None) };
        let rows = sqlx::query(ATTEMPTS).bind(id).fetch_all(&self.0.timeseries.reader).await?;
        Ok(Some((found, rows.iter().map(attempt).collect::<Result<_, _>>()?)))
    }

    async fn health(&self) -> Result<HashMap<String, Health>, StoreError> {
        health(&self.0.timeseries.reader).await
    }

    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let next =
            sqlx::query_scalar(NEXT_DUE).bind(after.as_micros()).fetch_one(&self.0.timeseries.reader).await?;
        Ok(Option::<i64>::map(next, Timestamp::from_micros))
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.0.wakes.deliveries.subscribe()
    }
}

/// How all endpoints are doing that are not well.
pub(super) async fn health(executor: impl SqliteExecutor<'_>) -> Result<HashMap<String, Health>, StoreError> {
    let rows = sqlx::query(HEALTH).fetch_all(executor).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, health_of(row, 1)?))).collect()
}

/// The five columns from `column` on.
pub(super) fn health_of(row: &SqliteRow, column: usize) -> Result<Health, StoreError> {
    let time = |index| Ok::<_, StoreError>(row.try_get::<Option<i64>, _>(index)?.map(Timestamp::from_micros));
    Ok(Health {
        failures: row.try_get(column)?,
        open_until: time(column + 1)?,
        held_until: time(column + 2)?,
        failing_since: time(column + 3)?,
        disabled: row.try_get(column + 4)?,
    })
}

/// [`COLUMNS`].
pub(super) fn delivery(row: &SqliteRow) -> Result<Delivery, StoreError> {
    let state: &str = row.try_get(12)?;
    Ok(Delivery {
        number: row.try_get(0)?,
        told: NewDelivery {
            id: row.try_get(1)?,
            endpoint: row.try_get(2)?,
            decision: row.try_get(3)?,
            rule: row.try_get(4)?,
            rule_version: row.try_get(5)?,
            source: row.try_get(6)?,
            event_id: row.try_get(7)?,
            order_key: row.try_get(8)?,
            ordered: row.try_get(19)?,
            gathers: row.try_get(20)?,
            priority: row.try_get(9)?,
            message: row.try_get(10)?,
            now: Timestamp::from_micros(row.try_get(11)?),
        },
        state: DeliveryState::from_name(state).unwrap_or(DeliveryState::Dead),
        due: Timestamp::from_micros(row.try_get(13)?),
        attempts: row.try_get(14)?,
        steps: row.try_get(15)?,
        fence: row.try_get::<i64, _>(16)?.cast_unsigned(),
        reason: row.try_get(17)?,
        settled: row.try_get::<Option<i64>, _>(18)?.map(Timestamp::from_micros),
        told_with: row.try_get(21)?,
        attempts_before: row.try_get(22)?,
    })
}

fn attempt(row: &SqliteRow) -> Result<Attempt, StoreError> {
    let took: Option<i64> = row.try_get(3)?;
    Ok(Attempt {
        number: row.try_get(0)?,
        began: Timestamp::from_micros(row.try_get(1)?),
        result: AttemptResult {
            outcome: row.try_get(2)?,
            took: took.map(|micros| Duration::from_micros(micros.cast_unsigned())),
            status: row.try_get(4)?,
            error: row.try_get(5)?,
            response: row.try_get(6)?,
            address: row.try_get(7)?,
        },
    })
}
