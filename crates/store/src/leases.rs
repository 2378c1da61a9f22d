//! The port onto leases: who alone does something, until it says no more that it does.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::StoreError;

/// Names this process to operators, as whoever holds a lease or reports.
pub fn holder() -> String {
    format!("process {}", std::process::id())
}

/// Rights that one process has at a time, by name. A lease saves work and quarrels; it is no proof, since whoever was
/// paused does not know yet that it has lost it.
#[async_trait]
pub trait Leases: Debug + Send + Sync {
    /// Takes the lease for `ttl`, unless somebody has it: its generation, which grows with every claim. `holder` is for
    /// operators.
    async fn claim(&self, name: &str, holder: &str, ttl: Duration) -> Result<Option<i64>, StoreError>;

    /// Keeps the lease for another `ttl`. False when somebody else has it.
    async fn keep(&self, name: &str, generation: i64, ttl: Duration) -> Result<bool, StoreError>;

    /// Gives the lease back, so that somebody else has it at once.
    async fn release(&self, name: &str, generation: i64) -> Result<(), StoreError>;
}
