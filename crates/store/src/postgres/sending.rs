//! Deliveries on PostgreSQL: having something told, choosing what is sent next, and noting what came of it.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::{AssertSqlSafe, Row};
use time::OffsetDateTime;

use super::deliveries::{COLUMNS, delivery, health, health_of};
use super::event_log::{from_sql, to_sql};
use super::offsets::PostgresTx;
use super::relay::interval;
use crate::StoreError;
use crate::deliveries::{
    DeliveriesTx, Delivery, DeliveryState, Health, NewDelivery, Revived, Settling, Wanted,
};

const DELIVER: &str = "insert into actions.deliveries (id, endpoint, decision, rule, rule_version, source, event_id,
        order_key, priority, message, due_at, created_at, ordered, gathers, state, attempts, steps, fence, reason)
    select id, endpoint, decision, rule, rule_version, source, event_id, order_key, priority, message, now, now,
        ordered, gathers, 'pending', 0, 0, 0, ''
    from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::text[], $8::text[],
        $9::smallint[], $10::bytea[], $11::timestamptz[], $12::boolean[], $13::boolean[]) with ordinality
        as new (id, endpoint, decision, rule, rule_version, source, event_id, order_key, priority, message, now,
            ordered, gathers, place)
    order by place on conflict do nothing";
const TAKE_TURN: &str = "select from actions.turn for update";
const UNDER_WAY: &str =
    "select endpoint, count(*) from actions.deliveries where state = 'sending' group by endpoint";
const BEGUN: &str =
    "select began_at from actions.attempts where began_at > $1 order by began_at desc limit $2";
const BEGUN_AT: &str = "select began_at from actions.attempts where endpoint = $3 and began_at > $1
    order by began_at desc limit $2";
const DUE: &str = "from unnest($2::text[], $3::integer[], $4::boolean[]) as wanted (endpoint, most, ordered)
    cross join lateral (select * from actions.deliveries w
        where w.endpoint = wanted.endpoint and w.state = 'pending' and w.due_at <= $1
            and not ((wanted.ordered or w.ordered) and exists (select from actions.deliveries before
                where before.endpoint = w.endpoint and before.order_key = w.order_key and before.number < w.number
                    and before.state in ('pending', 'sending')))
        order by w.priority, w.number limit wanted.most) as d
    order by d.priority, d.number limit $5";
// Leases are by the database's clock, so that replicas need not agree on the time.
const ABANDONED: &str =
    "from actions.deliveries d where state = 'sending' and lease_until < clock_timestamp()
    order by lease_until limit $1 for update";
const CLAIM: &str =
    "update actions.deliveries set state = 'sending', attempts = attempts + 1, fence = fence + 1,
        lease_until = clock_timestamp() + $2
    where id = any($1)";
const BEGIN: &str = "insert into actions.attempts
        (delivery, number, endpoint, began_at, outcome, status, error, response, address)
    select *, $4, 0, 0, '', ''::bytea, '' from unnest($1::text[], $2::integer[], $3::text[])";
const WELL: &str = "insert into actions.health (endpoint, failures) values ($1, 0) on conflict do nothing";
const LOCK_HEALTH: &str = "select failures, open_until, held_until, failing_since, disabled
    from actions.health where endpoint = $1 for update";
const SET_HEALTH: &str = "update actions.health set failures = $2, open_until = $3, held_until = $4,
        failing_since = $5, disabled = $6
    where endpoint = $1";
// What waits behind something of its key that is told apart is told behind it.
const GATHERABLE: &str = "from actions.deliveries d
    where endpoint = $1 and rule = $2 and state = 'pending' and gathers and attempts = 0 and number <> $3
        and not exists (select from actions.deliveries before
            where before.endpoint = d.endpoint and before.order_key = d.order_key and before.number < d.number
                and before.state in ('pending', 'sending')
                and not (before.gathers and before.attempts = 0 and before.rule = d.rule))
    order by number limit $4";
const PART: &str = "update actions.deliveries set state = 'gathered', told_with = $2, settled_at = $3
    where id = any($1)";
const SAY: &str = "update actions.deliveries set message = $2 where id = $1";
const REVIVE: &str =
    "update actions.deliveries set state = 'pending', due_at = $2, steps = 0, attempts_before = attempts, reason = '',
        settled_at = null
    where id = $1 and state in ('dead', 'delivered')";
const REVIVE_MISSED: &str =
    "update actions.deliveries set state = 'pending', due_at = $2, steps = 0, attempts_before = attempts, reason = '',
        settled_at = null
    where endpoint = $1 and state = 'dead' and (created_at >= $3 or exists
        (select from actions.deliveries part where part.told_with = actions.deliveries.id and part.created_at >= $3))";
const GIVE_UP_ORPHANS: &str = "update actions.deliveries set state = 'dead', settled_at = $1, reason = 'its endpoint is no more'
    where state = 'pending' and endpoint not in (select name from actions.definitions where kind = 'endpoint')";
const SETTLE: &str =
    "update actions.deliveries set state = $3, due_at = $4, steps = $5, reason = $6, lease_until = null,
        settled_at = case when $3 in ('delivered', 'dead') then $7 end
    where id = $1 and fence = $2 and state = 'sending'";
const NOTE: &str =
    "update actions.attempts set outcome = $3, took = $4, status = $5, error = $6, response = $7,
        address = $8
    where delivery = $1 and number = $2";

#[async_trait]
impl DeliveriesTx for PostgresTx {
    async fn deliver(&mut self, deliveries: &[NewDelivery]) -> Result<(), StoreError> {
        let text = |of: fn(&NewDelivery) -> &str| deliveries.iter().map(of).collect::<Vec<_>>();
        let versions: Vec<i32> = deliveries.iter().map(|one| one.rule_version.cast_signed()).collect();
        let priorities: Vec<i16> = deliveries.iter().map(|one| one.priority).collect();
        let messages: Vec<&[u8]> = deliveries.iter().map(|one| one.message.as_slice()).collect();
        let times: Vec<OffsetDateTime> = deliveries.iter().map(|one| to_sql(one.now)).collect();
        sqlx::query(DELIVER)
            .bind(text(|one| &one.id))
            .bind(text(|one| &one.endpoint))
            .bind(text(|one| &one.decision))
            .bind(text(|one| &one.rule))
            .bind(versions)
            .bind(text(|one| &one.source))
            .bind(text(|one| &one.event_id))
            .bind(text(|one| &one.order_key))
            .bind(priorities)
            .bind(messages)
            .bind(times)
            .bind(deliveries.iter().map(|one| one.ordered).collect::<Vec<_>>())
            .bind(deliveries.iter().map(|one| one.gathers).collect::<Vec<_>>())
            .execute(&mut *self.0)
            .await?;
        self.1.tells();
        Ok(())
    }

    async fn take_turn(&mut self) -> Result<(), StoreError> {
        sqlx::query(TAKE_TURN).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn health(&mut self) -> Result<HashMap<String, Health>, StoreError> {
        health(&mut *self.0).await
    }

    async fn under_way(&mut self) -> Result<HashMap<String, u32>, StoreError> {
        let rows = sqlx::query(UNDER_WAY).fetch_all(&mut *self.0).await?;
        let count = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
        rows.iter().map(|row| Ok((row.try_get(0)?, count(row.try_get(1)?)))).collect()
    }

    async fn begun_after(
        &mut self,
        endpoint: Option<&str>,
        after: Timestamp,
        most: u32,
    ) -> Result<Vec<Timestamp>, StoreError> {
        let query = sqlx::query_scalar(if endpoint.is_some() { BEGUN_AT } else { BEGUN });
        let query = query.bind(to_sql(after)).bind(i64::from(most));
        let query = if let Some(endpoint) = endpoint { query.bind(endpoint) } else { query };
        let times: Vec<OffsetDateTime> = query.fetch_all(&mut *self.0).await?;
        Ok(times.into_iter().map(from_sql).collect())
    }

    async fn deliverable(
        &mut self,
        now: Timestamp,
        wanted: &[Wanted<'_>],
        most: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let rows = sqlx::query(AssertSqlSafe(format!("select {COLUMNS} {DUE}")))
            .bind(to_sql(now))
            .bind(wanted.iter().map(|one| one.endpoint).collect::<Vec<_>>())
            .bind(wanted.iter().map(|one| one.most.cast_signed()).collect::<Vec<_>>())
            .bind(wanted.iter().map(|one| one.ordered).collect::<Vec<_>>())
            .bind(i64::from(most))
            .fetch_all(&mut *self.0)
            .await?;
        rows.iter().map(delivery).collect()
    }

    async fn abandoned(&mut self, most: u32) -> Result<Vec<Delivery>, StoreError> {
        let query = sqlx::query(AssertSqlSafe(format!("select {COLUMNS} {ABANDONED}")));
        query.bind(i64::from(most)).fetch_all(&mut *self.0).await?.iter().map(delivery).collect()
    }

    async fn begin_attempts(
        &mut self,
        deliveries: &[Delivery],
        now: Timestamp,
        lease: Duration,
    ) -> Result<(), StoreError> {
        let ids: Vec<&str> = deliveries.iter().map(|one| one.told.id.as_str()).collect();
        let numbers: Vec<i32> = deliveries.iter().map(|one| one.attempts.cast_signed() + 1).collect();
        let endpoints: Vec<&str> = deliveries.iter().map(|one| one.told.endpoint.as_str()).collect();
        sqlx::query(CLAIM).bind(&ids).bind(interval(lease)).execute(&mut *self.0).await?;
        let begin = sqlx::query(BEGIN).bind(ids).bind(numbers).bind(endpoints).bind(to_sql(now));
        begin.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn gatherable(&mut self, with: &Delivery, most: u32) -> Result<Vec<Delivery>, StoreError> {
        if !with.told.gathers || with.attempts > 0 {
            return Ok(Vec::new());
        }
        let query = sqlx::query(AssertSqlSafe(format!("select {COLUMNS} {GATHERABLE}")))
            .bind(&with.told.endpoint)
            .bind(&with.told.rule)
            .bind(with.number)
            .bind(i64::from(most));
        query.fetch_all(&mut *self.0).await?.iter().map(delivery).collect()
    }

    async fn gather(
        &mut self,
        parts: &[Delivery],
        into: &str,
        message: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let parts: Vec<&str> = parts.iter().map(|one| one.told.id.as_str()).collect();
        sqlx::query(PART).bind(parts).bind(into).bind(to_sql(now)).execute(&mut *self.0).await?;
        sqlx::query(SAY).bind(into).bind(message).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn revive(&mut self, which: &Revived<'_>, now: Timestamp) -> Result<u64, StoreError> {
        let query = match which {
            Revived::One(id) => sqlx::query(REVIVE).bind(id).bind(to_sql(now)),
            Revived::Missed(endpoint, since) => {
                sqlx::query(REVIVE_MISSED).bind(endpoint).bind(to_sql(now)).bind(to_sql(*since))
            }
        };
        let revived = query.execute(&mut *self.0).await?.rows_affected();
        self.1.tells();
        Ok(revived)
    }

    async fn give_up_orphans(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        let given_up = sqlx::query(GIVE_UP_ORPHANS).bind(to_sql(now)).execute(&mut *self.0).await?;
        Ok(given_up.rows_affected())
    }

    async fn lock_health(&mut self, endpoint: &str) -> Result<Health, StoreError> {
        sqlx::query(WELL).bind(endpoint).execute(&mut *self.0).await?;
        health_of(&sqlx::query(LOCK_HEALTH).bind(endpoint).fetch_one(&mut *self.0).await?, 0)
    }

    async fn set_health(&mut self, endpoint: &str, health: &Health) -> Result<(), StoreError> {
        sqlx::query(SET_HEALTH)
            .bind(endpoint)
            .bind(health.failures.cast_signed())
            .bind(health.open_until.map(to_sql))
            .bind(health.held_until.map(to_sql))
            .bind(health.failing_since.map(to_sql))
            .bind(&health.disabled)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn settle_delivery(&mut self, settling: &Settling<'_>) -> Result<bool, StoreError> {
        let result = settling.result;
        let settled = sqlx::query(SETTLE)
            .bind(settling.id)
            .bind(settling.fence.cast_signed())
            .bind(settling.state.name())
            .bind(to_sql(settling.due))
            .bind(settling.steps.cast_signed())
            .bind(&result.error)
            .bind(to_sql(settling.now))
            .execute(&mut *self.0)
            .await?;
        if settled.rows_affected() != 1 {
            return Ok(false);
        }
        sqlx::query(NOTE)
            .bind(settling.id)
            .bind(settling.attempt.cast_signed())
            .bind(result.outcome)
            .bind(result.took.map(|took| i64::try_from(took.as_micros()).unwrap_or(i64::MAX)))
            .bind(i32::from(result.status))
            .bind(&result.error)
            .bind(&result.response)
            .bind(&result.address)
            .execute(&mut *self.0)
            .await?;
        if settling.state == DeliveryState::Pending {
            // Due at another time than whoever sleeps thinks.
            self.1.tells();
        }
        Ok(true)
    }
}
