//! The port onto records that a consumer could not handle, and what waits behind them.
//!
//! A record that cannot be handled parks its key: it and all later records of the key wait here in order, while other
//! keys flow. Operators only mark what they want; the consumer that owns the partition acts on it, in order.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use cornjacket_domain::Timestamp;

use crate::StoreError;
use crate::offsets::ConsumerPartition;

/// A record that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Whose it is, and where the record was.
    pub at: ConsumerPartition,
    /// The record's offset; the next number after the last letter of the partition where that one is above it, since a bus
    /// that begins anew gives offsets again.
    pub offset: u64,
    /// The record's key.
    pub key: Bytes,
    /// The position that its headers named.
    pub position: Option<u64>,
    /// The ingest time that its headers named.
    pub ingest_time: Option<Timestamp>,
    /// The epoch that its headers named.
    pub epoch: Option<u32>,
    /// The media type of the value.
    pub format: String,
    /// The value as it was on the bus.
    pub value: Bytes,
    /// Why it could not be handled; nothing when it only waits behind one that could not.
    pub error: Option<String>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it came here.
    pub first_time: Timestamp,
    /// When it was last tried.
    pub last_time: Timestamp,
    /// Why an operator gave it up.
    pub discarded: Option<String>,
}

/// What waits behind one key, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedQueue {
    /// The key.
    pub key: Bytes,
    /// Its oldest letters.
    pub letters: Vec<DeadLetter>,
}

/// Which letters an operator means; what is not given means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LetterFilter {
    /// Of this consumer.
    pub consumer: Option<String>,
    /// Of this topic.
    pub topic: Option<String>,
    /// Of this key.
    pub key: Option<Bytes>,
}

/// One letter, by where its record was.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterId {
    /// Whose it is.
    pub consumer: String,
    /// The record's topic.
    pub topic: String,
    /// The record's partition.
    pub partition: u16,
    /// The record's offset.
    pub offset: u64,
}

/// Reading dead letters, and marking what is to become of them.
#[async_trait]
pub trait DeadLetters: Debug + Send + Sync {
    /// The keys that are parked in a partition.
    async fn parked(&self, at: &ConsumerPartition) -> Result<Vec<Bytes>, StoreError>;

    /// How many letters a partition has, and the bytes of their values.
    async fn size(&self, at: &ConsumerPartition) -> Result<(u64, u64), StoreError>;

    /// A key of the partition that is marked to be redriven, with its oldest letters, at most `limit`.
    async fn to_redrive(&self, at: &ConsumerPartition, limit: u32)
    -> Result<Option<ParkedQueue>, StoreError>;

    /// Letters in the order of their ids, from the one after `after`.
    async fn list(
        &self,
        filter: &LetterFilter,
        after: Option<&LetterId>,
        limit: u32,
    ) -> Result<Vec<DeadLetter>, StoreError>;

    /// One letter.
    async fn get(&self, id: &LetterId) -> Result<Option<DeadLetter>, StoreError>;

    /// Marks the keys of these letters to be redriven: how many keys. Marking them again changes nothing.
    async fn mark_redrive(&self, filter: &LetterFilter) -> Result<u64, StoreError>;

    /// Gives a letter up and marks its key to be redriven, so that what waits behind it flows. False when there is no
    /// such letter.
    async fn discard(&self, id: &LetterId, reason: &str) -> Result<bool, StoreError>;

    /// Gives up the letters that came before `time`, as [`DeadLetters::discard`] does: how many.
    async fn expire(&self, time: Timestamp) -> Result<u64, StoreError>;
}

/// Parking and settling, within the transaction of an effect.
#[async_trait]
pub trait DeadLettersTx: Send {
    /// Parks the keys of the letters, and keeps the letters.
    async fn park(&mut self, letters: &[DeadLetter]) -> Result<(), StoreError>;

    /// What became of the oldest letters of a key that was redriven.
    async fn settle(&mut self, settled: &Settled) -> Result<Settlement, StoreError>;
}

/// How a key is after letters of it were settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// No letter is left: the key is free again.
    Free,
    /// Letters are left.
    Parked,
    /// The letters were not as they had been read: somebody else has settled them. The transaction must be dropped.
    Overtaken,
}

/// What became of the oldest letters of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Whose, and where.
    pub at: ConsumerPartition,
    /// The key.
    pub key: Bytes,
    /// Letters below this offset are handled, or given up.
    pub below: u64,
    /// How many those are.
    pub letters: u64,
    /// The first that could not be handled, and why: the key stays parked and waits for the next redrive.
    pub failed: Option<(u64, String)>,
    /// The time of the attempt.
    pub now: Timestamp,
}
