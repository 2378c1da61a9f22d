//! What consumers have not read yet of the part of the log that is about to go.
//!
//! How far a consumer has come in a partition says nothing of a quiet one: it stays where its last event was. So the
//! events themselves are looked at, once, when their day is to go.

use std::collections::BTreeMap;

use cornjacket_actions::dispatcher;
use cornjacket_domain::{Partitions, Timestamp, Topic};
use cornjacket_inference::{Counted, feedback, processor, remote};
use cornjacket_query::projections;
use cornjacket_store::{ConsumerPartition, ConsumerStatus, EventLog, Gap, Range, StoreError};

/// Events that are read at once.
const AT_ONCE: u32 = 2_000;

/// A consumer's name, and what it reads.
pub type Reader = (&'static str, Vec<Topic>);

/// Every consumer, in whichever process it runs, where these events are counted.
pub fn readers(counted: &Counted) -> Vec<Reader> {
    let projectors = projections::ALL.iter().map(|projection| (projection.id.name, projection.topics()));
    let thinkers = [
        (processor::NAME, counted.topics()),
        (remote::NAME, remote::TOPICS.to_vec()),
        (feedback::NAME, feedback::TOPICS.to_vec()),
        (dispatcher::NAME, Topic::ALL.to_vec()),
    ];
    projectors.chain(thinkers).collect()
}

/// How far every consumer has come.
#[derive(Debug)]
pub struct HaveRead {
    partitions: Partitions,
    /// Who reads a partition, and the last position that each has had.
    by_place: BTreeMap<(Topic, u16), Vec<(&'static str, u64)>>,
}

impl HaveRead {
    /// What `statuses` say of `readers`. One that has never read anything waits for nothing; of one that has, also those
    /// partitions count that it has not begun.
    pub fn new(readers: &[Reader], statuses: &[ConsumerStatus], partitions: Partitions) -> Self {
        let mut by_place: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (name, topics) in readers {
            let own: Vec<_> = statuses.iter().filter(|status| status.at.consumer == *name).collect();
            if own.is_empty() {
                continue;
            }
            let every = |topic: &Topic| {
                let topic = *topic;
                (0..partitions.count()).map(move |partition| (topic, partition))
            };
            for (topic, partition) in topics.iter().flat_map(every) {
                let at = own
                    .iter()
                    .find(|status| (status.at.topic, status.at.partition) == (topic.name(), partition));
                let position = at.map_or(0, |status| status.progress.last_position);
                by_place.entry((topic, partition)).or_default().push((*name, position));
            }
        }
        Self { partitions, by_place }
    }

    /// The first event of the days before that of `time` that somebody has not read.
    pub async fn first_unread(&self, log: &dyn EventLog, time: Timestamp) -> Result<Option<u64>, StoreError> {
        let mut first = None;
        self.look(log, time, |_, _, position| {
            first = Some(position);
            false
        })
        .await?;
        Ok(first)
    }

    /// What is lost to whom when the days before that of `time` go.
    pub async fn losses(&self, log: &dyn EventLog, time: Timestamp) -> Result<Vec<Gap>, StoreError> {
        let mut lost: BTreeMap<_, (u64, u64)> = BTreeMap::new();
        self.look(log, time, |name, place, position| {
            lost.entry((name, place)).or_insert((position, position)).1 = position;
            true
        })
        .await?;
        let gap = |((name, (topic, partition)), (first, last)): ((&str, (Topic, u16)), _)| {
            let at = ConsumerPartition { consumer: name.to_owned(), topic: topic.name(), partition };
            Gap { at, first, last }
        };
        Ok(lost.into_iter().map(gap).collect())
    }

    /// Shows every event of the days before that of `time` that somebody has not read, until that has been enough.
    async fn look(
        &self,
        log: &dyn EventLog,
        time: Timestamp,
        mut unread: impl FnMut(&'static str, (Topic, u16), u64) -> bool,
    ) -> Result<(), StoreError> {
        let positions = self.by_place.values().flatten().map(|(_, position)| *position);
        let Some(after) = positions.min() else { return Ok(()) };
        let mut range = Range::after(after, AT_ONCE);
        loop {
            let events = log.read(&range).await?;
            let Some(last) = events.last() else { return Ok(()) };
            range.after = last.position;
            for event in &events {
                if event.ingest_time.day() >= time.day() {
                    return Ok(());
                }
                let place = self.partitions.place(&event.event_type, &event.subject);
                let lack = self.by_place.get(&place).into_iter().flatten();
                for (name, _) in lack.filter(|(_, position)| event.position > *position) {
                    if !unread(name, place, event.position) {
                        return Ok(());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
