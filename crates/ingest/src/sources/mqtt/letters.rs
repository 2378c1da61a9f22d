//! What could not be taken: kept as dead letters, and tried again when an operator wants it.
//!
//! They are letters of the consumer `mqtt`, whose key is the topic. Unlike records of the bus they hold nothing back: the next
//! message of the topic is taken. A redrive goes through the letters of a topic in order, as it does for every consumer, up to
//! the first that is rejected again.
//!
//! An event is stored before its letter is removed, in another transaction: when the process dies between the two, it is
//! tried once more. The id, which is the letter's where the message has none, keeps it from being stored twice.

use std::time::Duration;

use bytes::Bytes;
use cornjacket_bus::consumer::{ParkLimits, State, Told};
use cornjacket_store::{
    ConsumerPartition, ConsumerReport, DeadLetter, MQTT, ParkedQueue, Progress, Settled, Settlement,
    StoreError,
};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::intake::Intake;
use super::message::{Message, derived_id};
use super::status::Status;
use super::{NAME, Ports, delays, format, next};

/// How often it is asked what operators want.
const ASK: Duration = Duration::from_secs(1);
/// Letters that are tried again in one go.
const AT_ONCE: u32 = 100;
/// Bytes of a topic that are kept: more than any subject and type that are valid. A longer one would not fit into an index.
const TOPIC_BYTES: usize = 1_500;

/// The dead letters of MQTT.
#[derive(Debug)]
pub(super) struct Letters {
    ports: Ports,
    limits: ParkLimits,
    status: Status,
}

/// A message that becomes no event, and why.
#[derive(Clone, Debug)]
pub(super) struct Rejected {
    pub(super) message: Message,
    pub(super) error: String,
}

/// Why letters could not be kept.
#[derive(Debug, thiserror::Error)]
pub enum NotKept {
    /// The store is away.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There are as many as may be, by number or bytes.
    #[error("{0} dead letters of {1} bytes are kept, which is the limit: redrive or discard some")]
    Full(u64, u64),
}

impl Letters {
    pub(super) fn new(ports: Ports, limits: ParkLimits, status: Status) -> Self {
        Self { ports, limits, status }
    }

    /// Returns when these are letters. While the store is away, or no more may be kept, it waits and says so.
    pub(super) async fn park(&self, rejected: &[Rejected]) {
        let mut delays = delays();
        loop {
            match self.try_park(rejected).await {
                Ok(true) => return self.status.store(None),
                // Another process has numbered letters at the same time.
                Ok(false) => {}
                Err(error) => {
                    self.status.store(Some(error.to_string()));
                    sleep(next(&mut delays)).await;
                }
            }
        }
    }

    /// Keeps one, or says why not.
    pub(super) async fn keep(&self, rejected: Rejected) -> Result<(), NotKept> {
        let rejected = [rejected];
        // Another process has numbered letters at the same time.
        while !self.try_park(&rejected).await? {}
        Ok(())
    }

    async fn try_park(&self, rejected: &[Rejected]) -> Result<bool, NotKept> {
        let (rows, bytes) = self.ports.dead_letters.size(&place()).await?;
        if rows >= self.limits.rows || bytes >= self.limits.bytes {
            return Err(NotKept::Full(rows, bytes));
        }
        let from = self.ports.offsets.load(&place()).await?;
        let to = Progress { next_offset: from.next_offset + rejected.len() as u64, ..from };
        let Some(mut transaction) = self.ports.offsets.begin(&place(), from, to).await? else {
            return Ok(false);
        };
        let offsets = from.next_offset..to.next_offset;
        let letters: Vec<_> = offsets.zip(rejected).map(|(offset, one)| self.letter(offset, one)).collect();
        transaction.park(&letters).await?;
        transaction.commit().await?;
        tracing::warn!(letters = rejected.len(), error = rejected[0].error, "messages were refused");
        Ok(true)
    }

    fn letter(&self, offset: u64, Rejected { message, error }: &Rejected) -> DeadLetter {
        let now = self.ports.clock.now();
        let mut key = message.topic.as_bytes();
        key = &key[..key.len().min(TOPIC_BYTES)];
        DeadLetter {
            at: place(),
            offset,
            key: Bytes::copy_from_slice(key),
            position: None,
            ingest_time: None,
            epoch: None,
            format: format::write(message),
            value: message.payload.clone(),
            // PostgreSQL's text has no such character.
            error: Some(error.replace('\0', "")),
            attempts: 1,
            first_time: now,
            last_time: now,
            discarded: None,
        }
    }

    /// Does what operators want, for ever.
    pub(super) async fn attend(&self, intake: &Intake) {
        let (mut ticks, mut told) = (interval(ASK), Told::default());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if let Err(error) = self.ask(intake, &mut told).await {
                tracing::debug!(%error, "operators' wishes are not known; asking again");
            }
        }
    }

    async fn ask(&self, intake: &Intake, told: &mut Told<State>) -> Result<(), StoreError> {
        let state = self.status.state();
        let report = ConsumerReport {
            at: place(),
            state: state.name().to_owned(),
            reason: state.reason(),
            holder: cornjacket_store::holder(),
            reported_at: self.ports.clock.now(),
        };
        let reports = [report];
        let known = told.knows(&state);
        let news = if known { &[][..] } else { &reports[..] };
        let orders = self.ports.consumers.report(NAME, news).await?;
        if !known {
            told.note(state);
        }
        self.status.pause(orders.paused);
        if orders.redrive.is_empty() {
            return Ok(());
        }
        // Each round frees a key or takes its mark away, or else ends it.
        while let Some(queue) = self.ports.dead_letters.to_redrive(&place(), AT_ONCE).await? {
            if !self.redrive(intake, queue).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Tries the oldest letters of a topic. False when it must wait: the store is away, or somebody else did the same.
    async fn redrive(&self, intake: &Intake, queue: ParkedQueue) -> Result<bool, StoreError> {
        let now = self.ports.clock.now();
        let mut settled = Settled { at: place(), key: queue.key, below: 0, letters: 0, failed: None, now };
        for letter in queue.letters {
            if letter.discarded.is_none() {
                let (message, id) = message_of(&letter);
                match intake.try_again(&message, id).await {
                    Ok(None) => {}
                    Ok(Some(error)) => {
                        settled.failed = Some((letter.offset, error.replace('\0', "")));
                        settled.below = letter.offset;
                        break;
                    }
                    Err(_) if settled.letters == 0 => return Ok(false),
                    Err(_) => break,
                }
            }
            settled.below = letter.offset + 1;
            settled.letters += 1;
        }
        let here = self.ports.offsets.load(&place()).await?;
        let Some(mut transaction) = self.ports.offsets.begin(&place(), here, here).await? else {
            return Ok(false);
        };
        if transaction.settle(&settled).await? == Settlement::Overtaken {
            return Ok(false);
        }
        transaction.commit().await?;
        Ok(true)
    }
}

fn place() -> ConsumerPartition {
    ConsumerPartition { consumer: NAME.to_owned(), topic: MQTT, partition: 0 }
}

/// The message of a letter, and the id of its event where it says none: the same whenever the letter is tried.
fn message_of(letter: &DeadLetter) -> (Message, String) {
    let (content_type, user_properties) = format::read(&letter.format);
    let topic = String::from_utf8_lossy(&letter.key).into_owned();
    let once = format!("{topic}\0{}\0{}", letter.offset, letter.first_time.as_micros());
    let id = derived_id(&once, &letter.value);
    (Message { topic, payload: letter.value.clone(), content_type, user_properties, retain: false }, id)
}
