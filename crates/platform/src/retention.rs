//! Letting go of old days, once in a while.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::{Clock, Event, Limits, Timestamp, event};
use cornjacket_proto::events as proto;
use cornjacket_store::{Forgotten, Gap, Store, StoreError};
use tokio_util::sync::CancellationToken;

use crate::config::{BusUrl, Settings};
use crate::unread::{HaveRead, Reader};

const INTERVAL: Duration = Duration::from_hours(1);
/// Late samples come mostly on their own day and the next; those that come later still find their way.
const COMPRESS_AFTER: Duration = DAY;
/// States of detectors that are gone over at once.
const AT_ONCE: u32 = 1_000;
const DAY: Duration = Duration::from_hours(24);

/// Drops days of the log that are older than the retention.
#[derive(Debug)]
pub struct Retention {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Whoever must have read an event before it goes.
    readers: Vec<Reader>,
    /// Whether the log must be published as well.
    relayed: bool,
    keep: Duration,
    keep_dead_letters: Duration,
    keep_series: Duration,
    keep_states: Duration,
    actions: cornjacket_actions::Retention,
}

impl Retention {
    /// The retention that the settings name.
    pub fn new(store: &Store, clock: Arc<dyn Clock>, settings: &Settings, readers: Vec<Reader>) -> Self {
        let days = |days: u32| Duration::from_hours(24) * days;
        Self {
            store: store.clone(),
            clock,
            readers,
            relayed: matches!(settings.bus_url(), Ok(BusUrl::Kafka(_))),
            keep: days(settings.retention.log_days),
            keep_dead_letters: days(settings.retention.dead_letter_days),
            keep_states: days(settings.retention.state_days),
            keep_series: days(settings.retention.series_days),
            actions: cornjacket_actions::Retention::new(
                store.action_retention.clone(),
                store.defining.clone(),
                settings.retention.actions(),
            ),
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
        self.drop_old_days(now).await?;
        self.store.series_retention.age(now - self.keep_series, now - COMPRESS_AFTER).await?;
        self.forget(now - self.keep_series).await?;
        // A day more than they are shown: clocks of processes differ.
        self.store.rebuilds.drop_expired(now - self.keep_states - DAY).await?;
        let expired = self.store.dead_letters.expire(now - self.keep_dead_letters).await?;
        if expired > 0 {
            tracing::warn!(expired, "gave up dead letters that nobody redrove in time");
        }
        self.actions.apply(now).await?;
        metrics::counter!("cornjacket_retention_passes_total").increment(1);
        Ok(())
    }

    /// Forgets what detectors remember of what is gone, part by part, so that nobody waits for it.
    async fn forget(&self, oldest: Timestamp) -> Result<(), StoreError> {
        let mut next = None;
        loop {
            let Forgotten { states, next: more } =
                self.store.series_retention.forget(oldest, next, AT_ONCE).await?;
            metrics::counter!("cornjacket_inference_states_forgotten_total").increment(states);
            if more.is_none() {
                return Ok(());
            }
            next = more;
        }
    }

    /// Who has not read for twice the retention loses what it did not read; until then, it holds the log.
    async fn drop_old_days(&self, now: Timestamp) -> Result<(), StoreError> {
        let statuses = self.store.consumers.list().await?;
        let read = HaveRead::new(&self.readers, &statuses, self.store.partitions);
        let (old, too_old) = (now - self.keep, now - 2 * self.keep);
        // Said before it is done: a loss is never silent, whatever happens in between.
        for gap in read.losses(self.store.log.as_ref(), too_old).await? {
            self.tell(&gap).await?;
        }
        self.store.log.drop_before(too_old, u64::MAX).await?;
        let unread = read.first_unread(self.store.log.as_ref(), old).await?;
        let read_by_all = unread.map_or(u64::MAX, |position| position - 1);
        self.store.log.drop_before(old, read_by_all.min(self.published().await?)).await?;
        Ok(())
    }

    /// The position up to which the relay has read, where there is one.
    async fn published(&self) -> Result<u64, StoreError> {
        match self.store.relay.as_ref().filter(|_| self.relayed) {
            Some(relay) => relay.position().await,
            None => Ok(u64::MAX),
        }
    }

    /// Says what is lost in the log, to operators and to whoever reads `consumers`.
    async fn tell(&self, gap: &Gap) -> Result<(), StoreError> {
        tracing::error!(?gap, "dropping events that a consumer has not read");
        if let Some(event) = gap_event(gap, self.clock.now()) {
            self.store.log.append(&[event]).await?;
        }
        self.store.consumers.mark_gap(gap).await
    }
}

/// The same for everybody who finds the gap: its id is made of where it begins, so that it is in the log once.
fn gap_event(gap: &Gap, now: Timestamp) -> Option<Event> {
    let Gap { at, first, last } = gap;
    let fields = [
        ("consumer", at.consumer.clone()),
        ("topic", at.topic.to_owned()),
        ("partition", at.partition.to_string()),
        ("first_position", first.to_string()),
        ("last_position", last.to_string()),
    ];
    let event = proto::Event {
        id: format!("gap-{}-{}-{}-{first}", at.consumer, at.topic, at.partition),
        source: "cornjacket/retention".to_owned(),
        r#type: "system.consumer_gap".to_owned(),
        subject: at.consumer.clone(),
        payload: Some(event::texts(fields)),
        ..proto::Event::default()
    };
    let event = Event::new(event, now, &Limits::default());
    event.inspect_err(|error| tracing::error!(?error, "a gap cannot be said as an event")).ok()
}
