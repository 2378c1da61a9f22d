//! The bus's checkpoint over the store: offsets, dead letters and reports, in the transaction of the effect.

use std::sync::Arc;

use async_trait::async_trait;
use cornjacket_bus::codec::Envelope;
use cornjacket_bus::{
    Checkpoint, CheckpointError, Format, Letter, Orders, Parked, ParkedQueue, Progress, Record, Report,
    Settled, TopicPartition,
};
use cornjacket_domain::{Clock, Timestamp, Topic};
use cornjacket_store::{
    ConsumerPartition, ConsumerReport, Consumers, DeadLetter, DeadLetters, Milestone, Offsets, Settlement,
    Store, StoreError, Tx,
};

/// Letters of a key that are tried in one transaction.
const AT_ONCE: u32 = 500;

/// A [`Checkpoint`] in a store.
#[derive(Clone, Debug)]
pub struct StoreCheckpoint {
    offsets: Arc<dyn Offsets>,
    dead_letters: Arc<dyn DeadLetters>,
    consumers: Arc<dyn Consumers>,
    clock: Arc<dyn Clock>,
    /// Names this process to operators.
    holder: String,
}

impl StoreCheckpoint {
    /// The checkpoint in `store`.
    pub fn new(store: &Store, clock: Arc<dyn Clock>) -> Self {
        Self {
            offsets: store.offsets.clone(),
            dead_letters: store.dead_letters.clone(),
            consumers: store.consumers.clone(),
            clock,
            holder: cornjacket_store::holder(),
        }
    }
}

#[async_trait]
impl Checkpoint for StoreCheckpoint {
    type Tx = Box<dyn Tx>;

    async fn load(&self, consumer: &str, at: TopicPartition) -> Result<Progress, CheckpointError> {
        let progress = self.offsets.load(&partition_of(consumer, at)).await.map_err(failed)?;
        Ok(Progress { next_offset: progress.next_offset, last_position: progress.last_position })
    }

    async fn begin(
        &self,
        consumer: &str,
        at: TopicPartition,
        from: Progress,
        to: Progress,
    ) -> Result<Self::Tx, CheckpointError> {
        let begun = self.offsets.begin(&partition_of(consumer, at), to_store(from), to_store(to)).await;
        begun.map_err(failed)?.ok_or(CheckpointError::Fenced)
    }

    async fn commit(&self, transaction: Self::Tx) -> Result<(), CheckpointError> {
        transaction.commit().await.map_err(failed)
    }

    async fn parked(&self, consumer: &str, at: TopicPartition) -> Result<Parked, CheckpointError> {
        let at = partition_of(consumer, at);
        let keys = self.dead_letters.parked(&at).await.map_err(failed)?.into_iter().collect();
        let (rows, bytes) = self.dead_letters.size(&at).await.map_err(failed)?;
        Ok(Parked { keys, rows, bytes })
    }

    async fn park(
        &self,
        transaction: &mut Self::Tx,
        consumer: &str,
        letters: &[Letter],
    ) -> Result<(), CheckpointError> {
        let now = self.clock.now();
        let letters: Vec<_> = letters.iter().map(|letter| dead_letter(consumer, letter, now)).collect();
        transaction.park(&letters).await.map_err(failed)
    }

    async fn to_redrive(
        &self,
        consumer: &str,
        at: TopicPartition,
    ) -> Result<Option<ParkedQueue>, CheckpointError> {
        let queue =
            self.dead_letters.to_redrive(&partition_of(consumer, at), AT_ONCE).await.map_err(failed)?;
        Ok(queue.map(|queue| {
            let given_up = |letter: &DeadLetter| letter.discarded.is_some();
            let records = queue.letters.into_iter().map(|letter| {
                let given_up = given_up(&letter);
                (record(at, letter), given_up)
            });
            ParkedQueue { key: queue.key, records: records.collect() }
        }))
    }

    async fn settle(
        &self,
        transaction: &mut Self::Tx,
        consumer: &str,
        at: TopicPartition,
        settled: &Settled,
    ) -> Result<bool, CheckpointError> {
        let settled = cornjacket_store::Settled {
            at: partition_of(consumer, at),
            key: settled.key.clone(),
            below: settled.below,
            letters: settled.letters,
            failed: settled.failed.as_ref().map(|(offset, error)| (*offset, storable(error))),
            now: self.clock.now(),
        };
        match transaction.settle(&settled).await.map_err(failed)? {
            Settlement::Free => Ok(true),
            Settlement::Parked => Ok(false),
            Settlement::Overtaken => Err(CheckpointError::Fenced),
        }
    }

    async fn report(
        &self,
        consumer: &str,
        reports: &[Report],
        milestones: &[cornjacket_bus::Milestone],
    ) -> Result<Orders, CheckpointError> {
        let now = self.clock.now();
        let milestone = |milestone: &cornjacket_bus::Milestone| Milestone {
            at: partition_of(consumer, milestone.at),
            after: milestone.after,
            last_position: milestone.last_position,
            reached_at: now - milestone.age,
        };
        let milestones: Vec<_> = milestones.iter().map(milestone).collect();
        let report = |report: &Report| ConsumerReport {
            at: partition_of(consumer, report.at),
            state: report.state.to_owned(),
            reason: report.reason.clone(),
            holder: self.holder.clone(),
            reported_at: now,
        };
        let reports: Vec<_> = reports.iter().map(report).collect();
        let orders = self.consumers.report(consumer, &reports).await.map_err(failed)?;
        self.consumers.keep(&milestones).await.map_err(failed)?;
        let place = |(topic, partition): (String, u16)| {
            Topic::from_name(&topic).map(|topic| TopicPartition { topic, partition })
        };
        Ok(Orders { paused: orders.paused, redrive: orders.redrive.into_iter().filter_map(place).collect() })
    }
}

fn partition_of(consumer: &str, at: TopicPartition) -> ConsumerPartition {
    ConsumerPartition { consumer: consumer.to_owned(), topic: at.topic.name(), partition: at.partition }
}

const fn to_store(progress: Progress) -> cornjacket_store::Progress {
    cornjacket_store::Progress { next_offset: progress.next_offset, last_position: progress.last_position }
}

fn failed(error: StoreError) -> CheckpointError {
    if error.is_outage() {
        CheckpointError::Outage(error.into())
    } else {
        CheckpointError::Defect(error.into())
    }
}

/// An error may quote what it is about: PostgreSQL keeps no NUL, and nobody reads a megabyte.
fn storable(error: &str) -> String {
    const MOST: usize = 2_000;
    error
        .chars()
        .take(MOST)
        .map(|character| if character == '\0' { char::REPLACEMENT_CHARACTER } else { character })
        .collect()
}

fn dead_letter(consumer: &str, letter: &Letter, now: Timestamp) -> DeadLetter {
    let Letter { record, error } = letter;
    DeadLetter {
        at: partition_of(consumer, record.at),
        offset: record.offset,
        key: record.key.clone(),
        position: record.envelope.position,
        ingest_time: record.envelope.ingest_time,
        epoch: record.envelope.epoch,
        format: record.envelope.format.content_type().to_owned(),
        value: record.value.clone(),
        error: error.as_deref().map(storable),
        attempts: u32::from(error.is_some()),
        first_time: now,
        last_time: now,
        discarded: None,
    }
}

/// The record as it was on the bus.
fn record(at: TopicPartition, letter: DeadLetter) -> Record {
    let json = letter.format == Format::Json.content_type();
    Record {
        at,
        offset: letter.offset,
        key: letter.key,
        value: letter.value,
        envelope: Envelope {
            position: letter.position,
            previous: None,
            ingest_time: letter.ingest_time,
            epoch: letter.epoch,
            format: if json { Format::Json } else { Format::Protobuf },
            replay: None,
        },
    }
}
