//! The port onto the accounts of devices: who may connect by MQTT with a password.

mod password;

use std::fmt::Debug;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;

use crate::StoreError;

pub use password::{ITERATIONS, PasswordHash, SALT_BYTES};

/// A device that may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its user name, and the subject that it may write; with what is below that, after a slash.
    pub name: String,
    /// What its password is compared with.
    pub password: PasswordHash,
    /// When it was added. One that was revoked and added again is another one.
    pub created_at: Timestamp,
}

/// The accounts of devices.
#[async_trait]
pub trait Devices: Debug + Send + Sync {
    /// Adds a device, unless there is one of that name: whether it was added.
    async fn add(&self, device: &Device) -> Result<bool, StoreError>;

    /// Removes a device: whether there was one.
    async fn revoke(&self, name: &str) -> Result<bool, StoreError>;

    /// The device of that name.
    async fn find(&self, name: &str) -> Result<Option<Device>, StoreError>;

    /// At most `limit` devices whose names come after `after`, byte by byte, in that order.
    async fn list(&self, after: &str, limit: u32) -> Result<Vec<Device>, StoreError>;
}
