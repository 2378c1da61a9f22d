//! Silence: series that should have had a sample, and have none.
//!
//! Detectors say how long they would wait for a sample ([`crate::detectors::Detector::patience`]). Here it is counted how long a
//! series is quiet: on a [`clock`] that goes only while every door of ours is open, so that an outage of ours accuses nobody.
//! Nothing is written when a sample comes. A series is looked at when its model would have waited long enough since it was
//! last heard; if it was heard meanwhile, that is noted, and it is looked at again as much later. Before it is called silent the
//! log is asked what its subject has said since. A look at some series is one transaction, the anomalies in it too; however many processes look, one does at a
//! time. The clock goes on in a transaction of its own, whatever becomes of looks.

mod clock;
mod look;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::consumer::State;
use cornjacket_domain::{Clock, Partitions, Shard};
use cornjacket_store::{
    DeadLetters, Door, Doors, EventLog, Models, Offsets, Quiet, Snapshots, Store, StoreError, Tx,
};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use self::look::Look;
use crate::counts::Counted;
use crate::patience::patient_for;
use crate::watching::{Watching, switches};

/// What operators know it by.
pub const NAME: &str = "silence";
/// How often doors say that they are open, and series are looked at.
pub const TICK: Duration = Duration::from_secs(1);
/// Series of one look, at the most. After trouble they are half as many, down to one, and then more again.
const AT_ONCE: u32 = 256;
/// A look that takes longer never was. With what comes before it, the clock is still moved on before it would stand.
const LONGEST: Duration = Duration::from_millis(1_500);

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
    /// Whether there is something new about what watches.
    pub models: Arc<dyn Models>,
    /// When it came in.
    pub snapshots: Arc<dyn Snapshots>,
    /// Which events the processor counts.
    pub counted: Counted,
    /// Of every topic.
    pub partitions: Partitions,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Ports {
    /// Those of a store.
    pub fn of(store: &Store, counted: Counted, clock: Arc<dyn Clock>) -> Self {
        Self {
            offsets: store.offsets.clone(),
            doors: store.doors.clone(),
            dead_letters: store.dead_letters.clone(),
            log: store.log.clone(),
            models: store.models.clone(),
            snapshots: store.snapshots.clone(),
            counted,
            partitions: store.partitions,
            clock,
        }
    }
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
    /// Series of the next look, at the most.
    at_once: u32,
}

impl Silences {
    /// One that knows nothing yet; tells in `state` how it is doing.
    pub fn new(ports: Ports, grace: Duration, state: watch::Sender<State>) -> Self {
        Self { ports, grace, state, watching: Watching::default(), controls: 0, at_once: AT_ONCE }
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
            let state = match self.tick().await {
                Ok(None) => State::Running,
                Ok(Some(reason)) => State::Waiting { reason },
                Err(error) => State::Waiting { reason: error.to_string() },
            };
            self.state.send_if_modified(|known| std::mem::replace(known, state.clone()) != state);
        }
    }

    /// Moves the clock on, and looks at who is due. Returns why nobody can be called silent now, if so.
    async fn tick(&mut self) -> Result<Option<String>, StoreError> {
        let began = Instant::now();
        let Some((goes, doors)) = patient_for(LONGEST, self.go_on()).await? else { return Ok(None) };
        if goes {
            while self.look_at_some().await? && began.elapsed() < TICK / 2 {}
        }
        for door in clock::gone(&doors) {
            tracing::warn!(
                door,
                "nothing was heard of this door for long, and others let in the same: it is forgotten"
            );
            patient_for(LONGEST, self.ports.doors.forget(door)).await?;
        }
        Ok(clock::closed(&doors))
    }

    /// Moves the clock on: whether it goes, and the doors. Nothing when nobody minds silence.
    async fn go_on(&mut self) -> Result<Option<(bool, Vec<Door>)>, StoreError> {
        let last = self.ports.models.last_change().await?;
        if last == self.controls && !self.watching.minds_silence() {
            return Ok(None);
        }
        let mut tx = self.ports.offsets.begin_apart().await?;
        self.take_controls(tx.as_mut(), last).await?;
        if !self.watching.minds_silence() {
            return Ok(None);
        }
        // Before the doors: what they said is older than this.
        let now = self.ports.clock.now();
        let doors = self.ports.doors.list().await?;
        let known = tx.vigil().await?.unwrap_or_else(|| clock::begin(now, self.grace));
        let next = clock::advance(known, clock::all_open(now, &doors), self.grace);
        tx.keep_vigil(&next).await?;
        tx.commit().await?;
        Ok(Some((next.open > known.open, doors)))
    }

    /// Looks at series that are due, and says whether there may be more. A failure makes the next look a smaller one.
    async fn look_at_some(&mut self) -> Result<bool, StoreError> {
        let at_once = self.at_once;
        self.at_once = (at_once / 2).max(1);
        let looked_at = patient_for(LONGEST, self.look(at_once)).await?;
        self.at_once = at_once.saturating_mul(2).min(AT_ONCE);
        Ok(looked_at == at_once as usize)
    }

    /// Looks at series that are due; returns how many those were.
    async fn look(&self, at_once: u32) -> Result<usize, StoreError> {
        let mut tx = self.ports.offsets.begin_apart().await?;
        let Some(vigil) = tx.vigil().await? else { return Ok(0) };
        let due = tx.due(vigil.open, at_once).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let processed = self.processed(&due).await?;
        // Once more: a sample that was stored meanwhile is the last one now, or its event is beyond what was processed.
        let due = tx.due(vigil.open, at_once).await?;
        let count = due.len();
        let (ports, watching) = (&self.ports, &self.watching);
        let mut look = Look { ports, watching, vigil, processed, parked: BTreeMap::new() };
        look.at(tx.as_mut(), due).await?;
        tx.commit().await?;
        Ok(count)
    }

    /// Takes all changes that there are, which are those up to `last` and perhaps more.
    async fn take_controls(&mut self, tx: &mut dyn Tx, last: u64) -> Result<(), StoreError> {
        let controls = switches(tx, self.controls).await?;
        for control in &controls {
            self.watching.take(control);
        }
        self.controls = controls.last().map_or(last, |control| control.seq.max(last));
        Ok(())
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

#[cfg(test)]
mod tests;
