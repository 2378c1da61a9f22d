//! The transaction in which an effect and its offset become one.

use async_trait::async_trait;

use crate::TopicPartition;

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
