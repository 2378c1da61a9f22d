//! The port onto the bus.

use std::fmt::{self, Debug};

use async_trait::async_trait;
use cornjacket_domain::{StoredEvent, Topic};
use tokio::sync::oneshot;

use crate::{BusError, Record};

/// One ordered part of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Topic,
    /// The partition, from 0.
    pub partition: u16,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.topic, self.partition)
    }
}

/// The bus: at least once, in log order per (topic, subject).
#[async_trait]
pub trait Bus: Debug + Send + Sync {
    /// Makes the topics that are missing. Refused when one has another number of partitions than the log remembers,
    /// since subjects would change places.
    async fn prepare(&self) -> Result<(), BusError>;

    /// A publisher that takes the place of every earlier one of that name, in whichever process: from here on nothing
    /// of theirs reaches the bus. `None` where the bus is the log itself and nothing has to be published.
    async fn publisher(&self, name: &str) -> Result<Option<Box<dyn Publisher>>, BusError>;

    /// Takes part in the consumer group `group`; its members share the partitions of the topics.
    async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, BusError>;
}

/// Puts events on the bus. After an error it is of no more use: its holder makes a new one and begins again from the
/// last commit.
#[async_trait]
pub trait Publisher: Send {
    /// Sends events, which follow those sent before. Waits when too much is under way.
    async fn publish(&mut self, events: &[StoredEvent]) -> Result<(), BusError>;

    /// Returns when everything sent so far is on the bus for good.
    async fn commit(&mut self) -> Result<(), BusError>;
}

/// A member of a consumer group.
#[async_trait]
pub trait Subscription: Send {
    /// What comes next. Cancel safe.
    async fn next(&mut self) -> Result<Delivery, BusError>;
}

/// What a member of a consumer group is handed.
#[derive(Debug)]
pub enum Delivery {
    /// The partitions that are the member's from now on; those it had before are no longer, unless they are here.
    /// Records come after it has said where to begin.
    Assigned(Assignment),
    /// Records of one partition, in order.
    Records(TopicPartition, Vec<Record>),
}

/// A question: where to begin?
#[derive(Debug)]
pub struct Assignment {
    /// The partitions that are the member's.
    pub partitions: Vec<TopicPartition>,
    /// The next offset of each of them, in the same order.
    pub begin_at: oneshot::Sender<Vec<u64>>,
}
