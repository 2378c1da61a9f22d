//! Accounts of devices on PostgreSQL.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::PostgresStore;
use super::event_log::{from_sql, to_sql};
use crate::StoreError;
use crate::devices::{Device, Devices, PasswordHash};

const ADD: &str = "insert into event_store.devices (name, salt, iterations, hash, created_at)
    values ($1, $2, $3, $4, $5) on conflict do nothing";
const REVOKE: &str = "delete from event_store.devices where name = $1";
const FIND: &str = "select name, salt, iterations, hash, created_at from event_store.devices where name = $1";
// By bytes, whatever the database sorts by: as SQLite does.
const LIST: &str = "select name, salt, iterations, hash, created_at from event_store.devices
    where name collate \"C\" > $1 order by name collate \"C\" limit $2";

/// Devices of a [`PostgresStore`].
#[derive(Debug)]
pub struct PostgresDevices(Arc<PostgresStore>);

impl PostgresDevices {
    /// The devices of `store`.
    pub const fn new(store: Arc<PostgresStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Devices for PostgresDevices {
    async fn add(&self, device: &Device) -> Result<bool, StoreError> {
        let Device { name, password, created_at } = device;
        let added = sqlx::query(ADD)
            .bind(name)
            .bind(&password.salt)
            .bind(password.iterations.cast_signed())
            .bind(&password.hash)
            .bind(to_sql(*created_at))
            .execute(&self.0.writer)
            .await?;
        Ok(added.rows_affected() == 1)
    }

    async fn revoke(&self, name: &str) -> Result<bool, StoreError> {
        let revoked = sqlx::query(REVOKE).bind(name).execute(&self.0.writer).await?;
        Ok(revoked.rows_affected() == 1)
    }

    async fn find(&self, name: &str) -> Result<Option<Device>, StoreError> {
        let row = sqlx::query(FIND).bind(name).fetch_optional(&self.0.writer).await?;
        row.as_ref().map(device).transpose()
    }

    async fn list(&self, after: &str, limit: u32) -> Result<Vec<Device>, StoreError> {
        let query = sqlx::query(LIST).bind(after).bind(i64::from(limit));
        query.fetch_all(&self.0.writer).await?.iter().map(device).collect()
    }
}

fn device(row: &PgRow) -> Result<Device, StoreError> {
    let (salt, hash) = (row.try_get(1)?, row.try_get(3)?);
    Ok(Device {
        name: row.try_get(0)?,
        password: PasswordHash { salt, iterations: row.try_get::<i32, _>(2)?.cast_unsigned(), hash },
        created_at: from_sql(row.try_get::<OffsetDateTime, _>(4)?),
    })
}
