//! Accounts of devices on SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::SqliteStore;
use crate::StoreError;
use crate::devices::{Device, Devices, PasswordHash};

const ADD: &str = "insert into devices (name, salt, iterations, hash, created_at)
    values (?1, ?2, ?3, ?4, ?5) on conflict do nothing";
const REVOKE: &str = "delete from devices where name = ?1";
const FIND: &str = "select name, salt, iterations, hash, created_at from devices where name = ?1";
const LIST: &str = "select name, salt, iterations, hash, created_at from devices
    where name > ?1 order by name limit ?2";

/// Devices of a [`SqliteStore`].
#[derive(Debug)]
pub struct SqliteDevices(Arc<SqliteStore>);

impl SqliteDevices {
    /// The devices of `store`.
    pub const fn new(store: Arc<SqliteStore>) -> Self {
        Self(store)
    }
}

#[async_trait]
impl Devices for SqliteDevices {
    async fn add(&self, device: &Device) -> Result<bool, StoreError> {
        let Device { name, password, created_at } = device;
        let added = sqlx::query(ADD)
            .bind(name)
            .bind(&password.salt)
            .bind(password.iterations)
            .bind(&password.hash)
            .bind(created_at.as_micros())
            .execute(&self.0.events.writer)
            .await?;
        Ok(added.rows_affected() == 1)
    }

    async fn revoke(&self, name: &str) -> Result<bool, StoreError> {
        let revoked = sqlx::query(REVOKE).bind(name).execute(&self.0.events.writer).await?;
        Ok(revoked.rows_affected() == 1)
    }

    async fn find(&self, name: &str) -> Result<Option<Device>, StoreError> {
        let row = sqlx::query(FIND).bind(name).fetch_optional(&self.0.events.reader).await?;
        row.as_ref().map(device).transpose()
    }

    async fn list(&self, after: &str, limit: u32) -> Result<Vec<Device>, StoreError> {
        let query = sqlx::query(LIST).bind(after).bind(limit);
        query.fetch_all(&self.0.events.reader).await?.iter().map(device).collect()
    }
}

fn device(row: &SqliteRow) -> Result<Device, StoreError> {
    Ok(Device {
        name: row.try_get(0)?,
        password: PasswordHash { salt: row.try_get(1)?, iterations: row.try_get(2)?, hash: row.try_get(3)? },
        created_at: Timestamp::from_micros(row.try_get(4)?),
    })
}
