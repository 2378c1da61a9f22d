//! Taking records off topics.
//!
//! librdkafka wants to be polled by a thread, and asks there, in the middle of a poll, where to begin: the thread hands
//! both records and that question through a channel to the consume loop. The channel is short, so that a slow consumer
//! slows the thread down. What the thread is asked to do it does between two polls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as commands;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cornjacket_domain::Topic;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};
use tokio::sync::{mpsc, oneshot};

use super::{KafkaBus, PATIENCE, failed};
use crate::codec::Envelope;
use crate::{Assigned, Assignment, Begin, BusError, Delivery, Record, Subscription, TopicPartition};

/// Records that are handed on at once.
const BATCH: usize = 1_000;
/// Batches that wait for the consumer.
const WAITING: usize = 4;
/// How soon the thread notices that nobody wants its records any more.
const POLL: Duration = Duration::from_millis(100);

type Deliveries = mpsc::Sender<Result<Delivery, BusError>>;

pub(super) struct KafkaSubscription {
    deliveries: mpsc::Receiver<Result<Delivery, BusError>>,
    flow: commands::Sender<TopicPartition>,
    stop: Arc<AtomicBool>,
}

impl KafkaSubscription {
    pub(super) fn new(bus: &KafkaBus, group: &str, topics: &[Topic]) -> Result<Self, BusError> {
        let (sender, deliveries) = mpsc::channel(WAITING);
        let names: Vec<_> = topics.iter().map(|topic| bus.topic_name(*topic)).collect();
        let by_name = names.iter().cloned().zip(topics.iter().copied()).collect();
        let context = Context { by_name, deliveries: sender };
        let consumer: BaseConsumer<Context> =
            config(bus, group).create_with_context(context).map_err(failed)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let (flow, flows) = commands::channel();
        std::thread::Builder::new()
            .name(format!("kafka-{group}"))
            .spawn(move || poll_until_stopped(&consumer, &flows, &stopped))
            .map_err(|error| BusError::Outage(format!("no thread for the consumer: {error}")))?;
        Ok(Self { deliveries, flow, stop })
    }
}

fn config(bus: &KafkaBus, group: &str) -> rdkafka::ClientConfig {
    let options = &bus.options;
    let mut config = bus.client();
    config
        .set("group.id", format!("{}{group}", options.prefix))
        .set("session.timeout.ms", options.session_timeout.as_millis().to_string())
        .set("heartbeat.interval.ms", (options.session_timeout / 4).as_millis().to_string())
        .set("partition.assignment.strategy", "range")
        // Offsets are kept beside the effects; one that is gone is said, not guessed.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        // See publisher.rs.
        .set("isolation.level", "read_uncommitted");
    if let Some(instance) = &options.instance_id {
        config.set("group.instance.id", format!("{instance}-{group}"));
    }
    config
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn next(&mut self) -> Result<Delivery, BusError> {
        let next = self.deliveries.recv().await;
        next.unwrap_or_else(|| Err(BusError::Outage("the consumer's thread has ended".into())))
    }

    async fn let_flow(&mut self, at: TopicPartition) -> Result<(), BusError> {
        self.flow.send(at).map_err(|_| BusError::Outage("the consumer's thread has ended".into()))
    }
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// What librdkafka calls back.
struct Context {
    by_name: BTreeMap<String, Topic>,
    deliveries: Deliveries,
}

impl ClientContext for Context {}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assigned = if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assign(consumer, partitions)
        } else {
            // Nothing is ours until the next assignment.
            self.ask(vec![]).and_then(|_| consumer.unassign().map_err(failed))
        };
        if let Err(error) = assigned {
            // Nobody is there to hear it when the subscription is being dropped.
            drop(self.deliveries.blocking_send(Err(error)));
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
        for (((name, partition), begin), assigned) in names.iter().zip(begins).zip(assigned) {
            let offset = match begin {
                Begin::At(offset) => offset,
                Begin::Later => {
                    later.add_partition(name, *partition);
                    *assigned.offsets.end()
                }
            };
            let offset = offset_of(offset)?;
            partitions.set_partition_offset(name, *partition, offset).map_err(failed)?;
        }
        consumer.assign(partitions).map_err(failed)?;
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
        let assigned = Delivery::Assigned(Assignment { partitions, begin_at });
        let sent = self.deliveries.blocking_send(Ok(assigned));
        sent.map_err(|_| BusError::Outage("the subscription is dropped".into()))?;
        Ok(answer)
    }

    fn place(&self, name: &str, partition: i32) -> Result<TopicPartition, BusError> {
        let unknown = || BusError::Refused(format!("{name}/{partition} was never asked for"));
        let topic = *self.by_name.get(name).ok_or_else(unknown)?;
        let partition = u16::try_from(partition).map_err(|_| unknown())?;
        Ok(TopicPartition { topic, partition })
    }
}

fn offset_of(offset: u64) -> Result<Offset, BusError> {
    let offset = i64::try_from(offset);
    offset.map(Offset::Offset).map_err(|_| BusError::Refused("Kafka has no such offset".into()))
}

fn poll_until_stopped(
    consumer: &BaseConsumer<Context>,
    flows: &commands::Receiver<TopicPartition>,
    stop: &AtomicBool,
) {
    while !stop.load(Ordering::Relaxed) {
        if let Err(error) = flows.try_iter().try_for_each(|at| let_flow(consumer, at)) {
            drop(consumer.context().deliveries.blocking_send(Err(error)));
        }
        let Some(first) = consumer.poll(POLL) else { continue };
        let delivered = match first {
            Ok(first) => hand_on(consumer, &first),
            Err(error) => Err(explain(error)),
        };
        if let Err(error) = delivered {
            // The consume loop drops the subscription upon an error; nobody is there when it has done so already.
            if consumer.context().deliveries.blocking_send(Err(error)).is_err() {
                return;
            }
        }
    }
}

fn let_flow(consumer: &BaseConsumer<Context>, at: TopicPartition) -> Result<(), BusError> {
    let mut partitions = TopicPartitionList::new();
    for (name, topic) in &consumer.context().by_name {
        if *topic == at.topic {
            partitions.add_partition(name, at.partition.into());
        }
    }
    consumer.resume(&partitions).map_err(failed)
}

/// Hands on the record and all that are there already, by partition.
fn hand_on(consumer: &BaseConsumer<Context>, first: &BorrowedMessage<'_>) -> Result<(), BusError> {
    let context = consumer.context();
    let mut batches: BTreeMap<TopicPartition, Vec<Record>> = BTreeMap::new();
    let mut add = |message: &BorrowedMessage<'_>| {
        let at = context.place(message.topic(), message.partition())?;
        batches.entry(at).or_default().push(record(at, message)?);
        Ok::<_, BusError>(())
    };
    add(first)?;
    let mut trouble = None;
    for _ in 1..BATCH {
        match consumer.poll(Duration::ZERO) {
            Some(Ok(message)) => add(&message)?,
            Some(Err(error)) => {
                trouble = Some(explain(error));
                break;
            }
            None => break,
        }
    }
    for (at, records) in batches {
        let sent = context.deliveries.blocking_send(Ok(Delivery::Records(at, records)));
        sent.map_err(|_| BusError::Outage("the subscription is dropped".into()))?;
    }
    trouble.map_or(Ok(()), Err)
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
