//! What of some records is to be handled, what is not, and how far that comes.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::{Delivered, Letter, Progress, Record};

/// A run of records of one partition.
#[derive(Debug)]
pub(super) struct Batch<'a> {
    /// How far the consumer will have come.
    pub to: Progress,
    /// What is to be handled.
    pub events: Vec<Delivered>,
    /// The records of `events`, in the same order.
    records: Vec<&'a Record>,
    /// What cannot be handled, and what waits behind it.
    pub letters: Vec<Letter>,
    /// Keys that this batch parks.
    pub parks: BTreeSet<Bytes>,
}

/// The event in a record, or why there is none of `epoch`.
pub(super) fn event_of(record: &Record, epoch: u32) -> Result<Delivered, String> {
    let found = record.envelope.epoch;
    if found != Some(epoch) {
        return Err(format!("the record is of epoch {found:?}, the log of {epoch}"));
    }
    record.decode().map_err(|error| error.to_string())
}

impl<'a> Batch<'a> {
    /// The records from `from` on, until there are `most` events to handle. Repeats and records of a replay move the
    /// offset and nothing else. Records of parked keys wait; those that are no event of `epoch` park their keys.
    pub fn new(
        from: Progress,
        records: &'a [Record],
        epoch: u32,
        parked: &BTreeSet<Bytes>,
        most: usize,
    ) -> Self {
        let capacity = records.len().min(most);
        let mut batch = Self {
            to: from,
            events: Vec::with_capacity(capacity),
            records: Vec::with_capacity(capacity),
            letters: Vec::new(),
            parks: BTreeSet::new(),
        };
        for record in records {
            if batch.events.len() == most {
                break;
            }
            batch.add(record, epoch, parked);
        }
        batch
    }

    fn add(&mut self, record: &'a Record, epoch: u32, parked: &BTreeSet<Bytes>) {
        self.to.next_offset = record.offset + 1;
        let position = record.envelope.position.filter(|_| record.envelope.epoch == Some(epoch));
        let repeat = position.is_some_and(|position| position <= self.to.last_position);
        if record.envelope.replay || repeat {
            return;
        }
        // A position of another epoch means nothing, and must not hide ours.
        self.to.last_position = position.unwrap_or(self.to.last_position);
        if parked.contains(&record.key) || self.parks.contains(&record.key) {
            self.letters.push(Letter { record: record.clone(), error: None });
        } else {
            match event_of(record, epoch) {
                Ok(event) => {
                    self.events.push(event);
                    self.records.push(record);
                }
                Err(error) => self.park_record(record, error),
            }
        }
    }

    fn park_record(&mut self, record: &Record, error: String) {
        self.parks.insert(record.key.clone());
        self.letters.push(Letter { record: record.clone(), error: Some(error) });
    }

    /// Parks the key of the event at `position`, which cannot be handled: it and what follows it in its key wait. The
    /// first event is meant when none is at that position.
    pub fn reject(&mut self, position: u64, error: String) {
        let at = self.events.iter().position(|event| event.event.position == position).unwrap_or(0);
        let key = self.records[at].key.clone();
        let mut error = Some(error);
        let (events, records) = (std::mem::take(&mut self.events), std::mem::take(&mut self.records));
        for (index, (event, record)) in events.into_iter().zip(records).enumerate() {
            if index >= at && record.key == key {
                self.letters.push(Letter { record: record.clone(), error: error.take() });
            } else {
                self.events.push(event);
                self.records.push(record);
            }
        }
        self.parks.insert(key);
    }
}
