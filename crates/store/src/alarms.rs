//! The port onto alarms: what lasts until it is over. There is one of each key, and changes to it come one after the other.

use std::collections::HashMap;
use std::fmt::Debug;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;

use crate::StoreError;
use crate::groups::GroupKey;

/// How far an alarm is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmState {
    /// It lasts, and nobody has taken it on.
    Open,
    /// It lasts, and somebody has.
    Acknowledged,
    /// It is over.
    Cleared,
}

impl AlarmState {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Acknowledged, Self::Cleared];

    /// As it is kept.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Cleared => "cleared",
        }
    }

    /// The one that is kept so.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Something that lasts until it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Which.
    pub key: String,
    /// How far it is.
    pub state: AlarmState,
    /// How much it matters, as `Severity` numbers it.
    pub severity: i16,
    /// The rule that raised it.
    pub rule: String,
    /// Its version.
    pub rule_version: u32,
    /// The decision that raised it.
    pub decision: String,
    /// The source of the event that raised it.
    pub source: String,
    /// Its id.
    pub event_id: String,
    /// Its subject.
    pub subject: String,
    /// What was said.
    pub title: String,
    /// The group of the rule that it is told with.
    pub group: Option<String>,
    /// The event, encoded.
    pub event: Vec<u8>,
    /// Whether somebody was told that it lasts: only then is somebody told that it is over.
    pub told: bool,
    /// How often it was raised.
    pub raised_count: u64,
    /// Events that have said that it lasts, since it was raised.
    pub event_count: u64,
    /// When it was raised.
    pub raised: Timestamp,
    /// When it was taken on, and by whom, who may have no name.
    pub acknowledged: Option<(Timestamp, Option<String>)>,
    /// When it was over.
    pub cleared: Option<Timestamp>,
    /// The position of the last event that was about it.
    pub last_position: u64,
}

/// Alarms of a group that last, and that somebody was told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lasting {
    /// How many.
    pub count: u64,
    /// How many of them nobody has taken on.
    pub open_count: u64,
    /// Those that nobody has taken on, the oldest first, as many as were wanted.
    pub open: Vec<Alarm>,
}

/// Alarms, within a transaction.
#[async_trait]
pub trait AlarmsTx: Send {
    /// The alarms of these keys, where there is one. Until the transaction ends nobody else changes or makes one of them. Keys
    /// are distinct and in order, so that two that want the same do not wait for each other.
    async fn lock_alarms(&mut self, keys: &[String]) -> Result<HashMap<String, Alarm>, StoreError>;

    /// Writes alarms, whose keys are locked and distinct, over those that are there.
    async fn put_alarms(&mut self, alarms: &[Alarm]) -> Result<(), StoreError>;

    /// The alarms of a group that last, and that somebody was told of; of those that nobody has taken on, at most `most`.
    async fn lasting_alarms(&mut self, group: &GroupKey, most: u32) -> Result<Lasting, StoreError>;
}

/// Looking at alarms.
#[async_trait]
pub trait Alarms: Debug + Send + Sync {
    /// Those of a state, or all, by key, beginning after one.
    async fn list(
        &self,
        state: Option<AlarmState>,
        after: &str,
        limit: u32,
    ) -> Result<Vec<Alarm>, StoreError>;
}
