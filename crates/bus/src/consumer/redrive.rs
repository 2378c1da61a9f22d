//! Trying again what could not be handled, in order, when an operator wants it.

use super::batch::event_of;
use super::effect::NoEffect;
use super::{Consumer, Handler, Interrupted, Owned};
use crate::checkpoint::{ParkedQueue, Settled};
use crate::{Checkpoint, Delivered, TopicPartition};

/// The oldest letters of a key, on their way to being handled.
struct Attempt {
    /// Of all letters that were read.
    offsets: Vec<u64>,
    /// What is to be handled.
    events: Vec<Delivered>,
    settled: Settled,
}

impl Attempt {
    /// The letters up to the first that is no event of `epoch`; those that an operator gave up are left out.
    fn new(queue: ParkedQueue, epoch: u32) -> Self {
        let settled = Settled { key: queue.key, below: 0, letters: 0, failed: None };
        let offsets = queue.records.iter().map(|(record, _)| record.offset).collect();
        let mut attempt = Self { offsets, events: Vec::with_capacity(queue.records.len()), settled };
        for (record, given_up) in queue.records {
            if !given_up {
                match event_of(&record, epoch) {
                    Ok(event) => attempt.events.push(event),
                    Err(error) => {
                        attempt.end_at(record.offset, Some(error));
                        break;
                    }
                }
            }
            attempt.end_at(record.offset + 1, None);
        }
        attempt
    }

    /// Letters below `offset` are part of it, and no other; the one at `offset` failed when there is an error.
    fn end_at(&mut self, offset: u64, error: Option<String>) {
        self.settled.below = offset;
        self.settled.letters = self.offsets.iter().filter(|known| **known < offset).count() as u64;
        self.settled.failed = error.map(|error| (offset, error));
    }

    /// Ends the attempt before the event at `position`; the first is meant when none is at that position.
    fn reject(&mut self, position: u64, error: String) {
        let at = self.events.iter().position(|event| event.event.position == position).unwrap_or(0);
        let Some(offset) = self.events.get(at).map(|event| event.offset) else { return };
        self.end_at(offset, Some(error));
        self.events.truncate(at);
    }
}

impl<C: Checkpoint, H: Handler<C::Tx>> Consumer<C, H> {
    /// Tries the oldest letters of one key that is marked. False when none is marked.
    pub(super) async fn redrive(&self, at: TopicPartition, owned: &mut Owned) -> Result<bool, Interrupted> {
        let Some(queue) = self.checkpoint.to_redrive(self.handler.name(), at).await? else {
            return Ok(false);
        };
        let mut attempt = Attempt::new(queue, self.epoch);
        loop {
            match self.settle(at, owned, &attempt).await {
                Ok(_) => {
                    owned.parked = self.checkpoint.parked(self.handler.name(), at).await?;
                    return Ok(true);
                }
                Err(NoEffect::Rejected { position, error }) => attempt.reject(position, error),
                // One by one, the one that cannot be stored shows itself.
                Err(NoEffect::Unfit(error)) if attempt.events.len() == 1 => {
                    attempt.reject(attempt.events[0].event.position, error);
                }
                Err(NoEffect::Unfit(_)) => {
                    attempt.events.truncate(1);
                    attempt.end_at(attempt.events[0].offset + 1, None);
                }
                // Nothing is parked here.
                Err(NoEffect::Fenced | NoEffect::Full) => return Err(crate::CheckpointError::Fenced.into()),
                Err(NoEffect::Outage(reason)) => {
                    return Err(crate::CheckpointError::Outage(reason.into()).into());
                }
            }
        }
    }

    /// In a transaction that leaves the offset where it is, but finds out whether the partition is still ours.
    async fn settle(&self, at: TopicPartition, owned: &Owned, attempt: &Attempt) -> Result<bool, NoEffect> {
        let (name, here) = (self.handler.name(), owned.progress);
        let prepared = self.prepare(&attempt.events).await?;
        let mut transaction = self.checkpoint.begin(name, at, here, here).await?;
        if !attempt.events.is_empty() {
            self.handler.handle(&mut transaction, &attempt.events, prepared).await?;
        }
        let free = self.checkpoint.settle(&mut transaction, name, at, &attempt.settled).await?;
        self.checkpoint.commit(transaction).await?;
        Ok(free)
    }
}
