//! The port onto what consumers remember: how far they came, and the transaction in which they go on.

use std::fmt::Debug;

use async_trait::async_trait;
use cornjacket_domain::Topic;

use crate::StoreError;
use crate::alarms::AlarmsTx;
use crate::dead_letters::DeadLettersTx;
use crate::definitions::DefinitionsTx;
use crate::deliveries::DeliveriesTx;
use crate::groups::GroupsTx;
use crate::ledger::LedgerTx;
use crate::models::ModelsTx;
use crate::quiet::QuietTx;
use crate::read_model::ReadModelTx;
use crate::scoring::ScoringTx;
use crate::series::SeriesTx;

/// One partition of a topic as one consumer sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConsumerPartition {
    /// The consumer's name.
    pub consumer: String,
    /// The topic's name, or [`MQTT`].
    pub topic: &'static str,
    /// The partition, from 0.
    pub partition: u16,
}

/// Stands in a topic's place for messages of MQTT that became no event and were never on the bus.
pub const MQTT: &str = "mqtt";

/// What a topic is called, or stands in its place, as it was kept.
pub(crate) fn topic_name(kept: &str) -> Option<&'static str> {
    if kept == MQTT { Some(MQTT) } else { Topic::from_name(kept).map(Topic::name) }
}

/// How far a consumer has come in a partition. The default is the beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The offset to read next.
    pub next_offset: u64,
    /// The last position whose effect is in.
    pub last_position: u64,
}

/// Offsets that move in the transaction of the effect.
#[async_trait]
pub trait Offsets: Debug + Send + Sync {
    /// How far the consumer has come.
    async fn load(&self, at: &ConsumerPartition) -> Result<Progress, StoreError>;

    /// Opens a transaction that has moved the progress from `from` to `to`. `None` when it is not at `from`: somebody
    /// else has moved it, and this consumer no longer owns the partition.
    async fn begin(
        &self,
        at: &ConsumerPartition,
        from: Progress,
        to: Progress,
    ) -> Result<Option<Box<dyn Tx>>, StoreError>;

    /// Opens a transaction that moves no progress, for who is no consumer.
    async fn begin_apart(&self) -> Result<Box<dyn Tx>, StoreError>;
}

/// The transaction of an effect. Dropped without [`Tx::commit`], it never was.
#[async_trait]
pub trait Tx:
    ReadModelTx
    + SeriesTx
    + ScoringTx
    + ModelsTx
    + QuietTx
    + DeadLettersTx
    + DefinitionsTx
    + LedgerTx
    + DeliveriesTx
    + AlarmsTx
    + GroupsTx
{
    /// The last position whose effect was in when it began; 0 for one that moves no progress.
    fn reached(&self) -> u64;

    /// Says that somebody still works: the database cuts off who is silent in a transaction for two seconds.
    async fn touch(&mut self) -> Result<(), StoreError>;

    /// Makes effect and progress durable together.
    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}
