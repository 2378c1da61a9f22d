//! Letting go of what actions keep, on PostgreSQL.
//!
//! What somebody else has in hand is passed over, so that processes that do this at once do not wait for each other.

use std::sync::Arc;

use async_trait::async_trait;

use super::PostgresStore;
use super::event_log::to_sql;
use crate::StoreError;
use crate::action_retention::{ActionRetention, Aged, Dropped};

const DELIVERIES: &str = "with old as (
        select id from actions.deliveries part where settled_at < $1 and (state in ('delivered', 'dead')
            or state = 'gathered' and not exists (select from actions.deliveries where id = part.told_with))
        order by settled_at limit $2 for update skip locked),
    gone as (delete from actions.deliveries d using old where d.id = old.id returning d.id),
    attempts as (delete from actions.attempts a using gone where a.delivery = gone.id)
    select count(*) from gone";
const DECISIONS: &str = "with old as (
        select id from actions.decisions d where last_time < $1 and (outcome not in ('sent', 'grouped') or first_time < $3)
            and not exists (select from actions.deliveries
                where decision = case d.outcome when 'grouped' then d.because else d.id end)
            and not exists (select from actions.decisions where because = d.id)
            and not exists (select from actions.alarms where decision = d.id and state <> 'cleared')
        order by last_time limit $2 for update skip locked)
    delete from actions.decisions d using old where d.id = old.id";
const ALARMS: &str = "with old as (
        select key from actions.alarms where state = 'cleared' and cleared_at < $1
        order by key limit $2 for update skip locked)
    delete from actions.alarms a using old where a.key = old.key";
const GROUPS: &str = "with old as (
        select rule, key from actions.groups where due_at is null and (told_at is null or told_at < $1)
        order by told_at limit $2 for update skip locked)
    delete from actions.groups g using old where g.rule = old.rule and g.key = old.key";
const SECRETS: &str = "with old as (
        select endpoint, number from actions.former_secrets where signs_until <= $1
        order by signs_until limit $2 for update skip locked)
    delete from actions.former_secrets f using old where f.endpoint = old.endpoint and f.number = old.number";

/// Lets go of what actions keep in a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresActionRetention(Arc<PostgresStore>);

impl PostgresActionRetention {
    /// Of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl ActionRetention for PostgresActionRetention {
    async fn drop_aged(&self, aged: &Aged, most: u32) -> Result<Dropped, StoreError> {
        let (pool, most) = (&self.0.effects, i64::from(most));
        let deliveries = sqlx::query_scalar::<_, i64>(DELIVERIES).bind(to_sql(aged.settled)).bind(most);
        let deliveries = deliveries.fetch_one(pool).await?.cast_unsigned();
        let decisions = sqlx::query(DECISIONS).bind(to_sql(aged.settled)).bind(most);
        let decisions = decisions.bind(to_sql(aged.windows)).execute(pool).await?.rows_affected();
        let alarms = sqlx::query(ALARMS).bind(to_sql(aged.cleared)).bind(most);
        let alarms = alarms.execute(pool).await?.rows_affected();
        let groups = sqlx::query(GROUPS).bind(to_sql(aged.settled)).bind(most);
        let groups = groups.execute(pool).await?.rows_affected();
        let secrets = sqlx::query(SECRETS).bind(to_sql(aged.secrets)).bind(most);
        let secrets = secrets.execute(pool).await?.rows_affected();
        Ok(Dropped { deliveries, decisions, alarms, groups, secrets })
    }
}
