//! The transaction in which an effect and its offset become one, and what is kept beside it.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Record, TopicPartition};

/// How far a consumer has come in one partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The offset to read next.
    pub next_offset: u64,
    /// The last position whose effect is in; a record at or below it is a repeat.
    pub last_position: u64,
}

/// Where consumers keep their progress: beside their effects, in one transaction.
#[async_trait]
pub trait Checkpoint: Send + Sync + 'static {
    /// The transaction of an effect. Dropped without [`Checkpoint::commit`], it never was.
    type Tx: Send;

    /// How far `consumer` has come; the beginning, when it has never been here.
    async fn load(&self, consumer: &str, at: TopicPartition) -> Result<Progress, CheckpointError>;

    /// Opens a transaction that moves the progress from `from` to `to`, as its first step, so that no two owners of a
    /// partition can both get through.
    async fn begin(
        &self,
        consumer: &str,
        at: TopicPartition,
        from: Progress,
        to: Progress,
    ) -> Result<Self::Tx, CheckpointError>;

    /// Makes effect and progress durable together.
    async fn commit(&self, transaction: Self::Tx) -> Result<(), CheckpointError>;

    /// What is parked in a partition.
    async fn parked(&self, consumer: &str, at: TopicPartition) -> Result<Parked, CheckpointError>;

    /// Keeps what cannot be handled, and what waits behind it; their keys are parked from now on.
    async fn park(
        &self,
        transaction: &mut Self::Tx,
        consumer: &str,
        letters: &[Letter],
    ) -> Result<(), CheckpointError>;

    /// The oldest letters of a key that an operator wants redriven, when there is one in the partition.
    async fn to_redrive(
        &self,
        consumer: &str,
        at: TopicPartition,
    ) -> Result<Option<ParkedQueue>, CheckpointError>;

    /// Keeps what became of letters. True when none is left: the key is free again. Fenced when they are not as they were
    /// read.
    async fn settle(
        &self,
        transaction: &mut Self::Tx,
        consumer: &str,
        at: TopicPartition,
        settled: &Settled,
    ) -> Result<bool, CheckpointError>;

    /// Tells operators what is new of the consumer in its partitions and keeps when it came how far, at most one milestone
    /// for each; hears what operators want in any of them.
    async fn report(
        &self,
        consumer: &str,
        reports: &[Report],
        milestones: &[Milestone],
    ) -> Result<Orders, CheckpointError>;
}

/// What is parked in a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parked {
    /// Keys whose records wait.
    pub keys: BTreeSet<Bytes>,
    /// How many records wait.
    pub rows: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

/// A record that is not handled now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The record.
    pub record: Record,
    /// Why it cannot be handled; nothing when it only waits behind one that cannot.
    pub error: Option<String>,
}

/// What waits behind one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedQueue {
    /// The key.
    pub key: Bytes,
    /// The oldest records, in order, each with whether an operator gave it up.
    pub records: Vec<(Record, bool)>,
}

/// What became of the oldest letters of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The key.
    pub key: Bytes,
    /// Letters below this offset are handled, or given up.
    pub below: u64,
    /// How many those are: when they are not there any more, somebody else has settled them.
    pub letters: u64,
    /// The first that could not be handled, by its offset, and why.
    pub failed: Option<(u64, String)>,
}

/// How a consumer is doing in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The partition.
    pub at: TopicPartition,
    /// The name of its state.
    pub state: &'static str,
    /// Why, for an operator.
    pub reason: String,
}

/// Some events of a partition, and when their effects were in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Milestone {
    /// The partition.
    pub at: TopicPartition,
    /// The events after this position,
    pub after: u64,
    /// up to this one,
    pub last_position: u64,
    /// were in this long ago.
    pub age: Duration,
}

/// What operators want of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// It is to stop consuming until it is told to go on.
    pub paused: bool,
    /// Partitions in which a key is to be redriven.
    pub redrive: Vec<TopicPartition>,
}

/// Why progress was not made.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The progress is not where it was thought to be: somebody else owns the partition, or did.
    #[error("another consumer has moved on")]
    Fenced,
    /// The store is not available; later it may be.
    #[error("{0}")]
    Outage(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store failed in a way that trying again does not mend.
    #[error("{0}")]
    Defect(#[source] Box<dyn std::error::Error + Send + Sync>),
}
