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

    /// The highest position that is known to be stored. It changes when events are stored, by whichever process.
    fn watch(&self) -> watch::Receiver<u64>;

    /// Drops what was stored before the day of `time`, but nothing above `keep_after`. Returns the oldest position
    /// that is left, or the next one when none is.
    async fn drop_before(&self, time: Timestamp, keep_after: u64) -> Result<u64, StoreError>;
}

/// Reading the log, in a snapshot.
#[async_trait]
pub trait EventLogSnapshot: Send {
    /// Where the log is.
    async fn head(&mut self) -> Result<Head, StoreError>;

    /// The events of a range, in order of position, at most `range.limit`.
    async fn read(&mut self, range: &Range) -> Result<Vec<StoredEvent>, StoreError>;

    /// The event of that key.
    async fn find(&mut self, key: EventKey) -> Result<Option<StoredEvent>, StoreError>;

    /// The ingest time of the event at or, where that one is gone, next after a position.
    async fn time_at(&mut self, position: u64) -> Result<Option<Timestamp>, StoreError>;

    /// The last position stored before `time`, so that the log from `time` on is the positions above it.
    ///
    /// Times never go back along the log, so halving finds the place in some twenty reads, and no index of times is
    /// needed.
    async fn position_before(&mut self, time: Timestamp) -> Result<u64, StoreError> {
        // Invariant: every event at or below `low` is before `time`; every one above `high` is not.
        let (mut low, mut high) = (0, self.head().await?.position);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            match self.time_at(middle).await? {
                Some(found) if found < time => low = middle,
                _ => high = middle - 1,
            }
        }
        Ok(low)
    }
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
    /// From the last to the first.
    pub descending: bool,
    /// No more than this many.
    pub limit: u32,
}

impl Range {
    /// Every event above a position.
    pub const fn after(after: u64, limit: u32) -> Self {
        Self { after, until: u64::MAX, select: Select::all(), descending: false, limit }
    }
}

/// Which events of a range of positions: all of them, unless it is said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Select {
    /// Only those about this subject.
    pub subject: Option<String>,
    /// Only those of this type.
    pub event_type: Option<String>,
}

impl Select {
    /// All of them.
    pub const fn all() -> Self {
        Self { subject: None, event_type: None }
    }

    /// The texts that a statement made by [`read_statement`] binds after its first three parameters.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        [self.subject.as_deref(), self.event_type.as_deref()].into_iter().flatten()
    }
}

/// The statement that reads a range of `table`. Its parameters begin with `mark`: after, until, limit, and the texts of
/// the selection.
pub(crate) fn read_statement(table: &str, mark: char, range: &Range) -> String {
    let conditions = match (&range.select.subject, &range.select.event_type) {
        (None, None) => String::new(),
        (Some(_), None) => format!(" and subject = {mark}4"),
        (None, Some(_)) => format!(" and type = {mark}4"),
        (Some(_), Some(_)) => format!(" and subject = {mark}4 and type = {mark}5"),
    };
    let order = if range.descending { "desc" } else { "asc" };
    format!(
        "select position, ingest_time, type, subject, event from {table}
        where position > {mark}1 and position <= {mark}2{conditions} order by position {order} limit {mark}3"
    )
}
