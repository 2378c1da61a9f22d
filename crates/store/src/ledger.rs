//! The port onto the ledger: what became of every event that a rule matched.

use std::collections::HashMap;
use std::fmt::Debug;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;

use crate::StoreError;

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is told.
    Sent,
    /// It was told shortly before.
    Deduplicated,
    /// It was too old.
    Stale,
    /// It comes of too many of our own doings.
    Loop,
    /// It ended what nobody had been told of.
    Untold,
    /// It fell into a silence.
    Silenced,
    /// It is told together with others of its group.
    Grouped,
    /// It was decided on outside of the active times of its rule.
    Muted,
    /// Whether the rule means it could not be found out, or it could not be put into words.
    Failed,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Sent,
        Self::Deduplicated,
        Self::Stale,
        Self::Loop,
        Self::Untold,
        Self::Silenced,
        Self::Grouped,
        Self::Muted,
        Self::Failed,
    ];

    /// As it is kept.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Deduplicated => "deduplicated",
            Self::Stale => "stale",
            Self::Loop => "loop",
            Self::Untold => "untold",
            Self::Silenced => "silenced",
            Self::Grouped => "grouped",
            Self::Muted => "muted",
            Self::Failed => "failed",
        }
    }

    /// The one that is kept so.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// What became of an event by a rule; of several, where they are repeats of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// A digest of what it is about.
    pub id: String,
    /// The rule.
    pub rule: String,
    /// Its version.
    pub rule_version: u32,
    /// The source of the first event.
    pub source: String,
    /// Its id.
    pub event_id: String,
    /// Its position.
    pub position: u64,
    /// Its type.
    pub event_type: String,
    /// Its subject.
    pub subject: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why.
    pub reason: String,
    /// Of a repeat: the decision in whose window it fell. Of one that is told with others: what the deliveries are of.
    pub because: Option<String>,
    /// How many events.
    pub count: u64,
    /// When the first was stored.
    pub first_time: Timestamp,
    /// When the last was stored.
    pub last_time: Timestamp,
    /// The position of the last.
    pub last_position: u64,
}

/// What is told once within a while: a rule, a type and a subject.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowKey {
    /// The rule's name.
    pub rule: String,
    /// The type.
    pub event_type: String,
    /// The subject.
    pub subject: String,
}

/// A decision to tell something, which begins a window.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The decision.
    pub decision: String,
    /// When its event was stored.
    pub since: Timestamp,
}

/// The ledger, within a transaction.
#[async_trait]
pub trait LedgerTx: Send {
    /// The last windows of these keys, which are distinct, where there is one.
    async fn windows(&mut self, keys: &[WindowKey]) -> Result<HashMap<WindowKey, Window>, StoreError>;

    /// Writes decisions, whose ids are distinct. Of one that is there already it counts more events, up to a later one.
    async fn decide(&mut self, decisions: &[Decision]) -> Result<(), StoreError>;
}

/// Looking into the ledger.
#[async_trait]
pub trait Ledger: Debug + Send + Sync {
    /// What became of an event: the decisions on it, and those on repeats among which it is.
    async fn of_event(&self, event: &DecidedEvent<'_>) -> Result<Vec<Decision>, StoreError>;

    /// The decision of that id.
    async fn get(&self, id: &str) -> Result<Option<Decision>, StoreError>;
}

/// An event that may have been decided on.
#[derive(Clone, Copy, Debug)]
pub struct DecidedEvent<'a> {
    /// Its source.
    pub source: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Its type.
    pub event_type: &'a str,
    /// Its subject.
    pub subject: &'a str,
    /// Its position.
    pub position: u64,
}
