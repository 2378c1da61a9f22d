//! A bus that hands out what it was made with, a table instead of a store, and a handler that notes what it is handed.

use std::collections::{BTreeMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cornjacket_domain::Timestamp;
use cornjacket_proto::events::Event;
use prost::Message;
use tokio::sync::{Notify, oneshot};

use super::super::*;
use crate::codec::Envelope;
use crate::{
    Letter, Milestone, Parked, ParkedQueue, Progress, Published, Publisher, Record, Settled, Subscription,
};

pub(super) const DEADLINE: Duration = Duration::from_mins(2);
pub(super) const EPOCH: u32 = 1;

pub(super) fn partition(partition: u16) -> TopicPartition {
    TopicPartition { topic: Topic::SensorEvents, partition }
}

/// The record of the event at `position`, at the offset of the same number.
pub(super) fn record(at: u16, position: u64) -> Record {
    let event = Event { id: position.to_string(), ..Event::default() };
    Record {
        at: partition(at),
        offset: position,
        key: Bytes::from_static(b"a"),
        value: event.encode_to_vec().into(),
        envelope: Envelope {
            position: Some(position),
            ingest_time: Some(Timestamp::default()),
            epoch: Some(EPOCH),
            ..Envelope::default()
        },
    }
}

/// A bus that hands every subscriber the records it was made with, from where the subscriber wants to begin.
#[derive(Debug)]
pub(super) struct ScriptedBus {
    pub(super) records: Vec<Record>,
    /// What it claims to have.
    pub(super) offsets: RangeInclusive<u64>,
    /// Assigns everything once more to whoever wants no records.
    pub(super) rebalance: Arc<Notify>,
    /// How often it has done so.
    pub(super) assignments: Arc<AtomicUsize>,
}

impl ScriptedBus {
    pub(super) fn new(records: Vec<Record>) -> Self {
        Self { records, offsets: 0..=u64::MAX, rebalance: Arc::default(), assignments: Arc::default() }
    }
}

pub(super) struct ScriptedSubscription {
    /// Everything that there is, and what of it comes next.
    all: Vec<Record>,
    script: VecDeque<Record>,
    offsets: RangeInclusive<u64>,
    answer: Option<oneshot::Receiver<Vec<Begin>>>,
    asked: bool,
    rebalance: Arc<Notify>,
    assignments: Arc<AtomicUsize>,
    /// Partitions that begin later.
    later: BTreeSet<TopicPartition>,
}

#[async_trait]
impl Bus for ScriptedBus {
    async fn prepare(&self) -> Result<(), BusError> {
        Ok(())
    }
    async fn publisher(&self, _: &str, _: Published) -> Result<Option<Box<dyn Publisher>>, BusError> {
        Ok(None)
    }
    async fn replayer(&self, _: &str, _: Published) -> Result<Option<Box<dyn Publisher>>, BusError> {
        Ok(None)
    }

    async fn subscribe(&self, _: &str, _: &[Topic]) -> Result<Box<dyn Subscription>, BusError> {
        Ok(Box::new(ScriptedSubscription {
            all: self.records.clone(),
            script: VecDeque::new(),
            offsets: self.offsets.clone(),
            answer: None,
            asked: false,
            rebalance: self.rebalance.clone(),
            assignments: self.assignments.clone(),
            later: BTreeSet::new(),
        }))
    }
}

impl ScriptedSubscription {
    fn ask(&mut self) -> Assignment {
        let (begin_at, answer) = oneshot::channel();
        (self.asked, self.answer) = (true, Some(answer));
        self.assignments.fetch_add(1, Ordering::Relaxed);
        let assigned = |at| Assigned { at, offsets: self.offsets.clone() };
        Assignment { partitions: [partition(0), partition(1)].map(assigned).into(), begin_at }
    }

    async fn hear(&mut self) {
        let Some(answer) = self.answer.take() else { return };
        let begins = answer.await.expect("the consumer answers");
        let offsets = begins.iter().map(|begin| match begin {
            Begin::At(offset) => *offset,
            Begin::Later => *self.offsets.end(),
        });
        let offsets: Vec<u64> = offsets.collect();
        let wanted = |record: &&Record| record.offset >= offsets[usize::from(record.at.partition)];
        self.script = self.all.iter().filter(wanted).cloned().collect();
        let places = [partition(0), partition(1)].into_iter().zip(&begins);
        self.later = places.filter(|(_, begin)| **begin == Begin::Later).map(|(at, _)| at).collect();
    }
}

#[async_trait]
impl Subscription for ScriptedSubscription {
    async fn next(&mut self) -> Result<Delivery, BusError> {
        if !self.asked {
            return Ok(Delivery::Assigned(self.ask()));
        }
        self.hear().await;
        let flows = self.script.iter().position(|record| !self.later.contains(&record.at));
        match flows.and_then(|index| self.script.remove(index)) {
            Some(record) => Ok(Delivery::Records([(record.at, vec![record])].into())),
            None => std::future::pending().await,
        }
    }

    async fn assigned(&mut self) -> Result<Assignment, BusError> {
        if self.asked {
            self.rebalance.notified().await;
        }
        Ok(self.ask())
    }

    async fn let_flow(&mut self, at: TopicPartition) -> Result<(), BusError> {
        self.hear().await;
        assert!(self.later.remove(&at), "{at} flows already");
        Ok(())
    }
}

/// Progress, effects and letters, and the trouble that the test wants.
#[derive(Debug, Default)]
pub(super) struct Table {
    pub(super) progress: BTreeMap<TopicPartition, Progress>,
    pub(super) handled: Vec<u64>,
    pub(super) letters: Vec<Letter>,
    pub(super) given_up: Vec<u64>,
    pub(super) redrive: bool,
    pub(super) paused: bool,
    pub(super) outages: usize,
    /// Commits that go through and are reported as failed.
    pub(super) lost_answers: usize,
    pub(super) steal: bool,
    /// Transactions that were begun, and those that were committed.
    pub(super) begun: usize,
    pub(super) committed: usize,
    /// How often a partition was taken over.
    pub(super) loads: usize,
    /// What operators were last told.
    pub(super) reports: Vec<Report>,
    pub(super) milestones: Vec<Milestone>,
    /// Reports, and how many of those that bring milestones are still to be refused.
    pub(super) told: usize,
    pub(super) deaf: usize,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Shared(Arc<Mutex<Table>>);

pub(super) struct Tx {
    pub(super) at: TopicPartition,
    pub(super) to: Progress,
    pub(super) handled: Vec<u64>,
    pub(super) letters: Vec<Letter>,
    pub(super) settled: Option<Settled>,
}

impl Shared {
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        act(&mut self.0.lock().expect("no test panics with it"))
    }
}

#[async_trait]
impl Checkpoint for Shared {
    type Tx = Tx;

    async fn load(&self, _: &str, at: TopicPartition) -> Result<Progress, CheckpointError> {
        Ok(self.with(|table| {
            table.loads += 1;
            table.progress.get(&at).copied().unwrap_or_default()
        }))
    }

    async fn begin(
        &self,
        _: &str,
        at: TopicPartition,
        from: Progress,
        to: Progress,
    ) -> Result<Tx, CheckpointError> {
        self.with(|table| {
            if std::mem::take(&mut table.steal) {
                table.progress.insert(at, to);
            }
            if table.outages > 0 {
                table.outages -= 1;
                return Err(CheckpointError::Outage("down".into()));
            }
            if table.progress.get(&at).copied().unwrap_or_default() != from {
                return Err(CheckpointError::Fenced);
            }
            table.begun += 1;
            Ok(Tx { at, to, handled: vec![], letters: vec![], settled: None })
        })
    }

    async fn commit(&self, tx: Tx) -> Result<(), CheckpointError> {
        self.with(|table| {
            table.committed += 1;
            table.progress.insert(tx.at, tx.to);
            table.handled.extend(tx.handled);
            table.letters.extend(tx.letters);
            if let Some(settled) = tx.settled {
                table.letters.retain(|letter| {
                    letter.record.key != settled.key || letter.record.offset >= settled.below
                });
                table.redrive &= settled.failed.is_none();
            }
            if table.lost_answers > 0 {
                table.lost_answers -= 1;
                return Err(CheckpointError::Outage("the answer was lost".into()));
            }
            Ok(())
        })
    }

    async fn parked(&self, _: &str, at: TopicPartition) -> Result<Parked, CheckpointError> {
        Ok(self.with(|table| {
            let mut parked = Parked::default();
            for letter in table.letters.iter().filter(|letter| letter.record.at == at) {
                parked.keys.insert(letter.record.key.clone());
                parked.rows += 1;
                parked.bytes += letter.record.value.len() as u64;
            }
            parked
        }))
    }

    async fn park(&self, tx: &mut Tx, _: &str, letters: &[Letter]) -> Result<(), CheckpointError> {
        tx.letters.extend_from_slice(letters);
        Ok(())
    }

    async fn to_redrive(&self, _: &str, at: TopicPartition) -> Result<Option<ParkedQueue>, CheckpointError> {
        Ok(self.with(|table| {
            let mut here: Vec<_> = table.letters.iter().filter(|letter| letter.record.at == at).collect();
            here.sort_by_key(|letter| letter.record.offset);
            let key = here.first().filter(|_| table.redrive)?.record.key.clone();
            let of_key = here.into_iter().filter(|letter| letter.record.key == key);
            let given_up = |letter: &Letter| table.given_up.contains(&letter.record.offset);
            let records = of_key.map(|letter| (letter.record.clone(), given_up(letter)));
            Some(ParkedQueue { key: key.clone(), records: records.collect() })
        }))
    }

    async fn settle(
        &self,
        tx: &mut Tx,
        _: &str,
        _: TopicPartition,
        settled: &Settled,
    ) -> Result<bool, CheckpointError> {
        tx.settled = Some(settled.clone());
        Ok(self.with(|table| {
            let left =
                |letter: &&Letter| letter.record.key == settled.key && letter.record.offset >= settled.below;
            !table.letters.iter().any(|letter| left(&letter))
        }))
    }

    async fn report(
        &self,
        _: &str,
        reports: &[Report],
        milestones: &[Milestone],
    ) -> Result<Orders, CheckpointError> {
        let everywhere = [partition(0), partition(1)];
        self.with(|table| {
            table.told += 1;
            if table.deaf > 0 && !milestones.is_empty() {
                table.deaf -= 1;
                return Err(CheckpointError::Outage("down".into()));
            }
            table.milestones.extend(milestones);
            Ok(())
        })?;
        if !reports.is_empty() {
            self.with(|table| table.reports = reports.to_vec());
        }
        Ok(self.with(|table| Orders {
            paused: table.paused,
            redrive: everywhere.into_iter().filter(|_| table.redrive).collect(),
        }))
    }
}

/// Notes what it is handed; refuses some positions, and does not say which of some others it could not store.
#[derive(Clone, Debug, Default)]
pub(super) struct Noting {
    pub(super) refuses: Arc<Mutex<Vec<u64>>>,
    pub(super) unfit: Vec<u64>,
}

impl Noting {
    pub(super) fn refusing(positions: &[u64]) -> Self {
        Self { refuses: Arc::new(Mutex::new(positions.to_vec())), unfit: vec![] }
    }
}

#[async_trait]
impl Handler<Tx> for Noting {
    type Prepared = ();

    fn name(&self) -> &'static str {
        "noting"
    }
    fn topics(&self) -> &[Topic] {
        &[Topic::SensorEvents]
    }
    async fn handle(&self, tx: &mut Tx, events: &[Delivered], (): ()) -> Result<(), HandlerError> {
        if events.iter().any(|event| self.unfit.contains(&event.event.position)) {
            return Err(HandlerError::Unfit("one of them".into()));
        }
        for event in events {
            let position = event.event.position;
            if self.refuses.lock().expect("no test panics with it").contains(&position) {
                return Err(HandlerError::Reject { position, source: "poison".into() });
            }
            tx.handled.push(position);
        }
        Ok(())
    }
}
