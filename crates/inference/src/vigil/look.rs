//! A look at series that may be silent.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cornjacket_domain::{Sample, SeriesKey, Shard, Timestamp, Topic};
use cornjacket_proto::events::Event;
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
/// Events about a subject that are gone through for one that was not processed yet.
const LOOK_AT: u32 = 500;
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

/// What comes of a look.
#[derive(Default)]
struct Outcome {
    left: Vec<DetectorKey>,
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
                // Its model is off, or nothing is left of it: when it speaks again, somebody may wait for it again.
                _ => outcome.left.push(quiet.key),
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
                // Of another life of its model.
                outcome.left.push(quiet.key);
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
        let is_new = |(quiet, last, _): &&(Quiet, Sample, _)| quiet.heard.noted != last.position;
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

    /// When a series was heard, with its last sample.
    fn heard(&self, quiet: &Quiet, last: &Sample, came: Option<Timestamp>) -> Heard {
        let open = self.vigil.open;
        if quiet.heard.noted == last.position {
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
        if self.is_behind(series).await? {
            return Ok((Heard { due: soon, ..heard }, None));
        }
        Ok((Heard { due: later, told: true, ..heard }, Some(finding)))
    }

    /// Whether there is something about a series that the processor has not taken: it is behind, or has parked it.
    async fn is_behind(&mut self, series: &SeriesKey) -> Result<bool, StoreError> {
        let (shard, subject) = (Shard::of(series, self.ports.partitions), &series.subject);
        // A shard that came up between two looks is not known yet.
        let Some(processed) = self.processed.get(&shard) else { return Ok(true) };
        if let Entry::Vacant(parked) = self.parked.entry(shard) {
            parked.insert(self.ports.dead_letters.parked(&processor_in(shard)).await?);
        }
        if self.parked[&shard].iter().any(|key| key == subject.as_bytes()) {
            return Ok(true);
        }
        let event_type = series.counts().map(str::to_owned);
        let select = Select { subject: Some(subject.clone()), event_type };
        let range = Range { select, ..Range::after(*processed, LOOK_AT) };
        let events = self.ports.log.read(&range).await?;
        let is_ours = |event_type: &str| Topic::of_type(event_type) == shard.topic();
        Ok(events.len() == LOOK_AT as usize || events.iter().any(|event| is_ours(&event.event_type)))
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
