//! The port onto the event log.

use std::fmt::Debug;

use async_trait::async_trait;
use cornjacket_domain::{Event, EventKey, StoredEvent, Timestamp};
use tokio::sync::watch;

use crate::StoreError;

/// The event log: every accepted event, once per (source, id), at a position.
///
/// Positions start at 1, have no holes, and become visible in order: whoever reads up to a position has read all
/// before it, whatever other writers do.
#[async_trait]
pub trait EventLog: Debug + Send + Sync {
    /// Stores the events in the order given, in one transaction, and says of each what became of it, in the same
    /// order. When it returns `Ok`, the events are durable. After an error, whether they are stored is not known:
    /// appending them again is safe.
    async fn append(&self, events: &[Event]) -> Result<Vec<Appended>, StoreError>;

    /// Where the log is.
    async fn head(&self) -> Result<Head, StoreError>;

    /// The events of a range, in order of position, at most `range.limit`.
    async fn read(&self, range: &Range) -> Result<Vec<StoredEvent>, StoreError>;

    /// The event of that key.
    async fn find(&self, key: EventKey) -> Result<Option<StoredEvent>, StoreError>;

    /// The ingest time of the event at or, where that one is gone, next after a position.
    async fn time_at(&self, position: u64) -> Result<Option<Timestamp>, StoreError>;

    /// The highest position that is known to be stored. It changes when events are stored, by whichever process.
    fn watch(&self) -> watch::Receiver<u64>;

    /// Drops what was stored before the day of `time`, but nothing above `keep_after`. Returns the oldest position
    /// that is left, or the next one when none is.
    async fn drop_before(&self, time: Timestamp, keep_after: u64) -> Result<u64, StoreError>;
}

/// What became of an event that was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// It is stored now.
    Stored {
        /// Its place.
        position: u64,
        /// Its time.
        ingest_time: Timestamp,
    },
    /// It was stored before, with the same content.
    Duplicate {
        /// Its place since then.
        position: u64,
        /// Its time since then.
        ingest_time: Timestamp,
    },
    /// Its id is taken by other content. Nothing is stored.
    Conflict,
}

/// Where the log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Raised after a restore from a backup: positions of another epoch mean nothing.
    pub epoch: u32,
    /// The last position, 0 when nothing was ever stored.
    pub position: u64,
    /// The time of the last position.
    pub ingest_time: Timestamp,
}

/// Which events to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    /// Only positions above this one.
    pub after: u64,
    /// Only positions up to this one.
    pub until: u64,
    /// Only these events.
    pub select: Select,
    /// No more than this many.
    pub limit: u32,
}

impl Range {
    /// Every event above a position.
    pub const fn after(after: u64, limit: u32) -> Self {
        Self { after, until: u64::MAX, select: Select::All, limit }
    }
}

/// Which events of a range of positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select {
    /// All of them.
    All,
    /// Those about one subject.
    Subject(String),
    /// Those of one type.
    Type(String),
}

/// The last position stored before `time`, so that the log from `time` on is the positions above it.
///
/// Times never go back along the log, so halving finds the place in some twenty reads, and no index of times is
/// needed.
pub async fn position_before(log: &dyn EventLog, time: Timestamp) -> Result<u64, StoreError> {
    // Invariant: every event at or below `low` is before `time`; every one above `high` is not.
    let (mut low, mut high) = (0, log.head().await?.position);
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        match log.time_at(middle).await? {
            Some(found) if found < time => low = middle,
            _ => high = middle - 1,
        }
    }
    Ok(low)
}
