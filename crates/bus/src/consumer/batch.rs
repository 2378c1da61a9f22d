//! What of some records is to be handled, what is not, and how far that comes.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::owned::{Owned, Reads};
use crate::codec::Envelope;
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
    /// Something is missing before the next record.
    gap: bool,
    /// The next record would have to be parked, and there is no room.
    full: bool,
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
    /// The records that `owned` has not had, until there are `most` events to handle or something is missing. Repeats and
    /// records of a replay move the offset and nothing else. Records of parked keys wait; those that are no event of
    /// `epoch` park their keys.
    pub fn new(owned: &Owned, records: &'a [Record], epoch: u32, most: usize) -> Self {
        let capacity = records.len().min(most);
        let mut batch = Self {
            to: owned.progress,
            events: Vec::with_capacity(capacity),
            records: Vec::with_capacity(capacity),
            letters: Vec::new(),
            parks: BTreeSet::new(),
            gap: false,
            full: false,
        };
        for record in records {
            if batch.events.len() == most || batch.gap || batch.full {
                break;
            }
            batch.add(record, owned, epoch);
        }
        batch
    }

    /// A batch that only moves the progress.
    pub fn moved(to: Progress) -> Self {
        Self {
            to,
            events: Vec::new(),
            records: Vec::new(),
            letters: Vec::new(),
            parks: BTreeSet::new(),
            gap: false,
            full: false,
        }
    }

    /// Whether the first record cannot be had because something before it is missing.
    pub fn is_cut_off(&self, from: Progress) -> bool {
        self.gap && self.to == from
    }

    /// Whether the first record would have to be parked, and there is no room.
    pub fn is_full(&self, from: Progress) -> bool {
        self.full && self.to == from
    }

    /// Whether what it parks has room; a rejected event may have brought more.
    pub fn fits(&self, owned: &Owned) -> bool {
        self.letters.split_last().is_none_or(|(_, others)| owned.has_room(others))
    }

    fn add(&mut self, record: &'a Record, owned: &Owned, epoch: u32) {
        let Envelope { position, previous, ref replay, .. } = record.envelope;
        let replay = replay.is_some();
        let position = position.filter(|_| record.envelope.epoch == Some(epoch));
        let repeat = position.is_some_and(|position| position <= self.to.last_position);
        // Whatever topic this is: what the record says came before it, we have had, or not.
        let follows = previous.is_none_or(|previous| previous <= self.to.last_position);
        if !follows && !repeat && !replay && position.is_some() {
            self.gap = true;
            return;
        }
        let new = !replay && !repeat;
        let waits = owned.parked.keys.contains(&record.key) || self.parks.contains(&record.key);
        let event = (new && !waits).then(|| event_of(record, epoch));
        if new && !matches!(event, Some(Ok(_))) && !owned.has_room(&self.letters) {
            self.full = true;
            return;
        }
        // The bus stays where it was while the log is read.
        if owned.reads == Reads::Bus {
            self.to.next_offset = record.offset + 1;
        }
        if !new {
            return;
        }
        // A position of another epoch means nothing, and must not hide ours.
        self.to.last_position = position.unwrap_or(self.to.last_position);
        match event {
            Some(Ok(event)) => {
                self.events.push(event);
                self.records.push(record);
            }
            Some(Err(error)) => self.park_record(record, error),
            None => self.letters.push(Letter { record: record.clone(), error: None }),
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
