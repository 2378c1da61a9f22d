//! What of some records is to be handled, and how far that comes.

use crate::{Delivered, Progress, Record};

/// A run of records of one partition.
#[derive(Debug)]
pub(super) struct Batch {
    from: Progress,
    /// How far the consumer will have come.
    pub to: Progress,
    /// What is to be handled.
    pub events: Vec<Delivered>,
    /// What stopped the batch before its end.
    pub poison: Option<Poison>,
}

/// A record that cannot be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Poison {
    pub offset: u64,
    pub error: String,
}

impl Batch {
    /// The records from `from` on, up to the first that is no event of `epoch`. Repeats and records of a replay move
    /// the offset and nothing else.
    pub fn new(from: Progress, records: &[Record], epoch: u32) -> Self {
        let mut batch = Self { from, to: from, events: Vec::with_capacity(records.len()), poison: None };
        for record in records {
            if let Err(error) = batch.add(record, epoch) {
                batch.poison = Some(Poison { offset: record.offset, error });
                break;
            }
        }
        batch
    }

    fn add(&mut self, record: &Record, epoch: u32) -> Result<(), String> {
        let next_offset = record.offset + 1;
        let repeat = record.envelope.position.is_some_and(|position| position <= self.to.last_position);
        if record.envelope.replay || repeat {
            self.to.next_offset = next_offset;
            return Ok(());
        }
        let found = record.envelope.epoch;
        if found != Some(epoch) {
            return Err(format!("the record is of epoch {found:?}, the log of {epoch}"));
        }
        let event = record.decode().map_err(|error| error.to_string())?;
        self.to = Progress { next_offset, last_position: event.event.position };
        self.events.push(event);
        Ok(())
    }

    /// Leaves only what is before the event at `position`, which is poison. False when nothing is left.
    pub fn cut_before(&mut self, position: u64, error: String) -> bool {
        let at = self.events.iter().position(|event| event.event.position >= position).unwrap_or(0);
        let offset = self.events.get(at).map_or(self.from.next_offset, |event| event.offset);
        self.poison = Some(Poison { offset, error });
        self.events.truncate(at);
        self.to = self.events.last().map_or(self.from, |last| Progress {
            next_offset: last.offset + 1,
            last_position: last.event.position,
        });
        !self.events.is_empty()
    }

    /// What stopped it.
    pub fn into_poison(self) -> Poison {
        self.poison.unwrap_or(Poison { offset: self.from.next_offset, error: String::new() })
    }
}
