//! Which events of a batch are new, and which position each gets: the part of appending that no database does.

use std::collections::HashMap;

use cornjacket_domain::{ContentDigest, Event, EventKey, Timestamp};

use crate::event_log::Appended;

/// What the ledger of ids knows of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LedgerRow {
    pub digest: ContentDigest,
    pub position: u64,
    pub ingest_time: Timestamp,
}

/// What to store, and what to answer once it is stored.
#[derive(Debug)]
pub(crate) struct Numbering<'a> {
    /// The new events, in order of their positions, which follow the head without a hole.
    pub fresh: Vec<&'a Event>,
    /// What became of each event of the batch.
    pub outcomes: Vec<Appended>,
    /// The time of all new events.
    pub ingest_time: Timestamp,
}

impl<'a> Numbering<'a> {
    /// Numbers `events` from `head + 1` on, given what the ledger knows of their keys. The caller holds the append
    /// lock, without which `head` and `known` would be out of date.
    pub fn new(
        events: &'a [Event],
        head: u64,
        ingest_time: Timestamp,
        mut known: HashMap<EventKey, LedgerRow>,
    ) -> Self {
        let mut fresh = Vec::with_capacity(events.len());
        let outcomes = events
            .iter()
            .map(|event| match known.get(&event.key()) {
                Some(row) if row.digest == event.digest() => {
                    Appended::Duplicate { position: row.position, ingest_time: row.ingest_time }
                }
                Some(_) => Appended::Conflict,
                None => {
                    fresh.push(event);
                    let position = head + fresh.len() as u64;
                    known.insert(event.key(), LedgerRow { digest: event.digest(), position, ingest_time });
                    Appended::Stored { position, ingest_time }
                }
            })
            .collect();
        Self { fresh, outcomes, ingest_time }
    }
}
