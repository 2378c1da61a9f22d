//! Doors on PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::PostgresStore;
use crate::StoreError;
use crate::doors::{Door, Doors};

const OPEN: &str = "insert into timeseries.doors (name, kind, open_at) values ($1, $2, clock_timestamp())
    on conflict (name) do update set kind = excluded.kind, open_at = excluded.open_at";
const LIST: &str = "select name, kind,
        greatest(0, extract(epoch from clock_timestamp() - open_at))::double precision
    from timeseries.doors order by name";
const FORGET: &str = "delete from timeseries.doors where name = $1";

/// Doors in a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresDoors(Arc<PostgresStore>);

impl PostgresDoors {
    /// The doors of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Doors for PostgresDoors {
    async fn open(&self, kind: &str, name: &str) -> Result<(), StoreError> {
        sqlx::query(OPEN).bind(name).bind(kind).execute(&self.0.effects).await?;
        Ok(())
    }

    async fn list(&self) -> Result<Vec<Door>, StoreError> {
        let rows: Vec<(String, String, f64)> = sqlx::query_as(LIST).fetch_all(&self.0.effects).await?;
        let door = |(name, kind, seconds)| Door { name, kind, silent_for: Duration::from_secs_f64(seconds) };
        Ok(rows.into_iter().map(door).collect())
    }

    async fn forget(&self, name: &str) -> Result<(), StoreError> {
        sqlx::query(FORGET).bind(name).execute(&self.0.effects).await?;
        Ok(())
    }
}
