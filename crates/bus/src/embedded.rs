//! The bus without a broker: consumers read the log itself. A position is its own offset.

use std::collections::BTreeMap;

use async_trait::async_trait;
use cornjacket_domain::Topic;
use tokio::sync::{oneshot, watch};

use crate::log::{CHUNK, PartitionedLog};
use crate::{Assigned, Assignment, Begin, Bus, BusError, Delivery, Published, Publisher, Records};
use crate::{Subscription, TopicPartition};

/// The log as a bus.
#[derive(Clone, Debug)]
pub struct EmbeddedBus(PartitionedLog);

impl EmbeddedBus {
    /// `log` as a bus.
    pub const fn new(log: PartitionedLog) -> Self {
        Self(log)
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn prepare(&self) -> Result<(), BusError> {
        Ok(())
    }

    async fn publisher(&self, _: &str, _: Published) -> Result<Option<Box<dyn Publisher>>, BusError> {
        Ok(None)
    }

    async fn replayer(&self, _: &str, _: Published) -> Result<Option<Box<dyn Publisher>>, BusError> {
        Ok(None)
    }

    async fn subscribe(&self, _group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, BusError> {
        let every = |topic: Topic| {
            (0..self.0.partitions.count()).map(move |partition| TopicPartition { topic, partition })
        };
        Ok(Box::new(LogSubscription {
            log: self.0.clone(),
            head: self.0.source.watch(),
            phase: Phase::Ask(topics.iter().copied().flat_map(every).collect()),
            after: 0,
            next_offsets: BTreeMap::new(),
        }))
    }
}

/// A consumer that reads the log. It has every partition: one process, one member.
#[derive(Debug)]
struct LogSubscription {
    log: PartitionedLog,
    head: watch::Receiver<u64>,
    phase: Phase,
    /// The last position that was read from the log.
    after: u64,
    /// What each partition wants next; what it does not want it has had.
    next_offsets: BTreeMap<TopicPartition, u64>,
}

/// Where the consumer begins.
#[derive(Debug)]
enum Phase {
    Ask(Vec<TopicPartition>),
    Asked(Vec<TopicPartition>, oneshot::Receiver<Vec<Begin>>),
    Known,
}

#[async_trait]
impl Subscription for LogSubscription {
    async fn next(&mut self) -> Result<Delivery, BusError> {
        if let Some(assignment) = self.ask() {
            return Ok(Delivery::Assigned(assignment));
        }
        self.hear_where_to_begin().await?;
        loop {
            let records = self.read_on().await?;
            if !records.is_empty() {
                return Ok(Delivery::Records(records));
            }
        }
    }

    async fn assigned(&mut self) -> Result<Assignment, BusError> {
        match self.ask() {
            Some(assignment) => Ok(assignment),
            None => std::future::pending().await,
        }
    }

    async fn let_flow(&mut self, _: TopicPartition) -> Result<(), BusError> {
        Ok(())
    }
}

impl LogSubscription {
    /// The only assignment, once.
    fn ask(&mut self) -> Option<Assignment> {
        let Phase::Ask(partitions) = &self.phase else { return None };
        let partitions = partitions.clone();
        let (begin_at, answer) = oneshot::channel();
        self.phase = Phase::Asked(partitions.clone(), answer);
        // All of the log is here, and always was.
        let whole = |at: TopicPartition| Assigned { at, offsets: 0..=u64::MAX };
        Some(Assignment { partitions: partitions.into_iter().map(whole).collect(), begin_at })
    }

    async fn hear_where_to_begin(&mut self) -> Result<(), BusError> {
        let Phase::Asked(partitions, answer) = &mut self.phase else { return Ok(()) };
        let offsets = answer.await.map_err(|_| BusError::Outage("nobody said where to begin".into()))?;
        let offset = |begin| match begin {
            Begin::At(offset) => offset,
            Begin::Later => u64::MAX,
        };
        self.next_offsets = partitions.drain(..).zip(offsets.into_iter().map(offset)).collect();
        // A partition that was never read wants the log's first event.
        self.after = self.next_offsets.values().map(|next| next.saturating_sub(1)).min().unwrap_or(0);
        self.phase = Phase::Known;
        Ok(())
    }

    /// Reads the next chunk, and waits for one when there is none.
    async fn read_on(&mut self) -> Result<Records, BusError> {
        // Marked as seen before reading: what is stored while we read wakes the wait.
        self.head.borrow_and_update();
        let events = self.log.source.read(self.after, CHUNK).await;
        let events = events.map_err(|error| BusError::Outage(error.to_string()))?;
        let Some(last) = events.last() else {
            let changed = self.head.changed().await;
            changed.map_err(|_| BusError::Outage("the log is closed".into()))?;
            return Ok(Records::new());
        };
        self.after = last.position;
        let mut records = Records::new();
        for event in events {
            let at = self.log.place(&event);
            if self.next_offsets.get(&at).is_some_and(|next| event.position >= *next) {
                records.entry(at).or_default().push(self.log.record(at, event.position, event));
            }
        }
        Ok(records)
    }
}
