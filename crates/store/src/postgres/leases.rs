//! Leases on PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::PostgresStore;
use super::relay::interval;
use crate::StoreError;
use crate::leases::Leases;

// By the database's clock, so that replicas need not agree on the time.
const CLAIM: &str = "insert into event_store.leases as known (name, generation, holder, lease_until)
    values ($1, 1, $2, clock_timestamp() + $3)
    on conflict (name) do update set generation = known.generation + 1, holder = excluded.holder,
        lease_until = excluded.lease_until
    where known.lease_until < clock_timestamp() returning generation";
const KEEP: &str = "update event_store.leases set lease_until = clock_timestamp() + $3
    where name = $1 and generation = $2 and lease_until > '-infinity'";
const RELEASE: &str =
    "update event_store.leases set lease_until = '-infinity' where name = $1 and generation = $2";

/// Leases in a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresLeases(Arc<PostgresStore>);

impl PostgresLeases {
    /// The leases of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Leases for PostgresLeases {
    async fn claim(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<i64>, StoreError> {
        let query = sqlx::query_scalar(CLAIM).bind(name).bind(holder).bind(interval(ttl));
        Ok(query.fetch_optional(&self.0.writer).await?)
    }

    async fn keep(&self, name: &str, generation: i64, ttl: Duration) -> Result<bool, StoreError> {
        let query = sqlx::query(KEEP).bind(name).bind(generation).bind(interval(ttl));
        Ok(query.execute(&self.0.writer).await?.rows_affected() == 1)
    }

    async fn release(&self, name: &str, generation: i64) -> Result<(), StoreError> {
        sqlx::query(RELEASE).bind(name).bind(generation).execute(&self.0.writer).await?;
        Ok(())
    }
}
