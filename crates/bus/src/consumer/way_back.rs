//! The way back from a bus that has forgotten: its retention has passed, its topics were made anew, its disks are lost.
//!
//! First Kafka says where the partition ends, then the log is read from the last position to its end, then the bus from
//! where it ended. What was not yet in the log when its end was read has not been published before, and so lies behind
//! the place where the bus is taken up again: nothing is missed, whatever topic it is and whatever it holds. Should the
//! topic be made anew once more in between, its records say so: each names the position before it.

use std::collections::{BTreeMap, BTreeSet};

use super::batch::Batch;
use super::effect::NoEffect;
use super::owned::{Owned, Partitions, Reads};
use super::{Consumer, Handler, Interrupted};
use crate::TopicPartition;
use crate::log::CHUNK;
use crate::{Checkpoint, CheckpointError, PartitionedLog, Progress, Record, Records};

/// Steps after which the way is remembered also where it had no event of a partition: progress, and not to be gone again.
const SHOW_EVERY: u32 = 100;

/// Reading the log for the partitions that the bus has forgotten.
#[derive(Debug, Default)]
pub(super) struct WayBack {
    /// Where the bus is taken up again.
    goes_on_at: BTreeMap<TopicPartition, u64>,
    /// The last position that was read; none yet.
    after: Option<u64>,
    steps: u32,
}

impl WayBack {
    pub(super) fn add(&mut self, at: TopicPartition, progress: Progress, goes_on_at: u64) {
        self.goes_on_at.insert(at, goes_on_at);
        let after = self.after.unwrap_or(u64::MAX);
        self.after = Some(after.min(progress.last_position));
    }

    /// The next records, by partition, and whether the log ended with them.
    async fn read(
        &mut self,
        log: &PartitionedLog,
        owned: &Partitions,
    ) -> Result<(Records, bool), Interrupted> {
        let after = self.after.unwrap_or_default();
        let events = log.source.read(after, CHUNK).await;
        let events = events.map_err(|error| Interrupted::Log(error.to_string()))?;
        let ended = events.len() < CHUNK as usize;
        self.after = Some(events.last().map_or(after, |event| event.position));
        let mut records = Records::new();
        for event in events {
            let at = log.place(&event);
            if let Some(owned) = owned.get(&at).filter(|_| self.goes_on_at.contains_key(&at)) {
                // Where the bus lost it: none of these has an offset.
                let record = log.record(at, owned.progress.next_offset, event);
                records.entry(at).or_default().push(record);
            }
        }
        Ok((records, ended))
    }
}

impl<C: Checkpoint, H: Handler<C::Tx>> Consumer<C, H> {
    /// One step of the way: what is left of it, or the partitions that have met the bus again.
    pub(super) async fn walk(
        &self,
        mut way: WayBack,
        owned: &mut Partitions,
        lacking: &mut BTreeSet<TopicPartition>,
    ) -> Result<(Option<WayBack>, Vec<TopicPartition>), Interrupted> {
        let Some(log) = &self.log else { return Ok((None, vec![])) };
        let (records, ended) = way.read(log, owned).await?;
        let rest = self.work_off(records, owned).await?;
        let first = |records: &Vec<Record>| records.first().and_then(|record| record.envelope.position);
        if let Some(position) = rest.values().filter_map(first).min() {
            way.after = Some(position - 1);
            return Ok((Some(way), vec![]));
        }
        let position = way.after.unwrap_or_default();
        way.steps += 1;
        if !ended {
            if way.steps.is_multiple_of(SHOW_EVERY) {
                for (at, owned) in owned.iter_mut().filter(|(at, _)| way.goes_on_at.contains_key(at)) {
                    self.pass(*at, owned, owned.progress.next_offset, position).await?;
                }
            }
            return Ok((Some(way), vec![]));
        }
        let mut met = Vec::new();
        for (at, goes_on_at) in way.goes_on_at {
            let Some(owned) = owned.get_mut(&at) else { continue };
            self.pass(at, owned, goes_on_at, position).await?;
            owned.reads = Reads::Bus;
            tracing::info!(consumer = self.handler.name(), partition = %at, progress = ?owned.progress,
                "met the bus again");
            lacking.remove(&at);
            met.push(at);
        }
        Ok((None, met))
    }

    /// Up to `position` the log has nothing more for the partition: what is next is at `next_offset`.
    async fn pass(
        &self,
        at: TopicPartition,
        owned: &mut Owned,
        next_offset: u64,
        position: u64,
    ) -> Result<(), Interrupted> {
        let last_position = owned.progress.last_position.max(position);
        let to = Progress { next_offset, last_position };
        let moved = self.take_effect(at, owned.progress, &Batch::moved(to)).await;
        moved.map_err(|error| match error {
            NoEffect::Outage(reason) => CheckpointError::Outage(reason.into()),
            // No event is in it that could be poison.
            NoEffect::Fenced | NoEffect::Full | NoEffect::Unfit(_) | NoEffect::Rejected { .. } => {
                CheckpointError::Fenced
            }
        })?;
        owned.move_to(to);
        Ok(())
    }
}
