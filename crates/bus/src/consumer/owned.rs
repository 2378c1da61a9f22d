//! What a consumer knows of a partition that is its own.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::time::Instant;

use super::health::State;
use crate::checkpoint::{Milestone, Parked};
use crate::{Letter, Progress, Record, TopicPartition};

/// What operators are told of a partition meanwhile.
const READS_THE_LOG: &str = "reads the log until it meets the bus again";

/// How much may be parked in one partition of one consumer. What would be more makes the consumer stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParkLimits {
    /// Records.
    pub rows: u64,
    /// Bytes of their values.
    pub bytes: u64,
}

impl ParkLimits {
    /// None.
    pub const NONE: Self = Self { rows: u64::MAX, bytes: u64::MAX };
}

/// A partition that is the consumer's own.
#[derive(Debug)]
pub(super) struct Owned {
    pub progress: Progress,
    /// Keys whose records wait, and how much that is.
    pub parked: Parked,
    pub reads: Reads,
    pub limits: ParkLimits,
    /// The next record would have to be parked, and there is no room.
    pub is_full: bool,
    /// What no milestone says yet.
    pub untold: Option<Untold>,
}

/// Effects that went in since the last milestone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Untold {
    after: u64,
    /// When the last of them did.
    at: Instant,
}

/// Where the records of a partition come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    Bus,
    /// The bus has forgotten what comes next.
    Log,
}

pub(super) type Partitions = BTreeMap<TopicPartition, Owned>;

impl Owned {
    /// The progress is `to`: what that includes has just gone in.
    pub fn move_to(&mut self, to: Progress) {
        if to.last_position > self.progress.last_position {
            let after = self.untold.map_or(self.progress.last_position, |untold| untold.after);
            self.untold = Some(Untold { after, at: Instant::now() });
        }
        self.progress = to;
    }

    /// What is to be kept of when effects went in.
    pub fn milestone(&self, at: TopicPartition) -> Option<Milestone> {
        let last_position = self.progress.last_position;
        self.untold.map(|untold| Milestone {
            at,
            after: untold.after,
            last_position,
            age: untold.at.elapsed(),
        })
    }

    /// Whether a record was not there before. Those of the log have no offsets of their own.
    pub fn wants(&self, record: &Record) -> bool {
        match self.reads {
            Reads::Bus => record.offset >= self.progress.next_offset,
            Reads::Log => record.envelope.position > Some(self.progress.last_position),
        }
    }

    /// Whether one more can be parked beside these. A single record may go over the limit of bytes: whatever the limit,
    /// an empty queue takes it.
    pub fn has_room(&self, beside: &[Letter]) -> bool {
        self.parked.rows.saturating_add(beside.len() as u64) < self.limits.rows
            && self.parked.bytes.saturating_add(bytes_of(beside)) < self.limits.bytes
    }

    /// These are parked now.
    pub fn park(&mut self, keys: &mut BTreeSet<Bytes>, letters: &[Letter]) {
        self.parked.keys.append(keys);
        self.parked.rows += letters.len() as u64;
        self.parked.bytes += bytes_of(letters);
    }

    /// How it is doing, and why.
    pub fn report(&self, paused: bool) -> (State, String) {
        let state = state_of(self.parked.keys.len(), paused, self.is_full.then(|| self.no_room()));
        let reads = match self.reads {
            Reads::Bus => "",
            Reads::Log => READS_THE_LOG,
        };
        let reasons = [state.reason(), reads.to_owned()];
        let said: Vec<_> = reasons.into_iter().filter(|reason| !reason.is_empty()).collect();
        (state, said.join("; "))
    }

    fn no_room(&self) -> String {
        let Parked { rows, bytes, .. } = self.parked;
        format!(
            "{rows} records of {bytes} bytes are parked, which is the limit: redrive or discard dead letters"
        )
    }
}

/// How a consumer is doing in all its partitions.
pub(super) fn state_of_all(owned: &Partitions, paused: bool) -> State {
    let keys = owned.values().map(|owned| owned.parked.keys.len()).sum();
    let full = owned.iter().find(|(_, owned)| owned.is_full);
    state_of(keys, paused, full.map(|(at, owned)| format!("{at}: {}", owned.no_room())))
}

fn state_of(parked_keys: usize, paused: bool, full: Option<String>) -> State {
    match (paused, full, parked_keys) {
        (true, _, _) => State::Paused,
        (false, Some(reason), _) => State::Waiting { reason },
        (false, None, 0) => State::Running,
        (false, None, keys) => State::Parked { keys },
    }
}

fn bytes_of(letters: &[Letter]) -> u64 {
    letters.iter().map(|letter| letter.record.value.len() as u64).sum()
}
