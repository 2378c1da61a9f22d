//! Records take effect: those that can be handled, in one transaction with the offset; the others park their keys.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::time::sleep;
use tracing::Instrument;

use super::batch::Batch;
use super::owned::{Owned, Partitions};
use super::{BACK_OFF, Consumer, Handler, HandlerError, Interrupted, State};
use crate::{Checkpoint, CheckpointError, Delivered, Progress, Record, Records, TopicPartition, trace};

/// Numbers of partitions that a consumer works on at once: while one waits for the disk, others get on. The store has
/// connections for as many of every consumer.
pub const SIDE_BY_SIDE: usize = 3;

/// Why a batch has no effect.
#[derive(Debug)]
pub(super) enum NoEffect {
    Fenced,
    /// It would park more than there is room for.
    Full,
    Outage(String),
    Unfit(String),
    Rejected {
        position: u64,
        error: String,
    },
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
    /// Handles records, however long that takes: returns those that would have to be parked and have no room, and what
    /// follows them. Those of a partition that is no longer ours are left out. Partitions of one number have the same keys,
    /// whatever their topics, and go one after the other; others side by side.
    pub(super) async fn work_off(
        &self,
        mut records: Records,
        partitions: &mut Partitions,
    ) -> Result<Records, Interrupted> {
        if records.is_empty() {
            return Ok(records);
        }
        let mut by_number: BTreeMap<u16, Vec<_>> = BTreeMap::new();
        for (at, owned) in &mut *partitions {
            if let Some(records) = records.remove(at) {
                by_number.entry(at.partition).or_default().push((*at, owned, records));
            }
        }
        // Boxed: the compiler cannot tell that these may be sent to other threads.
        let mut works = Vec::with_capacity(by_number.len());
        for work in by_number.into_values() {
            works.push(self.work_off_in_turn(work).boxed());
        }
        let rests: Vec<Records> = stream::iter(works).buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
        self.show(partitions, false);
        Ok(rests.into_iter().flatten().collect())
    }

    async fn work_off_in_turn(
        &self,
        works: Vec<(TopicPartition, &mut Owned, Vec<Record>)>,
    ) -> Result<Records, Interrupted> {
        let mut rests = Records::new();
        for (at, owned, records) in works {
            let rest = self.work_off_one(at, owned, records).await?;
            if !rest.is_empty() {
                rests.insert(at, rest);
            }
        }
        Ok(rests)
    }

    async fn work_off_one(
        &self,
        at: TopicPartition,
        owned: &mut Owned,
        mut records: Vec<Record>,
    ) -> Result<Vec<Record>, Interrupted> {
        let (mut wait, mut most) = (BACK_OFF.0, usize::MAX);
        loop {
            records.retain(|record| owned.wants(record));
            if records.is_empty() {
                break;
            }
            let mut batch = Batch::new(owned, &records, self.epoch, most);
            if batch.is_cut_off(owned.progress) {
                return Err(Interrupted::Gap(at));
            }
            if batch.is_full(owned.progress) {
                owned.is_full = true;
                break;
            }
            let events = batch.events.len();
            match self.work_around_poison(at, owned, &mut batch).await {
                Ok(()) => {
                    owned.move_to(batch.to);
                    owned.park(&mut batch.parks, &batch.letters);
                    most = usize::MAX;
                }
                Err(NoEffect::Full) if events <= 1 => {
                    owned.is_full = true;
                    break;
                }
                Err(NoEffect::Full) => most = events / 2,
                Err(NoEffect::Fenced) => return Err(CheckpointError::Fenced.into()),
                // Half of it, and half of that, until the one that cannot be stored is alone.
                Err(NoEffect::Unfit(_) | NoEffect::Rejected { .. }) => {
                    most = (batch.events.len() / 2).max(1);
                }
                Err(NoEffect::Outage(reason)) => {
                    self.wait_for(reason, &mut wait).await;
                    // Whether a commit that failed took effect is not known until the checkpoint says so.
                    if let Ok(known) = self.checkpoint.load(self.handler.name(), at).await {
                        owned.move_to(known);
                        owned.parked = self.checkpoint.parked(self.handler.name(), at).await?;
                    }
                }
            }
        }
        Ok(records)
    }

    /// Takes effect without what cannot be handled, which is parked.
    async fn work_around_poison(
        &self,
        at: TopicPartition,
        owned: &Owned,
        batch: &mut Batch<'_>,
    ) -> Result<(), NoEffect> {
        loop {
            let (position, error) = match self.take_effect(at, owned.progress, batch).await {
                Err(NoEffect::Rejected { position, error }) if !batch.events.is_empty() => (position, error),
                Err(NoEffect::Unfit(error)) if batch.events.len() == 1 => {
                    (batch.events[0].event.position, error)
                }
                result => return result,
            };
            let told = error.clone();
            batch.reject(position, error);
            if !batch.fits(owned) {
                return Err(NoEffect::Full);
            }
            tracing::error!(consumer = self.handler.name(), partition = %at, position, error = told, "event parked");
        }
    }

    /// Effect and offset in one transaction; nothing at all when the batch is empty.
    pub(super) async fn take_effect(
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
        let prepared = self.prepare(&batch.events).await?;
        let mut transaction = self.checkpoint.begin(name, at, from, batch.to).await?;
        if !batch.events.is_empty() {
            self.handler.handle(&mut transaction, &batch.events, prepared).await?;
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

    /// What the handler finds out before the transaction.
    pub(super) async fn prepare(&self, events: &[Delivered]) -> Result<H::Prepared, NoEffect> {
        if events.is_empty() {
            return Ok(H::Prepared::default());
        }
        Ok(self.handler.prepare(events).await?)
    }

    async fn wait_for(&self, reason: String, wait: &mut Duration) {
        tracing::warn!(consumer = self.handler.name(), reason, "consumer waits");
        self.state.send_replace(State::Waiting { reason });
        sleep(*wait).await;
        *wait = (*wait * 2).min(BACK_OFF.1);
    }
}
