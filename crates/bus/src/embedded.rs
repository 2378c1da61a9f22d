//! The bus without a broker: consumers read the log itself. A position is its own offset.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::{Partitions, StoredEvent, Topic};
use tokio::sync::{oneshot, watch};

use crate::codec::{Envelope, Format};
use crate::{Assignment, Bus, BusError, Delivery, Publisher, Record, Subscription, TopicPartition};

/// Events that are read from the log at once.
const CHUNK: u32 = 1_000;

/// Any error of the log.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// The log, as far as the bus needs it.
#[async_trait]
pub trait LogSource: Debug + Send + Sync {
    /// The events above a position, in order.
    async fn read(&self, after: u64, limit: u32) -> Result<Vec<StoredEvent>, SourceError>;

    /// Changes when events are stored.
    fn watch(&self) -> watch::Receiver<u64>;
}

/// The log as a bus.
#[derive(Clone, Debug)]
pub struct EmbeddedBus {
    log: Arc<dyn LogSource>,
    partitions: Partitions,
    epoch: u32,
}

impl EmbeddedBus {
    /// `log` as a bus, whose topics have `partitions` each.
    pub const fn new(log: Arc<dyn LogSource>, partitions: Partitions, epoch: u32) -> Self {
        Self { log, partitions, epoch }
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn prepare(&self) -> Result<(), BusError> {
        Ok(())
    }

    async fn publisher(&self, _name: &str) -> Result<Option<Box<dyn Publisher>>, BusError> {
        Ok(None)
    }

    async fn subscribe(&self, _group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, BusError> {
        let every = |topic: Topic| {
            (0..self.partitions.count()).map(move |partition| TopicPartition { topic, partition })
        };
        Ok(Box::new(LogSubscription {
            bus: self.clone(),
            head: self.log.watch(),
            begin: Begin::Ask(topics.iter().copied().flat_map(every).collect()),
            ready: VecDeque::new(),
            after: 0,
            next_offsets: BTreeMap::new(),
        }))
    }
}

/// A consumer that reads the log. It has every partition: one process, one member.
#[derive(Debug)]
struct LogSubscription {
    bus: EmbeddedBus,
    head: watch::Receiver<u64>,
    begin: Begin,
    ready: VecDeque<(TopicPartition, Vec<Record>)>,
    /// The last position that was read from the log.
    after: u64,
    /// What each partition wants next; what it does not want it has had.
    next_offsets: BTreeMap<TopicPartition, u64>,
}

/// Where the consumer begins.
#[derive(Debug)]
enum Begin {
    Ask(Vec<TopicPartition>),
    Asked(Vec<TopicPartition>, oneshot::Receiver<Vec<u64>>),
    Known,
}

#[async_trait]
impl Subscription for LogSubscription {
    async fn next(&mut self) -> Result<Delivery, BusError> {
        if let Begin::Ask(partitions) = &self.begin {
            let partitions = partitions.clone();
            let (begin_at, answer) = oneshot::channel();
            self.begin = Begin::Asked(partitions.clone(), answer);
            return Ok(Delivery::Assigned(Assignment { partitions, begin_at }));
        }
        self.hear_where_to_begin().await?;
        loop {
            if let Some((at, records)) = self.ready.pop_front() {
                return Ok(Delivery::Records(at, records));
            }
            self.read_on().await?;
        }
    }
}

impl LogSubscription {
    async fn hear_where_to_begin(&mut self) -> Result<(), BusError> {
        let Begin::Asked(partitions, answer) = &mut self.begin else { return Ok(()) };
        let offsets = answer.await.map_err(|_| BusError::Outage("nobody said where to begin".into()))?;
        self.next_offsets = partitions.drain(..).zip(offsets).collect();
        // A partition that was never read wants the log's first event.
        self.after = self.next_offsets.values().map(|next| next.saturating_sub(1)).min().unwrap_or(0);
        self.begin = Begin::Known;
        Ok(())
    }

    /// Reads the next chunk, and waits for one when there is none.
    async fn read_on(&mut self) -> Result<(), BusError> {
        // Marked as seen before reading: what is stored while we read wakes the wait.
        self.head.borrow_and_update();
        let events = self.bus.log.read(self.after, CHUNK).await;
        let events = events.map_err(|error| BusError::Outage(error.to_string()))?;
        let Some(last) = events.last() else {
            return self.head.changed().await.map_err(|_| BusError::Outage("the log is closed".into()));
        };
        self.after = last.position;
        for event in events {
            self.sort_in(event);
        }
        Ok(())
    }

    fn sort_in(&mut self, event: StoredEvent) {
        let topic = Topic::of_type(&event.event_type);
        let at = TopicPartition { topic, partition: self.bus.partitions.of_subject(&event.subject) };
        if self.next_offsets.get(&at).is_none_or(|next| event.position < *next) {
            return;
        }
        let record = self.record(at, event);
        match self.ready.iter_mut().find(|(other, _)| *other == at) {
            Some((_, records)) => records.push(record),
            None => self.ready.push_back((at, vec![record])),
        }
    }

    fn record(&self, at: TopicPartition, event: StoredEvent) -> Record {
        Record {
            at,
            offset: event.position,
            key: event.subject.into(),
            value: event.encoded,
            envelope: Envelope {
                position: Some(event.position),
                ingest_time: Some(event.ingest_time),
                epoch: Some(self.bus.epoch),
                format: Format::Protobuf,
                replay: false,
            },
        }
    }
}
