//! A look at series that may be silent.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cornjacket_domain::stored::StoredEvent;
use cornjacket_domain::{Sample, SeriesKey, Shard, Timestamp, Topic};
use cornjacket_proto::events::Event;
use cornjacket_proto::events::event::Payload;
use cornjacket_store::{ConsumerPartition, DetectorKey, Heard, Quiet, Range, Select, StoreError, Tx, Vigil};

use super::{Ports, TICK, clock};
use crate::anomaly::Anomaly;
use crate::detectors::Finding;
use crate::outcome;
use crate::processor;
use crate::scorer::resume;
use crate::watched::Watcher;
use crate::watching::{InForce, Watching};

/// When a series is looked at again that is silent, or whose detector does not know yet for how long it would wait.
const LATER: Duration = Duration::from_secs(10);
/// And one of which there is nothing to be known now.
const GONE: Duration = Duration::from_mins(1);
/// Events about a subject that are read at once, when it is asked whether it has said something, and how many such pages.
const PAGE: u32 = 500;
const PAGES: u32 = 4;
/// How long a question to the log may take.
const WITHIN: Duration = Duration::from_secs(2);

/// What is known while series are looked at.
pub(super) struct Look<'a> {
    pub ports: &'a Ports,
    pub watching: &'a Watching,
    pub vigil: Vigil,
    /// How far the processor was, by shard, before the series were read.
    pub processed: BTreeMap<Shard, u64>,
    /// The keys that it has parked, by shard, as far as somebody asked.
    pub parked: BTreeMap<Shard, Vec<Bytes>>,
}

/// What a subject has said since it was heard.
enum Said {
    /// Something that the processor has not taken.
    NotTaken,
    /// Up to a position: when something of the series came in for the last time, if it did, and whether that is all.
    Until { noted: u64, came: Option<Timestamp>, is_all: bool },
}

/// What comes of a look.
#[derive(Default)]
struct Outcome {
    /// Each with when it was due.
    left: Vec<(DetectorKey, Duration)>,
    heard: Vec<(DetectorKey, Heard)>,
    anomalies: Vec<Vec<u8>>,
}

/// The consumer's place in a shard.
pub(super) fn processor_in(shard: Shard) -> ConsumerPartition {
    let (topic, partition) = (shard.topic().name(), shard.partition());
    ConsumerPartition { consumer: processor::NAME.to_owned(), topic, partition }
}

impl Look<'_> {
    /// Looks at series, and writes what comes of it.
    pub async fn at(&mut self, tx: &mut dyn Tx, due: Vec<Quiet>) -> Result<(), StoreError> {
        let mut outcome = Outcome::default();
        let mut waiting = Vec::with_capacity(due.len());
        for quiet in due {
            match (quiet.last, self.watching.minds(&quiet.series, quiet.key.1)) {
                // Whose events are not counted now is not silent.
                (Some(_), Some(_)) if !self.ports.counted.goes_on(&quiet.series) => {
                    let (at, due) = (self.vigil.open, self.vigil.open + LATER);
                    outcome.heard.push((quiet.key, Heard { at, due, told: false, ..quiet.heard }));
                }
                (Some(last), Some(model)) => waiting.push((quiet, last, model)),
                // Its model is off. Who has just begun to wait knows of a change that is not known here.
                (_, None) if !self.watching.is_beyond(quiet.key.1) && !quiet.heard.due.is_zero() => {
                    outcome.left.push((quiet.key, quiet.heard.due));
                }
                // Nothing is left of it, or others run its model: it may speak again.
                _ => outcome.heard.push((quiet.key, self.later(quiet.heard))),
            }
        }
        let wanted: Vec<_> = waiting.iter().map(|(quiet, _, model)| (quiet.key.0, model.clone())).collect();
        let watchers = resume(tx, &wanted, u64::MAX).await?;
        let key_of = |(series, watcher): &(_, Watcher)| (*series, watcher.model.model.id);
        let patience: HashMap<DetectorKey, _> =
            watchers.iter().map(|one| (key_of(one), one.1.patience())).collect();
        let came = self.came(&waiting).await?;
        for (quiet, last, model) in &waiting {
            let Some(patience) = patience.get(&quiet.key) else {
                // Of another life of its model: that of this one comes with its next sample.
                outcome.heard.push((quiet.key, self.later(quiet.heard)));
                continue;
            };
            let heard = self.heard(quiet, last, came.get(&last.position).copied());
            let (heard, finding) = match patience {
                None => (Heard { due: self.vigil.open + LATER, ..heard }, None),
                Some((after, finding)) => self.judge(heard, *after, finding, &quiet.series).await?,
            };
            if let Some(finding) = finding.filter(|_| self.watching.is_active(model.model.id)) {
                outcome.anomalies.push(self.anomaly(quiet, last, model, finding).await?);
            }
            outcome.heard.push((quiet.key, heard));
        }
        outcome.write(tx).await
    }

    /// When the samples came in that are not noted yet, by their positions. Of some the log knows no more.
    async fn came(
        &self,
        waiting: &[(Quiet, Sample, Arc<InForce>)],
    ) -> Result<HashMap<u64, Timestamp>, StoreError> {
        let is_new = |(quiet, last, _): &&(Quiet, Sample, _)| quiet.heard.noted < last.position;
        let positions: Vec<_> = waiting.iter().filter(is_new).map(|(_, last, _)| last.position).collect();
        let mut came = HashMap::new();
        if positions.is_empty() {
            return Ok(came);
        }
        let mut snapshot = self.ports.snapshots.begin(WITHIN).await?;
        for position in positions {
            came.extend(snapshot.time_at(position).await?.map(|time| (position, time)));
        }
        Ok(came)
    }

    /// As it was, to be looked at again before long.
    fn later(&self, heard: Heard) -> Heard {
        Heard { due: self.vigil.open + GONE, ..heard }
    }

    /// When a series was heard, with its last sample.
    fn heard(&self, quiet: &Quiet, last: &Sample, came: Option<Timestamp>) -> Heard {
        let open = self.vigil.open;
        if quiet.heard.noted >= last.position {
            return quiet.heard;
        }
        // Where nobody knows when, it is as if it came now.
        let at = came.map_or(open, |came| clock::shown_at(&self.vigil, came));
        Heard { noted: last.position, at, due: open, told: false }
    }

    /// When to look at a series again, and what is to be told now.
    async fn judge<'f>(
        &mut self,
        heard: Heard,
        after: Duration,
        finding: &'f Finding,
        series: &SeriesKey,
    ) -> Result<(Heard, Option<&'f Finding>), StoreError> {
        let open = self.vigil.open;
        // Never at once: a look must end.
        let soon = open + TICK;
        if open.saturating_sub(heard.at) < after {
            return Ok((Heard { due: heard.at.saturating_add(after).max(soon), ..heard }, None));
        }
        let later = open.saturating_add(after.max(LATER));
        if heard.told {
            return Ok((Heard { due: later, ..heard }, None));
        }
        Ok(match self.said(series, heard.noted).await? {
            Said::NotTaken => (Heard { due: soon, ..heard }, None),
            // Its clock went back: what it says is older than its last sample, but it speaks.
            Said::Until { noted, came: Some(came), .. } => {
                let at = clock::shown_at(&self.vigil, came);
                (Heard { noted, at, due: at.saturating_add(after).max(soon), told: false }, None)
            }
            Said::Until { noted, came: None, is_all: false } => (Heard { noted, due: soon, ..heard }, None),
            Said::Until { noted, came: None, is_all: true } => {
                (Heard { noted, due: later, told: true, ..heard }, Some(finding))
            }
        })
    }

    /// What a subject has said about a series behind a position. What the processor is behind of, or has parked, is not taken.
    async fn said(&mut self, series: &SeriesKey, noted: u64) -> Result<Said, StoreError> {
        let (shard, subject) = (Shard::of(series, self.ports.partitions), &series.subject);
        // A shard that came up between two looks is not known yet.
        let Some(processed) = self.processed.get(&shard).copied() else { return Ok(Said::NotTaken) };
        if let Entry::Vacant(parked) = self.parked.entry(shard) {
            parked.insert(self.ports.dead_letters.parked(&processor_in(shard)).await?);
        }
        if self.parked[&shard].iter().any(|key| key == subject.as_bytes()) {
            return Ok(Said::NotTaken);
        }
        let select =
            Select { subject: Some(subject.clone()), event_type: series.counts().map(str::to_owned) };
        let (mut noted, mut came) = (noted, None);
        for _ in 0..PAGES {
            let range = Range { select: select.clone(), ..Range::after(noted, PAGE) };
            let events = self.ports.log.read(&range).await?;
            let of_shard = |event: &&StoredEvent| Topic::of_type(&event.event_type) == shard.topic();
            for event in events.iter().filter(of_shard) {
                if event.position > processed {
                    return Ok(Said::NotTaken);
                }
                if brings(event, series) {
                    came = Some(event.ingest_time);
                }
            }
            noted = events.last().map_or(noted, |last| last.position);
            if events.len() < PAGE as usize {
                return Ok(Said::Until { noted, came, is_all: true });
            }
        }
        Ok(Said::Until { noted, came, is_all: false })
    }

    async fn anomaly(
        &self,
        quiet: &Quiet,
        last: &Sample,
        model: &InForce,
        finding: &Finding,
    ) -> Result<Vec<u8>, StoreError> {
        let range = Range { until: last.position, ..Range::after(last.position - 1, 1) };
        let events = self.ports.log.read(&range).await?;
        let found = events.first().and_then(|event| event.decode().ok());
        // Where the log does not have the event any more, its position stands for it.
        let cause =
            found.unwrap_or_else(|| Event { id: format!("position {}", last.position), ..Event::default() });
        let anomaly = Anomaly {
            key: &quiet.series,
            time: self.ports.clock.now(),
            sample: last,
            cause: &cause,
            model: &model.model,
            score: None,
            expected: None,
            finding,
        };
        Ok(anomaly.encode())
    }
}

/// Whether a sample of a series comes of an event.
fn brings(event: &StoredEvent, series: &SeriesKey) -> bool {
    if series.counts().is_some() {
        return true;
    }
    let Ok(Some(Payload::SensorReading(reading))) = event.decode().map(|event| event.payload) else {
        return false;
    };
    reading.measurements.iter().any(|measurement| measurement.metric == series.metric)
}

impl Outcome {
    async fn write(self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        if !self.left.is_empty() {
            tx.leave(&self.left).await?;
        }
        if !self.heard.is_empty() {
            tx.note(&self.heard).await?;
        }
        outcome::send(tx, &self.anomalies).await
    }
}

#[cfg(test)]
mod tests;
