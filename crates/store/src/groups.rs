//! The port onto groups: what a rule tells together. What waits is for others to read; here it is bytes.

use std::collections::HashMap;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;

use crate::StoreError;

/// Which group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKey {
    /// The rule that tells.
    pub rule: String,
    /// Its key among the groups of the rule.
    pub key: String,
}

/// A group. One that is not kept has nothing that waits, and was never told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Which.
    pub id: GroupKey,
    /// When something is told of it next.
    pub due: Option<Timestamp>,
    /// When something was told of it last.
    pub told: Option<Timestamp>,
    /// What waits.
    pub waiting: Vec<u8>,
}

impl Group {
    /// One that nothing is known of.
    pub const fn new(id: GroupKey) -> Self {
        Self { id, due: None, told: None, waiting: Vec::new() }
    }
}

/// Groups, within a transaction.
#[async_trait]
pub trait GroupsTx: Send {
    /// The groups of these keys, each of them. Until the transaction ends nobody else changes one of them. Keys are distinct and in
    /// order, so that two that want the same do not wait for each other.
    async fn lock_groups(&mut self, keys: &[GroupKey]) -> Result<HashMap<GroupKey, Group>, StoreError>;

    /// Writes groups that are locked.
    async fn put_groups(&mut self, groups: &[Group]) -> Result<(), StoreError>;

    /// Groups of which something is to be told by now, those that have waited longest, at most `most`, locked and by key.
    async fn due_groups(&mut self, now: Timestamp, most: u32) -> Result<Vec<Group>, StoreError>;
}
