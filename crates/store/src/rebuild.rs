//! The port for making a projection's states anew, beside those that answer questions.

use std::collections::BTreeMap;
use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use cornjacket_domain::{Timestamp, Topic};

use crate::StoreError;
use crate::offsets::ConsumerPartition;
use crate::read_model::{ProjectionId, ReadModelTx};

/// Which states of a projection there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// The projection.
    pub projection: String,
    /// The build that answers questions.
    pub build: u32,
    /// The version of the fold that makes it.
    pub fold: u16,
    /// The build that is being made, or was given up.
    pub unfinished: Option<u32>,
}

/// How far the live states include a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePartition {
    /// The partition, as their consumer sees it.
    pub at: ConsumerPartition,
    /// Every event up to here is in,
    pub last_position: u64,
    /// but for those of these keys from these positions on, which are parked.
    pub parked: BTreeMap<Bytes, u64>,
}

/// The partitions that a consumer has read from, given its progress and what is parked, each with topic and partition.
pub(crate) fn live_partitions(
    consumer: &str,
    progress: Vec<(String, u16, u64)>,
    parked: Vec<(String, u16, Bytes, u64)>,
) -> Vec<LivePartition> {
    let mut partitions: Vec<LivePartition> = Vec::with_capacity(progress.len());
    for (topic, partition, last_position) in progress {
        let Some(topic) = Topic::from_name(&topic) else { continue };
        let at = ConsumerPartition { consumer: consumer.to_owned(), topic: topic.name(), partition };
        partitions.push(LivePartition { at, last_position, parked: BTreeMap::new() });
    }
    for (topic, partition, key, position) in parked {
        let here = |live: &&mut LivePartition| live.at.topic == topic && live.at.partition == partition;
        if let Some(live) = partitions.iter_mut().find(here) {
            live.parked.insert(key, position);
        }
    }
    partitions
}

/// Makes states anew.
#[async_trait]
pub trait Rebuilds: Debug + Send + Sync {
    /// Makes a projection known, whose first states are then made by that version of its fold.
    async fn declare(&self, projection: ProjectionId) -> Result<(), StoreError>;

    /// Every projection that is known.
    async fn list(&self) -> Result<Vec<Built>, StoreError>;

    /// Begins a build: its number. What an earlier one left unfinished goes, and if it is still being made it will not
    /// go live.
    async fn begin(&self, projection: ProjectionId) -> Result<u32, StoreError>;

    /// A transaction in which states of a build are written.
    async fn write(&self) -> Result<Box<dyn RebuildTx>, StoreError>;

    /// Drops the states of builds that are neither live nor being made.
    async fn drop_unused(&self, projection: ProjectionId) -> Result<(), StoreError>;

    /// Drops live states in which nothing is of `time` or later.
    async fn drop_expired(&self, time: Timestamp) -> Result<(), StoreError>;
}

/// A transaction of a rebuild. Dropped without [`RebuildTx::commit`], it never was.
#[async_trait]
pub trait RebuildTx: ReadModelTx {
    /// How far the live states of `consumer` include the log.
    async fn live(&mut self, consumer: &str) -> Result<Vec<LivePartition>, StoreError>;

    /// Stops `consumer` in all of its partitions until the transaction ends.
    async fn hold(&mut self, consumer: &str) -> Result<(), StoreError>;

    /// Takes over the live states of subjects that the build does not have and whose events are all below a position.
    async fn carry_over(
        &mut self,
        projection: ProjectionId,
        build: u32,
        below: u64,
    ) -> Result<(), StoreError>;

    /// Lets a build answer questions from the commit on, which makes up for the gaps of its consumer. False when another one was begun meanwhile.
    async fn go_live(&mut self, projection: ProjectionId, build: u32) -> Result<bool, StoreError>;

    /// Makes it durable.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}
