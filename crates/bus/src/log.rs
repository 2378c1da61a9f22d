//! The log as records: what the embedded bus hands out, and what consumers read when their bus has forgotten.

use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_domain::{Partitions, StoredEvent};
use tokio::sync::watch;

use crate::codec::{Envelope, Format};
use crate::{Record, TopicPartition};

/// Events that are read from the log at once.
pub(crate) const CHUNK: u32 = 1_000;

/// Any error of the log.
pub type SourceError = Box<dyn std::error::Error + Send + Sync>;

/// The log, as far as the bus needs it.
#[async_trait]
pub trait LogSource: Debug + Send + Sync {
    /// The events above a position, in order: as many as `limit` when there are.
    async fn read(&self, after: u64, limit: u32) -> Result<Vec<StoredEvent>, SourceError>;

    /// Changes when events are stored.
    fn watch(&self) -> watch::Receiver<u64>;
}

/// The log, dealt out to the partitions of the bus.
#[derive(Clone, Debug)]
pub struct PartitionedLog {
    /// The log.
    pub source: Arc<dyn LogSource>,
    /// Partitions of every topic.
    pub partitions: Partitions,
    /// The epoch of the log.
    pub epoch: u32,
}

impl PartitionedLog {
    /// Where on the bus an event belongs.
    pub(crate) fn place(&self, event: &StoredEvent) -> TopicPartition {
        TopicPartition::of(event, self.partitions)
    }

    /// The event as a record at `offset`.
    pub(crate) fn record(&self, at: TopicPartition, offset: u64, event: StoredEvent) -> Record {
        Record {
            at,
            offset,
            key: event.subject.into(),
            value: event.encoded,
            envelope: Envelope {
                position: Some(event.position),
                previous: None,
                ingest_time: Some(event.ingest_time),
                epoch: Some(self.epoch),
                format: Format::Protobuf,
                replay: None,
            },
        }
    }
}
