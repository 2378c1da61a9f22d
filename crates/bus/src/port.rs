//! The port onto the bus.

use std::collections::BTreeMap;
use std::fmt::{self, Debug};
use std::ops::RangeInclusive;

use async_trait::async_trait;
use cornjacket_domain::{Partitions, StoredEvent, Topic};
use tokio::sync::oneshot;

use crate::{BusError, Published, Record};

/// One ordered part of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic.
    pub topic: Topic,
    /// The partition, from 0.
    pub partition: u16,
}

impl TopicPartition {
    /// Where on the bus an event belongs.
    pub(crate) fn of(event: &StoredEvent, partitions: Partitions) -> Self {
        let (topic, partition) = partitions.place(&event.event_type, &event.subject);
        Self { topic, partition }
    }
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
    /// of theirs reaches the bus. It continues what was `published`, and is refused with [`BusError::Lost`] when the bus
    /// has no longer what it should have. `None` where the bus is the log itself and nothing has to be published.
    async fn publisher(
        &self,
        name: &str,
        published: Published,
    ) -> Result<Option<Box<dyn Publisher>>, BusError>;

    /// A publisher of the replay `id`, beside all others: its records carry the id, and our consumers pass over them. What
    /// the relay has `published` tells it that a topic was made anew; then it is refused, so that nothing of a replay hides
    /// that from the relay. `None` where nobody but us reads the bus.
    async fn replayer(&self, id: &str, published: Published) -> Result<Option<Box<dyn Publisher>>, BusError>;

    /// Takes part in the consumer group `group`; its members share the partitions of the topics.
    async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, BusError>;
}

/// Puts events on the bus. After an error it is of no more use: its holder makes a new one and begins again from the
/// last commit.
#[async_trait]
pub trait Publisher: Send {
    /// Sends events, which follow those sent before. Waits when too much is under way.
    async fn publish(&mut self, events: &[StoredEvent]) -> Result<(), BusError>;

    /// Returns when everything sent so far is on the bus for good: what is where.
    async fn commit(&mut self) -> Result<Published, BusError>;
}

/// A member of a consumer group.
#[async_trait]
pub trait Subscription: Send {
    /// What comes next. Cancel safe.
    async fn next(&mut self) -> Result<Delivery, BusError>;

    /// The next assignment, for whoever wants no records meanwhile. Cancel safe.
    async fn assigned(&mut self) -> Result<Assignment, BusError>;

    /// Has the records come of a partition that was to begin later: those from where the bus ended when it was assigned.
    async fn let_flow(&mut self, at: TopicPartition) -> Result<(), BusError>;
}

/// Records by partition, each in order.
pub type Records = BTreeMap<TopicPartition, Vec<Record>>;

/// What a member of a consumer group is handed.
#[derive(Debug)]
pub enum Delivery {
    /// The partitions that are the member's from now on; those it had before are no longer, unless they are here.
    /// Records come after it has said where to begin.
    Assigned(Assignment),
    /// Records by partition, each in order.
    Records(Records),
}

/// A question: where to begin?
#[derive(Debug)]
pub struct Assignment {
    /// The partitions that are the member's.
    pub partitions: Vec<Assigned>,
    /// Where to begin in each of them, in the same order.
    pub begin_at: oneshot::Sender<Vec<Begin>>,
}

/// A partition that is a member's from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The partition.
    pub at: TopicPartition,
    /// The offsets at which one can begin: from that of the first record the bus still has to that which the next record
    /// will have.
    pub offsets: RangeInclusive<u64>,
}

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// At this offset.
    At(u64),
    /// At its end, but only when [`Subscription::let_flow`] says so.
    Later,
}
