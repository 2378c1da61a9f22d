//! The port onto what consumers say of themselves, and what operators want of them.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::{Timestamp, Topic};

use crate::StoreError;
use crate::milestones::Milestone;
use crate::offsets::{ConsumerPartition, Progress};

/// A consumer reports every few seconds; one that has not for this long is silent.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// What a consumer says of a partition that it owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerReport {
    /// Whose, and where.
    pub at: ConsumerPartition,
    /// `running`, `waiting`, `paused`, `parked` or `stuck`.
    pub state: String,
    /// Why, for an operator; empty when there is nothing to say.
    pub reason: String,
    /// Which process.
    pub holder: String,
    /// When it said so.
    pub reported_at: Timestamp,
}

impl ConsumerReport {
    /// Whether it still says something: whoever has been silent for longer may be gone.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        self.reported_at + SILENT_AFTER >= now
    }
}

/// How a consumer is doing in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerStatus {
    /// Where it is.
    pub at: ConsumerPartition,
    /// How far it has come.
    pub progress: Progress,
    /// What it last said; nothing when it never did.
    pub report: Option<ConsumerReport>,
    /// Keys that are parked.
    pub parked_keys: u64,
    /// Letters that wait.
    pub dead_letters: u64,
    /// The last position that left the log before it was read here, until that is made up for.
    pub lost_until: Option<u64>,
}

/// Events of a partition that leave the log before a consumer has read them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Whose, and where.
    pub at: ConsumerPartition,
    /// The first position that it has not read.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

/// What operators want of a consumer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// It is to stop consuming until it is told to go on.
    pub paused: bool,
    /// Partitions, as topic and number, in which a key is to be redriven.
    pub redrive: Vec<(String, u16)>,
}

/// Consumers as their operators see them.
#[async_trait]
pub trait Consumers: Debug + Send + Sync {
    /// Keeps the reports of one consumer, and returns what is wanted of it.
    async fn report(&self, consumer: &str, reports: &[ConsumerReport]) -> Result<Orders, StoreError>;

    /// Keeps when partitions of one consumer had come how far, for [`KEPT`](crate::milestones::KEPT) at least.
    async fn keep(&self, milestones: &[Milestone]) -> Result<(), StoreError>;

    /// The consumers that are known to have had the event at `position` of a partition, each with the time by which its
    /// effect was in.
    async fn reached(
        &self,
        topic: Topic,
        partition: u16,
        position: u64,
    ) -> Result<HashMap<String, Timestamp>, StoreError>;

    /// Every partition that any consumer has ever read from, in order.
    async fn list(&self) -> Result<Vec<ConsumerStatus>, StoreError>;

    /// Keeps that a consumer has a gap. A projection's is made up for when states that were made anew go live.
    async fn mark_gap(&self, gap: &Gap) -> Result<(), StoreError>;

    /// Pauses a consumer in every process, or lets it go on. Whoever lets one go on that is no projection, and that has
    /// read beyond its gaps, has seen to them.
    async fn set_paused(&self, consumer: &str, paused: bool) -> Result<(), StoreError>;
}
