//! Letting go of old days, once in a while.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::Clock;
use cornjacket_store::{Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::config::Settings;

const INTERVAL: Duration = Duration::from_hours(1);
/// Late samples come mostly on their own day and the next; those that come later still find their way.
const COMPRESS_AFTER: Duration = DAY;
const DAY: Duration = Duration::from_hours(24);

/// Drops days of the log that are older than the retention.
#[derive(Debug)]
pub struct Retention {
    store: Store,
    clock: Arc<dyn Clock>,
    keep: Duration,
    keep_dead_letters: Duration,
    keep_series: Duration,
    keep_states: Duration,
}

impl Retention {
    /// The retention that the settings name.
    pub fn new(store: &Store, clock: Arc<dyn Clock>, settings: &Settings) -> Self {
        let days = |days: u32| Duration::from_hours(24) * days;
        Self {
            store: store.clone(),
            clock,
            keep: days(settings.retention.log_days),
            keep_dead_letters: days(settings.retention.dead_letter_days),
            keep_states: days(settings.retention.state_days),
            keep_series: days(settings.retention.series_days),
        }
    }

    /// Runs until `stop`. An outage is waited for: old days can go an hour later.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(INTERVAL);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            if let Err(error) = self.apply().await {
                tracing::warn!(%error, "old days were not dropped; trying again later");
            }
        }
        Ok(())
    }

    async fn apply(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        let read_by_all = self.read_by_all().await?;
        self.store.log.drop_before(now - self.keep, read_by_all).await?;
        // Who has not read for twice as long loses what it did not read, loudly.
        let oldest = self.store.log.drop_before(now - 2 * self.keep, u64::MAX).await?;
        if oldest - 1 > read_by_all {
            tracing::error!(oldest, read_by_all, "dropped events that a consumer has not read");
        }
        self.store.series_retention.age(now - self.keep_series, now - COMPRESS_AFTER).await?;
        // A day more than they are shown: clocks of processes differ.
        self.store.rebuilds.drop_expired(now - self.keep_states - DAY).await?;
        let expired = self.store.dead_letters.expire(now - self.keep_dead_letters).await?;
        if expired > 0 {
            tracing::warn!(expired, "gave up dead letters that nobody redrove in time");
        }
        Ok(())
    }

    /// The position up to which relay and consumers have read. One that reads a quiet topic stays behind, which keeps
    /// more than is needed and never less.
    async fn read_by_all(&self) -> Result<u64, StoreError> {
        let published = match &self.store.relay {
            Some(relay) => relay.position().await?,
            None => u64::MAX,
        };
        let consumed = self.store.offsets.slowest().await?.unwrap_or(u64::MAX);
        Ok(published.min(consumed))
    }
}
