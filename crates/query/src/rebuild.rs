//! Making a projection's states anew from the log, beside those that answer questions.
//!
//! A [`Rebuild`] reads the log in passes and applies each event only once the live states include it, so that what it
//! makes is never ahead of them. When it is close behind, it holds the consumer, applies the rest and lets the new
//! states answer, all in one transaction: nobody sees half of it, and nobody sees time go back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cornjacket_bus::Delivered;
use cornjacket_domain::{Partitions, StoredEvent, Topic};
use cornjacket_store::{
    Build, EventLog, LivePartition, Range, RebuildTx, Rebuilds, Select, State, StoreError,
};

use crate::fold::{fold, group};
use crate::projections::{Before, Declared, Origin, Parameters};

/// Events that are read and applied at once.
const AT_ONCE: u32 = 5_000;
/// So few events are left to the transaction that holds the consumer.
const CLOSE: u64 = 2_000;
/// Events may come faster than they are applied: then the consumer is held for longer.
const MOST_PASSES: usize = 20;

/// Makes one projection anew.
#[derive(Clone, Debug)]
pub struct Rebuild {
    /// Which.
    pub projection: &'static Declared,
    /// How its states follow from events.
    pub parameters: Parameters,
    /// What they are made from.
    pub log: Arc<dyn EventLog>,
    /// Where they go.
    pub rebuilds: Arc<dyn Rebuilds>,
    /// Of every topic.
    pub partitions: Partitions,
}

/// How far a rebuild has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The number of the build.
    pub build: u32,
    /// The log is read up to here.
    pub position: u64,
    /// And will be up to here, at least.
    pub until: u64,
}

/// Why a rebuild ended without going live. What it made leaves with the next one.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another rebuild of the projection was begun.
    #[error("another rebuild was begun meanwhile")]
    Overtaken,
    /// Something that is stored cannot be folded.
    #[error("{0}")]
    Unfoldable(String),
}

/// Which partition an event is in.
type Place = (Topic, u16);

/// What a build includes so far.
struct Made {
    build: u32,
    origin: Origin,
    /// The log is read up to here but for events that were not live yet.
    after: u64,
    /// What was live, and with that is included.
    live: BTreeMap<Place, LivePartition>,
    /// Subjects of which events were parked, and left out.
    left_out: BTreeSet<String>,
    /// Subjects whose live state was kept as it was, and the last position that was in it.
    kept: BTreeMap<String, u64>,
}

impl Made {
    /// Whether an event is in a state that was kept.
    fn has(&self, event: &StoredEvent) -> bool {
        self.kept.get(&event.subject).is_some_and(|last| event.position <= *last)
    }
}

impl Rebuild {
    /// Makes the states and lets them answer questions: the number of the build.
    pub async fn run(&self, told: impl Fn(Progress) + Send + Sync) -> Result<u32, RebuildError> {
        let id = self.projection.id;
        let build = self.rebuilds.begin(id).await?;
        let origin = self.origin().await?;
        let after = origin.position.saturating_sub(1);
        let (live, left_out, kept) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        let mut made = Made { build, origin, after, live, left_out, kept };
        for _ in 0..MOST_PASSES {
            let mut tx = self.rebuilds.write().await?;
            let live = by_place(tx.live(id.name).await?);
            drop(tx);
            self.pass(&mut made, live, &told).await?;
            if self.log.head().await?.position - made.after <= CLOSE {
                break;
            }
        }
        self.switch(&mut made, &told).await?;
        self.rebuilds.drop_unused(id).await?;
        Ok(build)
    }

    /// Where the log begins; its end, when it is empty.
    async fn origin(&self) -> Result<Origin, StoreError> {
        let first = self.log.read(&Range::after(0, 1)).await?;
        let head = self.log.head().await?;
        Ok(first.first().map_or(Origin { position: head.position + 1, time: head.ingest_time }, |first| {
            Origin { position: first.position, time: first.ingest_time }
        }))
    }

    /// Applies what has become live since the last pass, in transactions of its own.
    async fn pass(
        &self,
        made: &mut Made,
        live: BTreeMap<Place, LivePartition>,
        told: &(impl Fn(Progress) + Send + Sync),
    ) -> Result<(), RebuildError> {
        let until = self.log.head().await?.position;
        let mut reading = Reading::new(made, live, until);
        while let Some(events) = reading.next(self, made).await? {
            let mut tx = self.rebuilds.write().await?;
            self.apply(tx.as_mut(), made, &events).await?;
            tx.commit().await?;
            told(Progress { build: made.build, position: reading.after, until });
        }
        reading.finish(made);
        Ok(())
    }

    /// Applies the rest while the consumer stands still, and goes live.
    async fn switch(
        &self,
        made: &mut Made,
        told: &(impl Fn(Progress) + Send + Sync),
    ) -> Result<(), RebuildError> {
        let id = self.projection.id;
        let mut tx = self.rebuilds.write().await?;
        tx.hold(id.name).await?;
        let until = self.log.head().await?.position;
        let mut reading = Reading::new(made, by_place(tx.live(id.name).await?), until);
        while let Some(events) = reading.next(self, made).await? {
            self.apply(tx.as_mut(), made, &events).await?;
        }
        reading.finish(made);
        // What was parked may have been tried again with success since: these are folded once more, from the beginning.
        for subject in std::mem::take(&mut made.left_out) {
            self.fold_again(tx.as_mut(), made, &subject).await?;
        }
        tx.carry_over(id, made.build, made.origin.position).await?;
        if !tx.go_live(id, made.build).await? {
            return Err(RebuildError::Overtaken);
        }
        tx.commit().await?;
        told(Progress { build: made.build, position: until, until });
        Ok(())
    }

    async fn apply(
        &self,
        tx: &mut dyn RebuildTx,
        made: &mut Made,
        events: &[StoredEvent],
    ) -> Result<(), RebuildError> {
        let subjects: BTreeSet<&str> = events.iter().map(|event| event.subject.as_str()).collect();
        let subjects: Vec<&str> = subjects.into_iter().collect();
        if subjects.is_empty() {
            return Ok(());
        }
        let (id, build) = (self.projection.id, Build::Number(made.build));
        let mut known = tx.load_states(id, build, &subjects).await?;
        let fresh: Vec<&str> = {
            let known: BTreeSet<&str> = known.iter().map(|state| state.subject.as_str()).collect();
            subjects.into_iter().filter(|subject| !known.contains(subject)).collect()
        };
        let before = self.left_from_before(tx, made, &fresh).await?;
        tx.save_states(id, build, &before).await?;
        known.extend(before);
        let states = self.fold(&known, events.iter().filter(|event| !made.has(event)))?;
        Ok(tx.save_states(id, build, &states).await?)
    }

    fn fold<'a>(
        &self,
        known: &[State],
        events: impl Iterator<Item = &'a StoredEvent>,
    ) -> Result<Vec<State>, RebuildError> {
        let events = delivered(events)?;
        let states = fold(self.projection, &self.parameters, known, group(self.projection, &events));
        states.map_err(|error| RebuildError::Unfoldable(error.to_string()))
    }

    /// What the live states have from events that the log no longer has.
    async fn left_from_before(
        &self,
        tx: &mut dyn RebuildTx,
        made: &mut Made,
        subjects: &[&str],
    ) -> Result<Vec<State>, RebuildError> {
        if made.origin.position == 1 || subjects.is_empty() {
            return Ok(Vec::new());
        }
        let live = tx.load_states(self.projection.id, Build::Live, subjects).await?;
        made.kept.retain(|subject, _| !subjects.contains(&subject.as_str()));
        let before = live.into_iter().filter_map(|state| {
            // A fold that cannot read what another one made begins with what the log has.
            match self.projection.before(&state.json, &made.origin).unwrap_or(Before::Nothing) {
                Before::Nothing => None,
                Before::Part(json) => Some(State { json, last_position: made.origin.position - 1, ..state }),
                Before::Beginning => {
                    made.kept.insert(state.subject.clone(), state.last_position);
                    Some(state)
                }
            }
        });
        Ok(before.collect())
    }

    async fn fold_again(
        &self,
        tx: &mut dyn RebuildTx,
        made: &mut Made,
        subject: &str,
    ) -> Result<(), RebuildError> {
        let select = Select { subject: Some(subject.to_owned()), event_type: None };
        let mut range = Range { select, ..Range::after(made.origin.position - 1, AT_ONCE) };
        let mut known = self.left_from_before(tx, made, &[subject]).await?;
        loop {
            let read = self.log.read(&range).await?;
            let Some(last) = read.last() else { break };
            range.after = last.position;
            let live = read.iter().filter(|event| self.is_live(made, event) && !made.has(event));
            let states = self.fold(&known, live)?;
            if !states.is_empty() {
                known = states;
            }
        }
        Ok(tx.save_states(self.projection.id, Build::Number(made.build), &known).await?)
    }

    fn is_live(&self, made: &Made, event: &StoredEvent) -> bool {
        let live = made.live.get(&self.place(event));
        live.is_some_and(|live| event.position <= live.last_position && !is_parked(live, event))
    }

    fn place(&self, event: &StoredEvent) -> Place {
        self.partitions.place(&event.event_type, &event.subject)
    }
}

/// One pass over the log.
struct Reading {
    after: u64,
    until: u64,
    live: BTreeMap<Place, LivePartition>,
    /// The first event that is not live yet.
    not_yet: Option<u64>,
}

impl Reading {
    const fn new(made: &Made, live: BTreeMap<Place, LivePartition>, until: u64) -> Self {
        Self { after: made.after, until, live, not_yet: None }
    }

    /// The next events that are to be applied; nothing at the end.
    async fn next(
        &mut self,
        rebuild: &Rebuild,
        made: &mut Made,
    ) -> Result<Option<Vec<StoredEvent>>, StoreError> {
        let range = Range { until: self.until, ..Range::after(self.after, AT_ONCE) };
        let mut events = rebuild.log.read(&range).await?;
        let Some(last) = events.last() else { return Ok(None) };
        self.after = last.position;
        events
            .retain(|event| rebuild.projection.reads(&event.event_type) && self.wants(rebuild, made, event));
        Ok(Some(events))
    }

    fn wants(&mut self, rebuild: &Rebuild, made: &mut Made, event: &StoredEvent) -> bool {
        let place = rebuild.place(event);
        let had = made.live.get(&place).map_or(0, |live| live.last_position);
        if event.position <= had {
            return false;
        }
        match self.live.get(&place) {
            Some(live) if event.position <= live.last_position => {
                let parked = is_parked(live, event);
                if parked {
                    made.left_out.insert(event.subject.clone());
                }
                !parked
            }
            _ => {
                self.not_yet = self.not_yet.or(Some(event.position));
                false
            }
        }
    }

    /// All that was live is included now.
    fn finish(self, made: &mut Made) {
        made.after = self.not_yet.map_or(self.until, |position| position - 1);
        made.live = self.live;
    }
}

fn by_place(live: Vec<LivePartition>) -> BTreeMap<Place, LivePartition> {
    let place = |live: &LivePartition| Some((Topic::from_name(live.at.topic)?, live.at.partition));
    live.into_iter().filter_map(|live| Some((place(&live)?, live))).collect()
}

fn is_parked(live: &LivePartition, event: &StoredEvent) -> bool {
    live.parked.get(event.subject.as_bytes()).is_some_and(|from| event.position >= *from)
}

fn delivered<'a>(events: impl Iterator<Item = &'a StoredEvent>) -> Result<Vec<Delivered>, RebuildError> {
    let deliver = |stored: &StoredEvent| {
        let event = stored.decode().map_err(|error| {
            RebuildError::Unfoldable(format!("the event at position {}: {error}", stored.position))
        })?;
        Ok(Delivered { offset: 0, ingest_time: stored.ingest_time, event })
    };
    events.map(deliver).collect()
}
