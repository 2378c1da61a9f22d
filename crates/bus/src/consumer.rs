//! The only consume loop.
//!
//! The bus hands a [`Consumer`] records, one partition at a time. The consumer leaves out what it has had before,
//! decodes the rest, and hands it to its [`Handler`] inside a transaction of its [`Checkpoint`] that begins by moving
//! the offset. What can go wrong has three outcomes, chosen by whoever raises it: done; an outage, which is waited for
//! with nothing skipped; and poison, which parks its key: the record and what follows it in its key are kept as dead
//! letters in the same transaction, while other keys flow. Once a second the consumer tells operators how it is doing
//! and hears what they want: a pause, or a key to be tried again.

mod batch;
mod health;
mod outcome;
mod redrive;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use cornjacket_domain::Topic;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};
use tracing::Instrument;

pub use self::health::State;
use crate::checkpoint::{Orders, Report};
use crate::consumer::batch::Batch;
use crate::{Assignment, Bus, BusError, Checkpoint, CheckpointError, Delivered, Delivery, Progress, Record};
use crate::{TopicPartition, trace};

/// Waits between tries grow from the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How often operators are heard, and told what is new.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How often they are told that nothing is new.
const REPEAT_EVERY: Duration = Duration::from_secs(5);
/// How long redriving may keep new records waiting.
const REDRIVE_SLICE: Duration = Duration::from_millis(200);

/// Any error.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What happens with events.
#[async_trait]
pub trait Handler<Tx: Send>: Send + Sync + 'static {
    /// The consumer's name: its group on the bus, and what its progress is kept under.
    fn name(&self) -> &str;

    /// The topics it reads.
    fn topics(&self) -> &[Topic];

    /// Does what is to be done, within the transaction. Events are of one partition and in order.
    async fn handle(&self, transaction: &mut Tx, events: &[Delivered]) -> Result<(), HandlerError>;
}

/// Why events were not handled.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// Something of ours is not available: the same events again, later.
    #[error("{0}")]
    Retry(#[source] AnyError),
    /// One of the events cannot be stored, and which one is not known.
    #[error("{0}")]
    Unfit(#[source] AnyError),
    /// An event can never be handled.
    #[error("position {position}: {source}")]
    Reject {
        /// The event's position.
        position: u64,
        /// Why.
        #[source]
        source: AnyError,
    },
}

/// Consumes the topics of a handler.
#[derive(Debug)]
pub struct Consumer<C, H> {
    bus: Arc<dyn Bus>,
    checkpoint: C,
    handler: H,
    epoch: u32,
    state: watch::Sender<State>,
}

/// A partition that is the consumer's own.
#[derive(Debug)]
struct Owned {
    progress: Progress,
    /// Keys whose records wait.
    parked: BTreeSet<Bytes>,
}

type Partitions = BTreeMap<TopicPartition, Owned>;

/// What operators were last told, and when.
#[derive(Debug, Default)]
struct Told {
    reports: Vec<Report>,
    at: Option<Instant>,
}

/// Why a subscription is given up; the next one begins from the checkpoint.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
}

/// Why a batch has no effect.
#[derive(Debug)]
enum NoEffect {
    Fenced,
    Outage(String),
    Unfit(String),
    Rejected { position: u64, error: String },
}

impl From<CheckpointError> for NoEffect {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Fenced => Self::Fenced,
            // A defect of the store is not the event's fault: it waits, visibly, until it is mended.
            CheckpointError::Outage(_) | CheckpointError::Defect(_) => Self::Outage(error.to_string()),
        }
    }
}

impl From<HandlerError> for NoEffect {
    fn from(error: HandlerError) -> Self {
        match error {
            HandlerError::Retry(error) => Self::Outage(error.to_string()),
            HandlerError::Unfit(error) => Self::Unfit(error.to_string()),
            HandlerError::Reject { position, source } => {
                Self::Rejected { position, error: source.to_string() }
            }
        }
    }
}

impl<C: Checkpoint, H: Handler<C::Tx>> Consumer<C, H> {
    /// A consumer for `handler`. Events of another epoch than `epoch` are poison.
    pub fn new(bus: Arc<dyn Bus>, checkpoint: C, handler: H, epoch: u32) -> Self {
        Self { bus, checkpoint, handler, epoch, state: watch::Sender::new(State::Running) }
    }

    /// How it is doing, from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Consumes until `stop`.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.consume_for_ever() => {}
        }
    }

    async fn consume_for_ever(&self) {
        let mut wait = BACK_OFF.0;
        loop {
            let began = Instant::now();
            let Err(interrupted) = self.consume().await;
            // Whoever got on for a while starts anew with short waits.
            if began.elapsed() > BACK_OFF.1 {
                wait = BACK_OFF.0;
            }
            tracing::warn!(consumer = self.handler.name(), reason = %interrupted, "consumer begins again");
            self.state.send_replace(State::Waiting { reason: interrupted.to_string() });
            sleep(wait).await;
            wait = (wait * 2).min(BACK_OFF.1);
        }
    }

    /// One subscription, until something goes wrong.
    async fn consume(&self) -> Result<Infallible, Interrupted> {
        let mut subscription = self.bus.subscribe(self.handler.name(), self.handler.topics()).await?;
        let mut owned = Partitions::new();
        let mut reports = interval(REPORT_EVERY);
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut paused, mut told) = (false, Told::default());
        // What came while paused. One is enough: nothing more is asked for until it is handled.
        let mut held = None;
        loop {
            if let Some((at, records)) = held.take_if(|_| !paused) {
                self.work_off(at, &mut owned, records).await?;
            }
            tokio::select! {
                biased;
                _ = reports.tick() => {
                    if let Some(orders) = self.report(&owned, paused, &mut told).await {
                        paused = orders.paused;
                        if !paused && self.redrive_all(orders, &mut owned).await? {
                            // New records get as much time as old ones.
                            reports.reset_after(REDRIVE_SLICE);
                        }
                        self.show(&owned, paused);
                    }
                }
                delivery = subscription.next(), if held.is_none() => match delivery? {
                    Delivery::Assigned(assignment) => owned = self.take_over(assignment).await?,
                    Delivery::Records(at, records) => held = Some((at, records)),
                },
            }
        }
    }

    async fn take_over(&self, assignment: Assignment) -> Result<Partitions, Interrupted> {
        let mut owned = Partitions::new();
        let mut offsets = Vec::with_capacity(assignment.partitions.len());
        for at in assignment.partitions {
            let progress = self.checkpoint.load(self.handler.name(), at).await?;
            let parked = self.checkpoint.parked(self.handler.name(), at).await?;
            offsets.push(progress.next_offset);
            owned.insert(at, Owned { progress, parked });
        }
        self.show(&owned, false);
        // Nobody listening means that the assignment is over again; the next one is on its way.
        drop(assignment.begin_at.send(offsets));
        Ok(owned)
    }

    /// Tells operators how it is, and hears what they want. Nothing while it cannot: it goes on as before.
    async fn report(&self, owned: &Partitions, paused: bool, told: &mut Told) -> Option<Orders> {
        let report = |(at, owned): (&TopicPartition, &Owned)| {
            let state = state_of(owned.parked.len(), paused);
            Report { at: *at, state: state.name(), reason: state.reason() }
        };
        let reports: Vec<Report> = owned.iter().map(report).collect();
        let known = reports == told.reports && told.at.is_some_and(|at| at.elapsed() < REPEAT_EVERY);
        let news = if known { &[][..] } else { &reports[..] };
        match self.checkpoint.report(self.handler.name(), news).await {
            Ok(orders) => {
                if !known {
                    *told = Told { reports, at: Some(Instant::now()) };
                }
                Some(orders)
            }
            Err(error) => {
                self.state.send_replace(State::Waiting { reason: error.to_string() });
                None
            }
        }
    }

    /// Tries again what operators want tried, for a while. True when there may be more.
    async fn redrive_all(&self, orders: Orders, owned: &mut Partitions) -> Result<bool, Interrupted> {
        let until = Instant::now() + REDRIVE_SLICE;
        for at in orders.redrive {
            let Some(owned) = owned.get_mut(&at) else { continue };
            while self.redrive(at, owned).await? {
                if Instant::now() > until {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn show(&self, owned: &Partitions, paused: bool) {
        let keys = owned.values().map(|owned| owned.parked.len()).sum();
        let state = state_of(keys, paused);
        self.state.send_if_modified(|known| {
            let news = *known != state;
            *known = state;
            news
        });
    }

    /// Handles the records of a partition, however long that takes. Those of one that is no longer ours are left out.
    async fn work_off(
        &self,
        at: TopicPartition,
        partitions: &mut Partitions,
        mut records: Vec<Record>,
    ) -> Result<(), Interrupted> {
        let Some(owned) = partitions.get_mut(&at) else { return Ok(()) };
        let (mut wait, mut most) = (BACK_OFF.0, usize::MAX);
        let mut waited = false;
        loop {
            records.retain(|record| record.offset >= owned.progress.next_offset);
            if records.is_empty() {
                break;
            }
            let mut batch = Batch::new(owned.progress, &records, self.epoch, &owned.parked, most);
            match self.work_around_poison(at, owned.progress, &mut batch).await {
                Ok(()) => {
                    owned.progress = batch.to;
                    owned.parked.append(&mut batch.parks);
                    most = usize::MAX;
                }
                Err(NoEffect::Fenced) => return Err(CheckpointError::Fenced.into()),
                // Half of it, and half of that, until the one that cannot be stored is alone.
                Err(NoEffect::Unfit(_) | NoEffect::Rejected { .. }) => {
                    most = (batch.events.len() / 2).max(1);
                }
                Err(NoEffect::Outage(reason)) => {
                    waited = true;
                    self.wait_for(reason, &mut wait).await;
                    // Whether a commit that failed took effect is not known until the checkpoint says so.
                    if let Ok(known) = self.checkpoint.load(self.handler.name(), at).await {
                        owned.progress = known;
                        owned.parked = self.checkpoint.parked(self.handler.name(), at).await?;
                    }
                }
            }
        }
        if waited {
            self.show(partitions, false);
        }
        Ok(())
    }

    /// Takes effect without what cannot be handled, which is parked.
    async fn work_around_poison(
        &self,
        at: TopicPartition,
        from: Progress,
        batch: &mut Batch<'_>,
    ) -> Result<(), NoEffect> {
        loop {
            let (position, error) = match self.take_effect(at, from, batch).await {
                Err(NoEffect::Rejected { position, error }) if !batch.events.is_empty() => (position, error),
                Err(NoEffect::Unfit(error)) if batch.events.len() == 1 => {
                    (batch.events[0].event.position, error)
                }
                result => return result,
            };
            tracing::error!(consumer = self.handler.name(), partition = %at, position, error, "event parked");
            batch.reject(position, error);
        }
    }

    /// Effect and offset in one transaction; nothing at all when the batch is empty.
    async fn take_effect(
        &self,
        at: TopicPartition,
        from: Progress,
        batch: &Batch<'_>,
    ) -> Result<(), NoEffect> {
        if batch.to == from {
            return Ok(());
        }
        let span = tracing::error_span!(
            "process",
            otel.name = format!("process {}", at.topic),
            otel.kind = "consumer",
            messaging.consumer.group.name = self.handler.name(),
            messaging.batch.message_count = batch.events.len()
        );
        trace::join(
            &span,
            batch.events.iter().filter_map(|delivered| delivered.event.trace_context.as_ref()),
        );
        self.commit_effect(at, from, batch).instrument(span).await
    }

    async fn commit_effect(
        &self,
        at: TopicPartition,
        from: Progress,
        batch: &Batch<'_>,
    ) -> Result<(), NoEffect> {
        let name = self.handler.name();
        let mut transaction = self.checkpoint.begin(name, at, from, batch.to).await?;
        if !batch.events.is_empty() {
            self.handler.handle(&mut transaction, &batch.events).await?;
        }
        if !batch.letters.is_empty() {
            self.checkpoint.park(&mut transaction, name, &batch.letters).await?;
        }
        self.checkpoint.commit(transaction).await?;
        let labels = [("consumer", name.to_owned())];
        metrics::counter!("cornjacket_consumer_events_total", &labels).increment(batch.events.len() as u64);
        metrics::counter!("cornjacket_dead_letters_total", &labels).increment(batch.letters.len() as u64);
        Ok(())
    }

    async fn wait_for(&self, reason: String, wait: &mut Duration) {
        tracing::warn!(consumer = self.handler.name(), reason, "consumer waits");
        self.state.send_replace(State::Waiting { reason });
        sleep(*wait).await;
        *wait = (*wait * 2).min(BACK_OFF.1);
    }
}

const fn state_of(parked_keys: usize, paused: bool) -> State {
    match (paused, parked_keys) {
        (true, _) => State::Paused,
        (false, 0) => State::Running,
        (false, keys) => State::Parked { keys },
    }
}

#[cfg(test)]
mod tests;
