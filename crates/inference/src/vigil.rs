//! Silence: series that should have had a sample, and have none.
//!
//! Detectors say how long they would wait for a sample ([`crate::detectors::Detector::patience`]). Here it is counted how long a
//! series is quiet: on a [`clock`] that goes only while every door of ours is open, so that an outage of ours accuses nobody.
//! Nothing is written when a sample comes. A series is looked at when its model would have waited long enough since it was
//! last heard; if it was heard meanwhile, that is noted, and it is looked at again as much later. All of a look is one
//! transaction, the anomalies in it too; however many processes look, one does at a time.

mod clock;
mod look;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::consumer::State;
use cornjacket_domain::{Clock, Partitions, Shard, Timestamp, Topic};
use cornjacket_store::{
    DeadLetters, Door, Doors, EventLog, Offsets, Quiet, Snapshots, StoreError, Tx, Vigil,
};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use self::look::Look;
use crate::counts::Counted;
use crate::watching::Watching;

/// What operators know it by.
pub const NAME: &str = "silence";
/// How often doors say that they are open, and series are looked at.
pub const TICK: Duration = Duration::from_secs(1);
/// Series of one transaction, and transactions of one tick: what is more is looked at in the next.
const AT_ONCE: u32 = 256;
const ROUNDS: u32 = 4;
/// A look that takes longer never was.
const LONGEST: Duration = Duration::from_secs(10);

/// Parts of the store that it needs, and the time.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Transactions, and how far the processor has come.
    pub offsets: Arc<dyn Offsets>,
    /// Ways in, and whether they are open.
    pub doors: Arc<dyn Doors>,
    /// What the processor could not take.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// What has come in.
    pub log: Arc<dyn EventLog>,
    /// When it came in.
    pub snapshots: Arc<dyn Snapshots>,
    /// Which events the processor counts.
    pub counted: Counted,
    /// Of every topic.
    pub partitions: Partitions,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// Finds silences.
#[derive(Debug)]
pub struct Silences {
    ports: Ports,
    /// How long devices have for coming back after an outage of ours.
    grace: Duration,
    state: watch::Sender<State>,
    watching: Watching,
    /// The last change that `watching` has taken.
    controls: u64,
}

impl Silences {
    /// One that knows nothing yet; tells in `state` how it is doing.
    pub fn new(ports: Ports, grace: Duration, state: watch::Sender<State>) -> Self {
        Self { ports, grace, state, watching: Watching::default(), controls: 0 }
    }

    /// Looks until `stop`. Trouble is waited for: recovery needs nobody.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.look_for_ever() => {}
        }
    }

    async fn look_for_ever(&mut self) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let state = match timeout(LONGEST, self.tick()).await {
                Ok(Ok(None)) => State::Running,
                Ok(Ok(Some(reason))) => State::Waiting { reason },
                Ok(Err(error)) => State::Waiting { reason: error.to_string() },
                Err(_) => State::Waiting { reason: "the store takes too long".to_owned() },
            };
            self.state.send_if_modified(|known| std::mem::replace(known, state.clone()) != state);
        }
    }

    /// Looks once. Returns why nobody can be called silent now, if so.
    async fn tick(&mut self) -> Result<Option<String>, StoreError> {
        let mut tx = self.ports.offsets.begin_apart().await?;
        self.take_controls(tx.as_mut()).await?;
        if !self.watching.minds_silence() {
            return Ok(None);
        }
        // Before the doors: what they said is older than this.
        let now = self.ports.clock.now();
        let doors = self.ports.doors.list().await?;
        let Some(vigil) = self.advance(tx.as_mut(), now, &doors).await? else {
            tx.commit().await?;
            return Ok(clock::closed(&doors));
        };
        let mut rounds = 0;
        while self.look(tx.as_mut(), vigil).await? == AT_ONCE as usize && rounds < ROUNDS {
            rounds += 1;
        }
        tx.commit().await?;
        for door in clock::gone(&doors) {
            tracing::warn!(
                door,
                "nothing was heard of this door for long, and others let in the same: it is forgotten"
            );
            self.ports.doors.forget(door).await?;
        }
        Ok(clock::closed(&doors))
    }

    async fn take_controls(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        // Changes to modes are those of all shards, and people's words are in the states of detectors.
        let any = Shard::at(Topic::SensorEvents, 0, self.ports.partitions);
        for control in tx.controls(any, self.controls, u64::MAX).await? {
            self.watching.take(&control);
            self.controls = control.seq;
        }
        Ok(())
    }

    /// Moves the clock on. Nothing when it stands.
    async fn advance(
        &self,
        tx: &mut dyn Tx,
        now: Timestamp,
        doors: &[Door],
    ) -> Result<Option<Vigil>, StoreError> {
        let known = tx.vigil().await?.unwrap_or_else(|| clock::begin(now, self.grace));
        let next = clock::advance(known, clock::all_open(now, doors), self.grace);
        tx.keep_vigil(&next).await?;
        Ok((next.open > known.open).then_some(next))
    }

    /// Looks at series that are due; returns how many those were.
    async fn look(&self, tx: &mut dyn Tx, vigil: Vigil) -> Result<usize, StoreError> {
        let due = tx.due(vigil.open, AT_ONCE).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let processed = self.processed(&due).await?;
        // Once more: a sample that was stored meanwhile is the last one now, or its event is beyond what was processed.
        let due = tx.due(vigil.open, AT_ONCE).await?;
        let count = due.len();
        let (ports, watching) = (&self.ports, &self.watching);
        Look { ports, watching, vigil, processed, parked: BTreeMap::new() }.at(tx, due).await?;
        Ok(count)
    }

    /// How far the processor is, by shard.
    async fn processed(&self, due: &[Quiet]) -> Result<BTreeMap<Shard, u64>, StoreError> {
        let mut processed = BTreeMap::new();
        for quiet in due {
            let shard = Shard::of(&quiet.series, self.ports.partitions);
            if let Entry::Vacant(entry) = processed.entry(shard) {
                entry.insert(self.ports.offsets.load(&look::processor_in(shard)).await?.last_position);
            }
        }
        Ok(processed)
    }
}
