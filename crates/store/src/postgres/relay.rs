//! What the relay remembers. Only a bus apart from the log needs a relay, and SQLite never has one.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::{Clock, Timestamp};
use sqlx::Row;
use sqlx::postgres::types::PgInterval;
use time::OffsetDateTime;

use super::PostgresStore;
use super::event_log::{from_sql, to_sql};
use crate::StoreError;
use crate::milestones::{OF_THE_RELAY, slot};

// By the database's clock, so that replicas need not agree on the time.
const CLAIM: &str = "update event_store.relay
    set generation = generation + 1, holder = $1, lease_until = clock_timestamp() + $2
    where lease_until < clock_timestamp() returning generation, position, published";
// The milestone is of the same statement: no round trip and no commit of its own. `known` is from before the update.
const ADVANCE: &str = "with known as (
        select position from event_store.relay
    ), moved as (
        update event_store.relay
        set position = greatest(position, $2), published = $4, lease_until = clock_timestamp() + $3
        where generation = $1 and lease_until > '-infinity' returning position
    ), milestone as (
        insert into event_store.relay_milestones as known (slot, after_position, last_position, reached_at)
        select $5, known.position, moved.position, $6 from known, moved where moved.position > known.position
        on conflict (slot) do update set
            after_position = case when known.reached_at > excluded.reached_at - interval '250 ms'
                then least(known.after_position, excluded.after_position) else excluded.after_position end,
            last_position = excluded.last_position, reached_at = excluded.reached_at
    ) select count(*) from moved";
const GO_BACK: &str = "update event_store.relay set position = $2, published = ''
    where generation = $1 and lease_until > '-infinity' and position >= $2";
const RELEASE: &str = "update event_store.relay set lease_until = '-infinity' where generation = $1";
const POSITION: &str = "select position from event_store.relay";
const REACHED: &str = "select min(reached_at) from event_store.relay_milestones
    where after_position < $1 and last_position >= $1";
const PUBLISHED: &str = "select published from event_store.relay";

/// The relay's checkpoint, and the lease on moving it.
#[derive(Clone, Debug)]
pub struct RelayCheckpoint {
    store: Arc<PostgresStore>,
    clock: Arc<dyn Clock>,
}

/// The right to move the checkpoint, until somebody else has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Grows with every claim; an older one can no longer move the checkpoint.
    pub generation: i64,
    /// Everything up to here is on the bus for good.
    pub position: u64,
    /// What was published where, as it was kept with the position; empty when nothing is known.
    pub published: String,
}

impl RelayCheckpoint {
    /// The checkpoint in `store`.
    pub const fn new(store: Arc<PostgresStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }

    /// Takes the lease for `ttl`, unless somebody has it. `holder` is for operators.
    pub async fn claim(&self, holder: &str, ttl: Duration) -> Result<Option<Claim>, StoreError> {
        let row =
            sqlx::query(CLAIM).bind(holder).bind(interval(ttl)).fetch_optional(&self.store.writer).await?;
        row.map(|row| {
            let position = row.try_get::<i64, _>(1)?.cast_unsigned();
            Ok(Claim { generation: row.try_get(0)?, position, published: row.try_get(2)? })
        })
        .transpose()
    }

    /// Moves the checkpoint to `position`, keeps with it what was `published` where, and keeps the lease for another `ttl`.
    /// False when somebody else has it.
    pub async fn advance(
        &self,
        generation: i64,
        position: u64,
        published: &str,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let query = sqlx::query_scalar(ADVANCE).bind(generation).bind(position.cast_signed());
        let query = query.bind(interval(ttl)).bind(published).bind(slot(now, OF_THE_RELAY)).bind(to_sql(now));
        let moved: i64 = query.fetch_one(&self.store.writer).await?;
        Ok(moved == 1)
    }

    /// Moves the checkpoint back to `position`, when it is not before it already: the bus has lost what came after. False
    /// when somebody else has the lease.
    pub async fn go_back(&self, generation: i64, position: u64) -> Result<bool, StoreError> {
        let query = sqlx::query(GO_BACK).bind(generation).bind(position.cast_signed());
        Ok(query.execute(&self.store.writer).await?.rows_affected() == 1)
    }

    /// Gives the lease back, so that another relay goes on at once.
    pub async fn release(&self, generation: i64) -> Result<(), StoreError> {
        sqlx::query(RELEASE).bind(generation).execute(&self.store.writer).await?;
        Ok(())
    }

    /// Everything up to here is on the bus for good.
    pub async fn position(&self) -> Result<u64, StoreError> {
        let position: i64 = sqlx::query_scalar(POSITION).fetch_one(&self.store.writer).await?;
        Ok(position.cast_unsigned())
    }

    /// By when the event at `position` was on the bus for good, as far as that is still known.
    pub async fn reached(&self, position: u64) -> Result<Option<Timestamp>, StoreError> {
        let query = sqlx::query_scalar(REACHED).bind(position.cast_signed());
        let reached: Option<OffsetDateTime> = query.fetch_one(&self.store.reader).await?;
        Ok(reached.map(from_sql))
    }

    /// What was published where, as it was kept with the position; empty when nothing is known.
    pub async fn published(&self) -> Result<String, StoreError> {
        Ok(sqlx::query_scalar(PUBLISHED).fetch_one(&self.store.writer).await?)
    }
}

pub(super) fn interval(duration: Duration) -> PgInterval {
    PgInterval::try_from(duration).expect("a lease in whole microseconds")
}
