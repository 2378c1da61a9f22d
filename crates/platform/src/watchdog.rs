//! Nothing stops silently: stages that do not get on while their input moves, and wait for nothing, are started anew.
//!
//! Now and then the watchdog looks at the end of the log and notes which partitions its latest events belong to. Each
//! stage should come to the event that was noted for it; one whose progress does not move at all for too long before it
//! does is stuck. What a stage says of itself counts only as an excuse: it waits for something, or is paused. Time in
//! which the store does not answer does not count, and neither does what is not on the bus yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::{Clock, Timestamp, Topic};
use cornjacket_store::{ConsumerReport, ConsumerStatus, Range, Store, StoreError};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::stages::{Input, Stage, Stages};

/// Events at the end of what moves that are looked at.
const LOOK_AT: u32 = 200;
/// Looks within the time after which a stage is stuck.
const LOOKS: u32 = 8;

/// Watches over the stages of this process.
#[derive(Debug)]
pub struct Watchdog {
    stages: Stages,
    store: Store,
    clock: Arc<dyn Clock>,
    /// Whether consumers read what the relay published, and not the log itself.
    relayed: bool,
    stuck_after: Duration,
    due: BTreeMap<Place, Due>,
}

/// A stage, and a partition where it reads those.
type Place = (&'static str, Option<(Topic, u16)>);

/// What the store says of how far everybody is.
#[derive(Debug, Default)]
struct Seen {
    now: Timestamp,
    head: u64,
    published: u64,
    /// Of each partition that got events lately, the last position that consumers can have.
    newest: BTreeMap<(Topic, u16), u64>,
    consumers: Vec<ConsumerStatus>,
}

/// What a stage should come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Due {
    position: Option<u64>,
    reached: u64,
    waited: Duration,
}

impl Due {
    /// Takes in how far the stage is and how far its input, `elapsed` later: for how long it has not got on.
    fn look(&mut self, reached: u64, newest: u64, elapsed: Duration) -> Duration {
        let moved = reached != self.reached;
        self.reached = reached;
        if self.position.is_none_or(|position| reached >= position) {
            (self.position, self.waited) = ((newest > reached).then_some(newest), Duration::ZERO);
        } else if moved {
            self.waited = Duration::ZERO;
        } else {
            self.waited += elapsed;
        }
        self.waited
    }
}

impl Watchdog {
    /// A watchdog over `stages`.
    pub const fn new(
        stages: Stages,
        store: Store,
        clock: Arc<dyn Clock>,
        relayed: bool,
        stuck_after: Duration,
    ) -> Self {
        Self { stages, store, clock, relayed, stuck_after, due: BTreeMap::new() }
    }

    /// Watches until `stop`.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let period = (self.stuck_after / LOOKS).min(Duration::from_secs(5));
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            // A process that was stopped for a while has not waited for that long.
            let elapsed = last.elapsed().min(2 * period);
            last = Instant::now();
            match timeout(period, self.look()).await {
                Ok(Ok(seen)) => {
                    for stage in self.judge(&seen, elapsed) {
                        self.tell(&stage, &seen).await;
                    }
                }
                // An outage of the store: nobody gets on, and everybody knows why.
                Ok(Err(_)) | Err(_) => self.due.clear(),
            }
            self.stages.all().iter().for_each(|stage| record(stage));
        }
        Ok(())
    }

    async fn look(&self) -> Result<Seen, StoreError> {
        let head = self.store.log.head().await?.position;
        let published = match &self.store.relay {
            Some(relay) => relay.position().await?,
            None => head,
        };
        let until = if self.relayed { published } else { head };
        let range = Range { until, descending: true, ..Range::after(0, LOOK_AT) };
        let mut newest = BTreeMap::new();
        for event in self.store.log.read(&range).await? {
            let place = self.store.partitions.place(&event.event_type, &event.subject);
            newest.entry(place).or_insert(event.position);
        }
        let consumers = self.store.consumers.list().await?;
        Ok(Seen { now: self.clock.now(), head, published, newest, consumers })
    }

    /// Starts anew what is stuck, and returns it.
    fn judge(&mut self, seen: &Seen, elapsed: Duration) -> Vec<Arc<Stage>> {
        let mut stuck = Vec::new();
        for stage in self.stages.all() {
            let mut waited = Duration::ZERO;
            for (place, reached, newest) in expectations(&stage, seen) {
                let due = self.due.entry(place).or_default();
                let (before, late) = (due.reached, due.look(reached, newest, elapsed));
                if before != reached {
                    stage.got_on();
                }
                if stage.is_excused() {
                    due.waited = Duration::ZERO;
                } else {
                    waited = waited.max(late);
                }
            }
            if waited >= self.stuck_after {
                // The next one gets as much time.
                self.due.retain(|(name, _), _| *name != stage.name);
                tracing::error!(stage = stage.name, ?waited, "stage is stuck: starting it anew");
                stage.restart();
                stuck.push(stage);
            }
        }
        stuck
    }

    /// A consumer that hangs does not say so itself.
    async fn tell(&self, stage: &Stage, seen: &Seen) {
        let ours = seen
            .consumers
            .iter()
            .filter(|status| status.at.consumer == stage.name && is_ours(status, seen.now));
        let reports: Vec<_> = ours
            .map(|status| ConsumerReport {
                at: status.at.clone(),
                state: stage.state().name().to_owned(),
                reason: "made no progress and was started anew".into(),
                holder: cornjacket_store::holder(),
                reported_at: seen.now,
            })
            .collect();
        if let Err(error) = self.store.consumers.report(stage.name, &reports).await {
            tracing::warn!(stage = stage.name, %error, "operators could not be told of a stage that is stuck");
        }
    }
}

/// Where a stage is, and what it should come to.
fn expectations(stage: &Stage, seen: &Seen) -> Vec<(Place, u64, u64)> {
    let topics = match &stage.input {
        Input::Log => return vec![((stage.name, None), seen.published, seen.head)],
        Input::Outside => return Vec::new(),
        Input::Topics(topics) => topics,
    };
    let wanted = seen.newest.iter().filter(|((topic, _), _)| topics.contains(topic));
    let expected = wanted.filter_map(|(place, newest)| {
        let status = seen.consumers.iter().find(|status| {
            let at = &status.at;
            at.consumer == stage.name && (at.topic, at.partition) == (place.0.name(), place.1)
        });
        let ours = status.is_none_or(|status| is_ours(status, seen.now));
        let reached = status.map_or(0, |status| status.progress.last_position);
        ours.then_some(((stage.name, Some(*place)), reached, *newest))
    });
    expected.collect()
}

/// Another process that reports answers for its partitions itself.
fn is_ours(status: &ConsumerStatus, now: Timestamp) -> bool {
    let others =
        |report: &ConsumerReport| report.holder != cornjacket_store::holder() && report.is_fresh(now);
    !status.report.as_ref().is_some_and(others)
}

fn record(stage: &Stage) {
    let now = stage.state();
    for state in ["running", "waiting", "paused", "parked", "stuck"] {
        let value = f64::from(u8::from(state == now.name()));
        metrics::gauge!("cornjacket_stage_state", "stage" => stage.name, "state" => state).set(value);
    }
}

#[cfg(test)]
mod tests;
