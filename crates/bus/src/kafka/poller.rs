//! Polling librdkafka.
//!
//! librdkafka wants to be polled by a thread, and asks there, in the middle of a poll, where to begin: the thread hands
//! that question to the consume loop, and records through a channel of their own, which is short, so that a slow consumer
//! slows the thread down. One that takes no records at all still hears what it is assigned: the thread holds its partitions
//! back and goes on polling. What the thread is asked to do it does between two polls.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc as commands;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use cornjacket_domain::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientConfig, ClientContext, Message, Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{PATIENCE, failed};
use crate::codec::Envelope;
use crate::{Assigned, Assignment, Begin, BusError, Record, Records, TopicPartition};

/// Records that are handed on at once.
const BATCH: usize = 1_000;
/// How soon the thread notices that nobody wants its records any more.
const POLL: Duration = Duration::from_millis(100);
/// How long there may be no room for records before their partitions are held back. Holding back costs what librdkafka has
/// fetched ahead, and is for those who take nothing, not for those who are slow.
const SLOW: Duration = Duration::from_secs(5);

/// Records that were there at once.
#[derive(Default)]
pub(super) struct Batch {
    /// The number of the assignment that they came with.
    pub assignment: u64,
    pub records: Records,
}

/// What the thread owns.
pub(super) struct Poller {
    consumer: BaseConsumer<Context>,
    runtime: Handle,
    hand_on: mpsc::Sender<Batch>,
    flows: commands::Receiver<TopicPartition>,
    stop: Arc<AtomicBool>,
    /// What librdkafka has given and the channel has no room for.
    taken: VecDeque<Batch>,
    held_back: bool,
}

impl Poller {
    /// Joins the group and subscribes to the topics, which go by these names.
    pub(super) fn new(
        config: &ClientConfig,
        topics: Vec<(String, Topic)>,
        tell: mpsc::Sender<Result<Assignment, BusError>>,
        hand_on: mpsc::Sender<Batch>,
        flows: commands::Receiver<TopicPartition>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, BusError> {
        let names: Vec<String> = topics.iter().map(|(name, _)| name.clone()).collect();
        let by_name = topics.into_iter().collect();
        let context = Context { by_name, tell, assignments: AtomicU64::new(0), later: Mutex::default() };
        let consumer: BaseConsumer<Context> = config.create_with_context(context).map_err(failed)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(failed)?;
        let (runtime, taken) = (Handle::current(), VecDeque::new());
        Ok(Self { consumer, runtime, hand_on, flows, stop, taken, held_back: false })
    }

    /// Polls until nobody wants what comes; then leaves the group.
    pub(super) fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            if let Err(error) = self.step() {
                // The consume loop drops the subscription upon an error; nobody is there when it has done so already.
                if self.consumer.context().tell.blocking_send(Err(error)).is_err() {
                    return;
                }
            }
        }
    }

    fn step(&mut self) -> Result<(), BusError> {
        while let Ok(at) = self.flows.try_recv() {
            self.let_flow(at)?;
        }
        self.hand_on()?;
        self.hold_back(!self.taken.is_empty())?;
        let wait = if self.held_back { Duration::ZERO } else { POLL };
        let Some(first) = self.consumer.poll(wait) else { return Ok(()) };
        self.taken.push_back(gather(&self.consumer, &first.map_err(explain)?)?);
        Ok(())
    }

    /// Hands on what there is room for, after a while.
    fn hand_on(&mut self) -> Result<(), BusError> {
        let current = self.consumer.context().assignment();
        self.taken.retain(|batch| batch.assignment == current);
        while let Some(batch) = self.taken.pop_front() {
            match self.runtime.block_on(async { timeout(SLOW, self.hand_on.reserve()).await }) {
                Ok(Ok(room)) => room.send(batch),
                Ok(Err(_)) => return Err(dropped()),
                Err(_) => {
                    self.taken.push_front(batch);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Has librdkafka give no records, or give them again.
    fn hold_back(&mut self, wanted: bool) -> Result<(), BusError> {
        if self.held_back == wanted {
            return Ok(());
        }
        let assigned = self.consumer.assignment().map_err(failed)?;
        let done = if wanted {
            self.consumer.pause(&assigned)
        } else {
            self.consumer.resume(&self.consumer.context().those_that_flow(&assigned))
        };
        done.map_err(failed)?;
        self.held_back = wanted;
        Ok(())
    }

    fn let_flow(&self, at: TopicPartition) -> Result<(), BusError> {
        let context = self.consumer.context();
        context.later().remove(&at);
        if self.held_back {
            return Ok(());
        }
        let mut partitions = TopicPartitionList::new();
        for (name, topic) in &context.by_name {
            if *topic == at.topic {
                partitions.add_partition(name, at.partition.into());
            }
        }
        self.consumer.resume(&partitions).map_err(failed)
    }
}

/// The record and all that are there already.
fn gather(consumer: &BaseConsumer<Context>, first: &BorrowedMessage<'_>) -> Result<Batch, BusError> {
    let context = consumer.context();
    let mut batch = Batch::default();
    let mut add = |message: &BorrowedMessage<'_>| {
        let at = context.place(message.topic(), message.partition())?;
        // A poll that brings a record may have brought an assignment before it.
        if batch.assignment != context.assignment() {
            batch = Batch { assignment: context.assignment(), records: Records::new() };
        }
        batch.records.entry(at).or_default().push(record(at, message)?);
        Ok::<_, BusError>(())
    };
    add(first)?;
    for _ in 1..BATCH {
        match consumer.poll(Duration::ZERO) {
            Some(message) => add(&message.map_err(explain)?)?,
            None => break,
        }
    }
    Ok(batch)
}

/// What librdkafka calls back.
struct Context {
    by_name: BTreeMap<String, Topic>,
    tell: mpsc::Sender<Result<Assignment, BusError>>,
    /// How many there were.
    assignments: AtomicU64,
    /// Partitions that are to begin later.
    later: Mutex<BTreeSet<TopicPartition>>,
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let done = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, partitions)
        } else {
            // Nothing is ours until the next assignment.
            consumer.unassign().map_err(failed).and_then(|()| self.ask(vec![]).map(drop))
        };
        if let Err(error) = done {
            // Nobody is there to hear it when the subscription is being dropped.
            drop(self.tell.blocking_send(Err(error)));
        }
    }
}

impl Context {
    /// Has the partitions begin where their consumer wants; some later.
    fn assign(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &mut TopicPartitionList,
    ) -> Result<(), BusError> {
        let names: Vec<_> =
            partitions.elements().iter().map(|at| (at.topic().to_owned(), at.partition())).collect();
        let assigned: Vec<_> = names
            .iter()
            .map(|(name, partition)| self.look_at(consumer, name, *partition))
            .collect::<Result<_, _>>()?;
        let answer = self.ask(assigned.clone())?.blocking_recv();
        let begins = answer.map_err(|_| BusError::Outage("nobody said where to begin".into()))?;
        let mut later = TopicPartitionList::new();
        self.later().clear();
        for (((name, partition), begin), assigned) in names.iter().zip(begins).zip(assigned) {
            let offset = match begin {
                Begin::At(offset) => offset,
                Begin::Later => {
                    later.add_partition(name, *partition);
                    self.later().insert(assigned.at);
                    *assigned.offsets.end()
                }
            };
            let offset = offset_of(offset)?;
            partitions.set_partition_offset(name, *partition, offset).map_err(failed)?;
        }
        consumer.assign(partitions).map_err(failed)?;
        // librdkafka remembers of a partition that was ours before that it was held back.
        consumer.resume(&self.those_that_flow(partitions)).map_err(failed)?;
        consumer.pause(&later).map_err(failed)
    }

    /// A partition as it is on Kafka now.
    fn look_at(
        &self,
        consumer: &BaseConsumer<Self>,
        name: &str,
        partition: i32,
    ) -> Result<Assigned, BusError> {
        let at = self.place(name, partition)?;
        let (low, high) = consumer.fetch_watermarks(name, partition, PATIENCE).map_err(failed)?;
        let offset = |mark: i64| {
            u64::try_from(mark).map_err(|_| BusError::Outage(format!("{at}: offset {mark} is none")))
        };
        Ok(Assigned { at, offsets: offset(low)?..=offset(high)? })
    }

    fn ask(&self, partitions: Vec<Assigned>) -> Result<oneshot::Receiver<Vec<Begin>>, BusError> {
        let (begin_at, answer) = oneshot::channel();
        self.assignments.fetch_add(1, Ordering::Relaxed);
        let sent = self.tell.blocking_send(Ok(Assignment { partitions, begin_at }));
        sent.map_err(|_| dropped())?;
        Ok(answer)
    }

    fn assignment(&self) -> u64 {
        self.assignments.load(Ordering::Relaxed)
    }

    fn later(&self) -> MutexGuard<'_, BTreeSet<TopicPartition>> {
        self.later.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Those of the partitions that are not to begin later.
    fn those_that_flow(&self, partitions: &TopicPartitionList) -> TopicPartitionList {
        let mut flow = TopicPartitionList::new();
        for partition in partitions.elements() {
            let at = self.place(partition.topic(), partition.partition());
            if at.is_ok_and(|at| !self.later().contains(&at)) {
                flow.add_partition(partition.topic(), partition.partition());
            }
        }
        flow
    }

    fn place(&self, name: &str, partition: i32) -> Result<TopicPartition, BusError> {
        let unknown = || BusError::Refused(format!("{name}/{partition} was never asked for"));
        let topic = *self.by_name.get(name).ok_or_else(unknown)?;
        let partition = u16::try_from(partition).map_err(|_| unknown())?;
        Ok(TopicPartition { topic, partition })
    }
}

fn dropped() -> BusError {
    BusError::Outage("the subscription is dropped".into())
}

fn offset_of(offset: u64) -> Result<Offset, BusError> {
    let offset = i64::try_from(offset);
    offset.map(Offset::Offset).map_err(|_| BusError::Refused("Kafka has no such offset".into()))
}

pub(super) fn record(at: TopicPartition, message: &BorrowedMessage<'_>) -> Result<Record, BusError> {
    let offset = u64::try_from(message.offset())
        .map_err(|_| BusError::Outage(format!("{at}: offset {} is none", message.offset())))?;
    let mut envelope = Envelope::default();
    for header in message.headers().into_iter().flat_map(Headers::iter) {
        envelope.read(header.key, header.value.unwrap_or_default());
    }
    let key = Bytes::copy_from_slice(message.key().unwrap_or_default());
    let value = Bytes::copy_from_slice(message.payload().unwrap_or_default());
    Ok(Record { at, offset, key, value, envelope })
}

fn explain(error: KafkaError) -> BusError {
    use rdkafka::error::RDKafkaErrorCode::{AutoOffsetReset, OffsetOutOfRange};
    match error.rdkafka_error_code() {
        Some(AutoOffsetReset | OffsetOutOfRange) => {
            BusError::Outage(format!("the bus has forgotten where this consumer was: {error}"))
        }
        _ => failed(error),
    }
}
