//! The port onto doors: the ways in, and whether they are open.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::StoreError;

/// A way in, as it last said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Door {
    /// Which.
    pub name: String,
    /// Those of one kind let in the same.
    pub kind: String,
    /// How long ago it said that it is open.
    pub silent_for: Duration,
}

/// Doors of all processes that share the store.
#[async_trait]
pub trait Doors: Debug + Send + Sync {
    /// A door is open.
    async fn open(&self, kind: &str, name: &str) -> Result<(), StoreError>;

    /// All of them, by name.
    async fn list(&self) -> Result<Vec<Door>, StoreError>;

    /// Forgets a door; one that says again that it is open is there again.
    async fn forget(&self, name: &str) -> Result<(), StoreError>;
}
