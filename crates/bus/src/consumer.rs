//! The only consume loop.
//!
//! The bus hands a [`Consumer`] records, one partition at a time. The consumer leaves out what it has had before,
//! decodes the rest, and hands it to its [`Handler`] inside a transaction of its [`Checkpoint`] that begins by moving
//! the offset. What can go wrong has three outcomes, chosen by whoever raises it: done; an outage, which is waited for
//! with nothing skipped; and poison, at which the partition stops where everybody can see it, while others go on.

mod batch;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::Topic;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::Instrument;

use crate::consumer::batch::{Batch, Poison};
use crate::{Assignment, Bus, BusError, Checkpoint, CheckpointError, Delivered, Delivery, Progress, Record};
use crate::{Subscription, TopicPartition, trace};

/// Waits between tries grow from the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A partition that stopped at poison is tried again after this.
const TRY_POISON_AGAIN: Duration = Duration::from_secs(30);

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

/// How a consumer is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It handles what comes.
    Running,
    /// It waits for something to come back.
    Waiting {
        /// What went wrong.
        reason: String,
    },
    /// A partition has stopped at an event that cannot be handled.
    Stuck {
        /// The partition.
        at: TopicPartition,
        /// The record.
        offset: u64,
        /// Why.
        error: String,
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

/// Why a subscription is given up; the next one begins from the checkpoint.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("trying again what could not be handled")]
    TryPoisonAgain,
}

/// Why a batch has no effect.
#[derive(Debug)]
enum NoEffect {
    Fenced,
    Outage(String),
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
            if !matches!(interrupted, Interrupted::TryPoisonAgain) {
                tracing::warn!(consumer = self.handler.name(), reason = %interrupted, "consumer begins again");
                self.state.send_replace(State::Waiting { reason: interrupted.to_string() });
            }
            sleep(wait).await;
            wait = (wait * 2).min(BACK_OFF.1);
        }
    }

    /// One subscription, until something goes wrong.
    async fn consume(&self) -> Result<Infallible, Interrupted> {
        let mut subscription = self.bus.subscribe(self.handler.name(), self.handler.topics()).await?;
        let mut owned = BTreeMap::new();
        let mut try_poison_again = None;
        loop {
            match next(subscription.as_mut(), try_poison_again).await? {
                Delivery::Assigned(assignment) => owned = self.take_over(assignment).await?,
                Delivery::Records(at, records) => {
                    let Some(progress) = owned.get_mut(&at) else { continue };
                    if let Err(poison) = self.work_off(at, progress, records).await? {
                        self.stop_at(at, &poison);
                        owned.remove(&at);
                        try_poison_again.get_or_insert(Instant::now() + TRY_POISON_AGAIN);
                    }
                }
            }
        }
    }

    async fn take_over(
        &self,
        assignment: Assignment,
    ) -> Result<BTreeMap<TopicPartition, Progress>, Interrupted> {
        let mut owned = BTreeMap::new();
        let mut offsets = Vec::with_capacity(assignment.partitions.len());
        for at in assignment.partitions {
            let progress = self.checkpoint.load(self.handler.name(), at).await?;
            offsets.push(progress.next_offset);
            owned.insert(at, progress);
        }
        self.state.send_replace(State::Running);
        // Nobody listening means that the assignment is over again; the next one is on its way.
        drop(assignment.begin_at.send(offsets));
        Ok(owned)
    }

    /// Handles the records, however long that takes. `Err` inside: one of them cannot be handled, those before it are.
    async fn work_off(
        &self,
        at: TopicPartition,
        progress: &mut Progress,
        mut records: Vec<Record>,
    ) -> Result<Result<(), Poison>, Interrupted> {
        let mut wait = BACK_OFF.0;
        loop {
            records.retain(|record| record.offset >= progress.next_offset);
            let mut batch = Batch::new(*progress, &records, self.epoch);
            let result = self.take_effect(at, *progress, &batch).await;
            match result {
                Ok(()) => *progress = batch.to,
                Err(NoEffect::Fenced) => return Err(CheckpointError::Fenced.into()),
                Err(NoEffect::Rejected { position, error }) => {
                    if !batch.cut_before(position, error) {
                        return Ok(Err(batch.into_poison()));
                    }
                    self.take_effect(at, *progress, &batch).await.map_err(interrupt)?;
                    *progress = batch.to;
                }
                Err(NoEffect::Outage(reason)) => {
                    self.wait_for(reason, &mut wait).await;
                    // Whether a commit that failed took effect is not known until the checkpoint says so.
                    if let Ok(known) = self.checkpoint.load(self.handler.name(), at).await {
                        *progress = known;
                    }
                    continue;
                }
            }
            self.state.send_if_modified(|state| {
                let waited = matches!(state, State::Waiting { .. });
                if waited {
                    *state = State::Running;
                }
                waited
            });
            return Ok(batch.poison.map_or(Ok(()), Err));
        }
    }

    /// Effect and offset in one transaction; nothing at all when the batch is empty.
    async fn take_effect(&self, at: TopicPartition, from: Progress, batch: &Batch) -> Result<(), NoEffect> {
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

    async fn commit_effect(&self, at: TopicPartition, from: Progress, batch: &Batch) -> Result<(), NoEffect> {
        let name = self.handler.name();
        let mut transaction = self.checkpoint.begin(name, at, from, batch.to).await?;
        if !batch.events.is_empty() {
            self.handler.handle(&mut transaction, &batch.events).await?;
        }
        self.checkpoint.commit(transaction).await?;
        let labels = [("consumer", name.to_owned())];
        metrics::counter!("cornjacket_consumer_events_total", &labels).increment(batch.events.len() as u64);
        Ok(())
    }

    async fn wait_for(&self, reason: String, wait: &mut Duration) {
        tracing::warn!(consumer = self.handler.name(), reason, "consumer waits");
        self.state.send_replace(State::Waiting { reason });
        sleep(*wait).await;
        *wait = (*wait * 2).min(BACK_OFF.1);
    }

    fn stop_at(&self, at: TopicPartition, poison: &Poison) {
        let Poison { offset, error } = poison;
        let consumer = self.handler.name();
        tracing::error!(consumer, partition = %at, offset, error, "stopped at a record that cannot be handled");
        metrics::counter!("cornjacket_consumer_poison_total", "consumer" => consumer.to_owned()).increment(1);
        self.state.send_replace(State::Stuck { at, offset: *offset, error: error.clone() });
    }
}

/// The next delivery, unless it is time to try poison again.
async fn next(
    subscription: &mut dyn Subscription,
    try_poison_again: Option<Instant>,
) -> Result<Delivery, Interrupted> {
    let Some(time) = try_poison_again else { return Ok(subscription.next().await?) };
    tokio::time::timeout_at(time, subscription.next())
        .await
        .map_err(|_| Interrupted::TryPoisonAgain)?
        .map_err(Interrupted::Bus)
}

/// The events before a rejected one are tried once on their own; in whatever trouble, all begins from the checkpoint.
fn interrupt(no_effect: NoEffect) -> Interrupted {
    match no_effect {
        NoEffect::Fenced => CheckpointError::Fenced.into(),
        NoEffect::Outage(reason) => CheckpointError::Outage(reason.into()).into(),
        NoEffect::Rejected { position, error } => {
            CheckpointError::Defect(format!("position {position}: {error}").into()).into()
        }
    }
}

#[cfg(test)]
mod tests;
