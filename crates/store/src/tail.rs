//! Following the log.

use std::sync::Arc;

use cornjacket_domain::StoredEvent;
use tokio::sync::watch;

use crate::event_log::{EventLog, Range};
use crate::{Select, StoreError};

/// A reader that follows the log: every position once, in order, and no timer.
#[derive(Debug)]
pub struct Tail {
    log: Arc<dyn EventLog>,
    head: watch::Receiver<u64>,
    select: Select,
    after: u64,
}

impl Tail {
    /// Follows `log` from the position after `after`.
    pub fn new(log: Arc<dyn EventLog>, after: u64, select: Select) -> Self {
        let head = log.watch();
        Self { log, head, select, after }
    }

    /// The last position that was read or passed over.
    pub const fn position(&self) -> u64 {
        self.after
    }

    /// The next events, at most `limit`: at once when there are some, else as soon as there are. Cancel safe: events
    /// that were not returned are returned by the next call.
    pub async fn next(&mut self, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        loop {
            let events = self.try_next(limit).await?;
            if !events.is_empty() {
                return Ok(events);
            }
            self.moved().await;
        }
    }

    /// Returns when something was stored since the last read. Cancel safe.
    pub async fn moved(&mut self) {
        if self.head.changed().await.is_err() {
            // The log is gone from this process: nothing will ever come.
            std::future::pending::<()>().await;
        }
    }

    /// The next events that are stored already, at most `limit`.
    pub async fn try_next(&mut self, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        // Marked as seen before reading: what is stored while we read wakes the next wait.
        let head = *self.head.borrow_and_update();
        let range = Range { select: self.select.clone(), ..Range::after(self.after, limit) };
        let events = self.log.read(&range).await?;
        match events.last() {
            Some(last) => self.after = last.position,
            // Nothing selected up to `head`: the next read need not look there again.
            None => self.after = self.after.max(head),
        }
        Ok(events)
    }
}
