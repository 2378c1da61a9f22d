//! Letting go of what actions keep, on SQLite.

use std::sync::Arc;

use async_trait::async_trait;

use super::SqliteStore;
use crate::StoreError;
use crate::action_retention::{ActionRetention, Aged, Dropped};

// With the same deliveries as the next statement, which belongs to the same transaction.
const ATTEMPTS: &str = "delete from attempts where delivery in (
    select id from deliveries part where settled_at < ?1 and (state in ('delivered', 'dead')
        or state = 'gathered' and not exists (select 1 from deliveries where id = part.told_with))
    order by settled_at, number limit ?2)";
const DELIVERIES: &str = "delete from deliveries where number in (
    select number from deliveries part where settled_at < ?1 and (state in ('delivered', 'dead')
        or state = 'gathered' and not exists (select 1 from deliveries where id = part.told_with))
    order by settled_at, number limit ?2)";
const DECISIONS: &str = "delete from decisions where id in (
    select id from decisions d where last_time < ?1 and (outcome not in ('sent', 'grouped') or first_time < ?3)
        and not exists (select 1 from deliveries
            where decision = case d.outcome when 'grouped' then d.because else d.id end)
        and not exists (select 1 from decisions where because = d.id)
        and not exists (select 1 from alarms where decision = d.id and state <> 'cleared')
    order by last_time limit ?2)";
const ALARMS: &str = "delete from alarms where key in (
    select key from alarms where state = 'cleared' and cleared_at < ?1 order by key limit ?2)";
const GROUPS: &str = "delete from groups where (rule, key) in (
    select rule, key from groups where due_at is null and (told_at is null or told_at < ?1) order by told_at limit ?2)";
const SECRETS: &str = "delete from former_secrets where (endpoint, number) in (
    select endpoint, number from former_secrets where signs_until <= ?1 order by signs_until limit ?2)";

/// Lets go of what actions keep in a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteActionRetention(Arc<SqliteStore>);

impl SqliteActionRetention {
    /// Of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl ActionRetention for SqliteActionRetention {
    async fn drop_aged(&self, aged: &Aged, most: u32) -> Result<Dropped, StoreError> {
        let writer = &self.0.timeseries.writer;
        let settled = aged.settled.as_micros();
        let mut transaction = writer.begin_with("begin immediate").await?;
        sqlx::query(ATTEMPTS).bind(settled).bind(most).execute(&mut *transaction).await?;
        let deliveries = sqlx::query(DELIVERIES).bind(settled).bind(most).execute(&mut *transaction).await?;
        transaction.commit().await?;
        let decisions = sqlx::query(DECISIONS).bind(settled).bind(most).bind(aged.windows.as_micros());
        let decisions = decisions.execute(writer).await?;
        let alarms = sqlx::query(ALARMS).bind(aged.cleared.as_micros()).bind(most).execute(writer).await?;
        let groups = sqlx::query(GROUPS).bind(settled).bind(most).execute(writer).await?;
        let secrets = sqlx::query(SECRETS).bind(aged.secrets.as_micros()).bind(most).execute(writer).await?;
        Ok(Dropped {
            deliveries: deliveries.rows_affected(),
            decisions: decisions.rows_affected(),
            alarms: alarms.rows_affected(),
            groups: groups.rows_affected(),
            secrets: secrets.rows_affected(),
        })
    }
}
