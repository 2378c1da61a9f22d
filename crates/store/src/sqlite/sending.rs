//! Deliveries on SQLite: having something told, choosing what is sent next, and noting what came of it.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::{AssertSqlSafe, Row};

use super::deliveries::{COLUMNS, delivery, health, health_of};
use super::offsets::SqliteTx;
use super::rows::{Statements, cut, statements};
use crate::StoreError;
use crate::deliveries::{
    DeliveriesTx, Delivery, DeliveryState, Health, NewDelivery, Revived, Settling, Wanted,
};

static DELIVER: LazyLock<Statements> = LazyLock::new(|| {
    let before = "insert into deliveries (id, endpoint, decision, rule, rule_version, source, event_id, order_key,
            priority, message, due_at, created_at, ordered, gathers, state, attempts, steps, fence, reason)
        select column1, column2, column3, column4, column5, column6, column7, column8, column9, column10, column11,
            column11, column12, column13, 'pending', 0, 0, 0, ''
        from (values ";
    statements(before, 13, ") where true on conflict do nothing")
});
const UNDER_WAY: &str = "select endpoint, count(*) from deliveries where state = 'sending' group by endpoint";
const BEGUN: &str = "select began_at from attempts where began_at > ?1 order by began_at desc limit ?2";
const BEGUN_AT: &str = "select began_at from attempts where endpoint = ?3 and began_at > ?1
    order by began_at desc limit ?2";
const DUE: &str = "from deliveries d where endpoint = ?2 and state = 'pending' and due_at <= ?1
        and not ((?4 or ordered) and exists (select 1 from deliveries before
            where before.endpoint = d.endpoint and before.order_key = d.order_key and before.number < d.number
                and before.state in ('pending', 'sending')))
    order by priority, number limit ?3";
// By SQLite's clock, as leases are by PostgreSQL's: one process alone has the file, and tests move its clock, not this one.
const ABANDONED: &str = "from deliveries d where state = 'sending'
        and lease_until < cast(unixepoch('subsec') * 1000000 as integer)
    order by lease_until limit ?1";
const CLAIM: &str = "update deliveries set state = 'sending', attempts = attempts + 1, fence = fence + 1,
        lease_until = cast(unixepoch('subsec') * 1000000 as integer) + ?2
    where id = ?1";
const BEGIN: &str = "insert into attempts
        (delivery, number, endpoint, began_at, outcome, status, error, response, address)
    values (?1, ?2, ?3, ?4, 0, 0, '', x'', '')";
const WELL: &str = "insert into health (endpoint, failures) values (?1, 0) on conflict do nothing";
const LOCK_HEALTH: &str = "select failures, open_until, held_until, failing_since, disabled
    from health where endpoint = ?1";
const SET_HEALTH: &str = "update health set failures = ?2, open_until = ?3, held_until = ?4,
        failing_since = ?5, disabled = ?6
    where endpoint = ?1";
// What waits behind something of its key that is told apart is told behind it.
const GATHERABLE: &str = "from deliveries d
    where endpoint = ?1 and rule = ?2 and state = 'pending' and gathers and attempts = 0 and number <> ?3
        and not exists (select 1 from deliveries before
            where before.endpoint = d.endpoint and before.order_key = d.order_key and before.number < d.number
                and before.state in ('pending', 'sending')
                and not (before.gathers and before.attempts = 0 and before.rule = d.rule))
    order by number limit ?4";
const PART: &str = "update deliveries set state = 'gathered', told_with = ?2, settled_at = ?3
    where id = ?1";
const SAY: &str = "update deliveries set message = ?2 where id = ?1";
const REVIVE: &str =
    "update deliveries set state = 'pending', due_at = ?2, steps = 0, attempts_before = attempts, reason = '',
        settled_at = null
    where id = ?1 and state in ('dead', 'delivered')";
const REVIVE_MISSED: &str =
    "update deliveries set state = 'pending', due_at = ?2, steps = 0, attempts_before = attempts, reason = '',
        settled_at = null
    where endpoint = ?1 and state = 'dead' and (created_at >= ?3 or exists
        (select 1 from deliveries part where part.told_with = deliveries.id and part.created_at >= ?3))";
const GIVE_UP_ORPHANS: &str =
    "update deliveries set state = 'dead', settled_at = ?1, reason = 'its endpoint is no more'
    where state = 'pending' and endpoint not in (select name from definitions where kind = 'endpoint')";
const SETTLE: &str =
    "update deliveries set state = ?3, due_at = ?4, steps = ?5, reason = ?6, lease_until = null,
        settled_at = case when ?3 in ('delivered', 'dead') then ?7 end
    where id = ?1 and fence = ?2 and state = 'sending'";
const NOTE: &str = "update attempts set outcome = ?3, took = ?4, status = ?5, error = ?6, response = ?7,
        address = ?8
    where delivery = ?1 and number = ?2";

#[async_trait]
impl DeliveriesTx for SqliteTx {
    async fn deliver(&mut self, deliveries: &[NewDelivery]) -> Result<(), StoreError> {
        for (which, piece) in cut(deliveries) {
            let mut query = sqlx::query(AssertSqlSafe(DELIVER[which].as_str()));
            for one in piece {
                query = query
                    .bind(&one.id)
                    .bind(&one.endpoint)
                    .bind(&one.decision)
                    .bind(&one.rule)
                    .bind(one.rule_version)
                    .bind(&one.source)
                    .bind(&one.event_id)
                    .bind(&one.order_key)
                    .bind(one.priority)
                    .bind(&one.message)
                    .bind(one.now.as_micros())
                    .bind(one.ordered)
                    .bind(one.gathers);
            }
            query.execute(&mut *self.0).await?;
        }
        self.1.tells();
        Ok(())
    }

    async fn take_turn(&mut self) -> Result<(), StoreError> {
        // Whoever writes is alone.
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
        let query = query.bind(after.as_micros()).bind(i64::from(most));
        let query = if let Some(endpoint) = endpoint { query.bind(endpoint) } else { query };
        let times: Vec<i64> = query.fetch_all(&mut *self.0).await?;
        Ok(times.into_iter().map(Timestamp::from_micros).collect())
    }

    async fn deliverable(
        &mut self,
        now: Timestamp,
        wanted: &[Wanted<'_>],
        most: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let statement = format!("select {COLUMNS} {DUE}");
        let mut found = Vec::new();
        for one in wanted {
            let query = sqlx::query(AssertSqlSafe(statement.as_str()))
                .bind(now.as_micros())
                .bind(one.endpoint)
                .bind(one.most)
                .bind(one.ordered);
            for row in query.fetch_all(&mut *self.0).await? {
                found.push(delivery(&row)?);
            }
        }
        found.sort_by_key(|one| (one.told.priority, one.number));
        found.truncate(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(found)
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
        let lease = i64::try_from(lease.as_micros()).unwrap_or(i64::MAX);
        for one in deliveries {
            sqlx::query(CLAIM).bind(&one.told.id).bind(lease).execute(&mut *self.0).await?;
            let begin = sqlx::query(BEGIN).bind(&one.told.id).bind(one.attempts + 1).bind(&one.told.endpoint);
            begin.bind(now.as_micros()).execute(&mut *self.0).await?;
        }
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
        for part in parts {
            let query = sqlx::query(PART).bind(&part.told.id).bind(into).bind(now.as_micros());
            query.execute(&mut *self.0).await?;
        }
        sqlx::query(SAY).bind(into).bind(message).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn revive(&mut self, which: &Revived<'_>, now: Timestamp) -> Result<u64, StoreError> {
        let query = match which {
            Revived::One(id) => sqlx::query(REVIVE).bind(id).bind(now.as_micros()),
            Revived::Missed(endpoint, since) => {
                sqlx::query(REVIVE_MISSED).bind(endpoint).bind(now.as_micros()).bind(since.as_micros())
            }
        };
        let revived = query.execute(&mut *self.0).await?.rows_affected();
        self.1.tells();
        Ok(revived)
    }

    async fn give_up_orphans(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        let given_up = sqlx::query(GIVE_UP_ORPHANS).bind(now.as_micros()).execute(&mut *self.0).await?;
        Ok(given_up.rows_affected())
    }

    async fn lock_health(&mut self, endpoint: &str) -> Result<Health, StoreError> {
        sqlx::query(WELL).bind(endpoint).execute(&mut *self.0).await?;
        health_of(&sqlx::query(LOCK_HEALTH).bind(endpoint).fetch_one(&mut *self.0).await?, 0)
    }

    async fn set_health(&mut self, endpoint: &str, health: &Health) -> Result<(), StoreError> {
        sqlx::query(SET_HEALTH)
            .bind(endpoint)
            .bind(health.failures)
            .bind(health.open_until.map(Timestamp::as_micros))
            .bind(health.held_until.map(Timestamp::as_micros))
            .bind(health.failing_since.map(Timestamp::as_micros))
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
            .bind(settling.due.as_micros())
            .bind(settling.steps)
            .bind(&result.error)
            .bind(settling.now.as_micros())
            .execute(&mut *self.0)
            .await?;
        if settled.rows_affected() != 1 {
            return Ok(false);
        }
        sqlx::query(NOTE)
            .bind(settling.id)
            .bind(settling.attempt)
            .bind(result.outcome)
            .bind(result.took.map(|took| i64::try_from(took.as_micros()).unwrap_or(i64::MAX)))
            .bind(result.status)
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
