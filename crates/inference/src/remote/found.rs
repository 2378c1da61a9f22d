//! What servers have said of a batch, on its way into the store.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use cornjacket_bus::Delivered;
use cornjacket_domain::{Sample, SeriesKey};
use cornjacket_proto::events::Event;
use cornjacket_store::{Change, DetectorKey, Mode, ModelId, SavedState, Score, SeriesId, StoreError, Tx};

use super::roster::Duty;
use super::served::Outcome;
use crate::anomaly::Anomaly;
use crate::batch::Batch;
use crate::detectors::{Finding, Verdict};
use crate::outcome;
use crate::watching::switches;

/// The state of a series in which an anomaly lasts. A series without one, or with another, has none.
const LASTS: [u8; 1] = [1];
const OVER: [u8; 1] = [0];

/// What servers have said of a batch of events.
#[derive(Debug, Default)]
pub struct Found {
    /// What the events measured.
    pub(super) batch: Batch,
    /// The last change to models that was known when servers were asked.
    pub(super) head: u64,
    /// By model.
    pub(super) said: Vec<Said>,
}

/// What became of the samples that one model watches.
#[derive(Debug)]
pub(super) struct Said {
    pub duty: Duty,
    /// Each sample by its number in the batch, in order.
    pub outcomes: Vec<(usize, Outcome)>,
}

/// What is to be written.
#[derive(Default)]
struct Writing {
    scores: Vec<Score>,
    /// In the order of their causes' positions.
    anomalies: BTreeMap<(u64, SeriesId, ModelId), Vec<u8>>,
    /// Whether an anomaly lasts, of those series where that has changed.
    states: BTreeMap<DetectorKey, SavedState>,
}

impl Found {
    /// Writes a row for each sample and model, a score or the reason why there is none, and sends the anomalies that begin.
    pub(super) async fn write(mut self, tx: &mut dyn Tx, events: &[Delivered]) -> Result<(), StoreError> {
        self.keep_up(tx).await?;
        let ids = self.ids(tx).await?;
        if ids.is_empty() {
            return Ok(());
        }
        // Not in memory: whoever had the partition before may have had the sample with which an anomaly began or was over.
        let mut known = tx.load_detectors(&self.keys(&ids)).await?;
        let causes: HashMap<u64, &Event> =
            events.iter().map(|one| (one.event.position, &one.event)).collect();
        let keys = self.batch.series();
        let mut writing = Writing::default();
        for Said { duty, outcomes } in &self.said {
            for (at, outcome) in outcomes {
                let (number, sample) = self.batch.numbered()[*at];
                let (series, key) = (ids[&number], keys[number].0);
                let saved =
                    known.entry((series, duty.served.model.id)).or_insert_with(|| state(duty, &sample, OVER));
                let found = Sighting {
                    duty,
                    series,
                    key,
                    sample: &sample,
                    cause: causes.get(&sample.position).copied(),
                };
                writing.add(&found, outcome, saved);
            }
        }
        writing.write(tx).await
    }

    /// Takes in how models were switched while servers were asked, which may have taken them long. One that is off by now watches
    /// nothing, so that nothing of what it said is written.
    async fn keep_up(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        if self.said.is_empty() {
            return Ok(());
        }
        for control in switches(tx, self.head).await? {
            let is_of = |said: &&mut Said| said.duty.served.model.id == control.model.id;
            if let (Change::Mode(mode), Some(said)) = (control.change, self.said.iter_mut().find(is_of)) {
                said.duty.mode = mode;
                if mode == Mode::Off {
                    said.duty.since = control.seq;
                }
            }
        }
        self.said.retain(|said| said.duty.mode != Mode::Off);
        Ok(())
    }

    /// The series that somebody watches, by their number in the batch.
    async fn ids(&self, tx: &mut dyn Tx) -> Result<HashMap<usize, SeriesId>, StoreError> {
        let samples = self.said.iter().flat_map(|said| &said.outcomes);
        let samples = samples.map(|(at, _)| self.batch.numbered()[*at]);
        let (numbers, times): (BTreeSet<usize>, BTreeSet<_>) =
            samples.map(|(number, sample)| (number, sample.time)).unzip();
        if numbers.is_empty() {
            return Ok(HashMap::new());
        }
        let all = self.batch.series();
        let wanted: Vec<_> = numbers.iter().map(|number| all[*number]).collect();
        let ids = tx.series_ahead(&wanted, &times.into_iter().collect::<Vec<_>>()).await?;
        Ok(numbers.into_iter().zip(ids).collect())
    }

    fn keys(&self, ids: &HashMap<usize, SeriesId>) -> Vec<DetectorKey> {
        let key = |said: &Said, at: usize| (ids[&self.batch.numbered()[at].0], said.duty.served.model.id);
        let keys = self.said.iter().flat_map(|said| said.outcomes.iter().map(move |(at, _)| key(said, *at)));
        keys.collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// A sample before a model.
struct Sighting<'a> {
    duty: &'a Duty,
    series: SeriesId,
    key: &'a SeriesKey,
    sample: &'a Sample,
    cause: Option<&'a Event>,
}

impl Writing {
    /// Takes in what became of a sample, and whether an anomaly lasts after it: one begins with a score at the threshold or
    /// above it, and is over with one below. What has no score changes nothing of that.
    fn add(&mut self, sighting: &Sighting<'_>, outcome: &Outcome, saved: &mut SavedState) {
        let Sighting { duty, series, key, sample, cause } = *sighting;
        let (model, parameters) = (&duty.served.model, &duty.served.remote.parameters);
        let mut verdict = Verdict::default();
        if let Ok(judgement) = outcome {
            let lasted = saved.since == duty.since && saved.state == LASTS;
            let lasts = judgement.score >= parameters.threshold;
            verdict.score = Some(judgement.score);
            verdict.expected = judgement.expected;
            // What contributed, the protocol has no words for.
            verdict.finding = (lasts && !lasted)
                .then(|| Finding { severity: parameters.severity.severity(), contributions: Vec::new() });
            if lasts != lasted {
                *saved = state(duty, sample, if lasts { LASTS } else { OVER });
                self.states.insert((series, model.id), saved.clone());
            }
        }
        let unscored = outcome.as_ref().err().cloned();
        self.scores.push(Score { unscored, ..outcome::score_of(series, sample, model.id, &verdict) });
        if let (Mode::Active, Some(finding), Some(cause)) = (duty.mode, &verdict.finding, cause) {
            let time = sample.time;
            let anomaly = Anomaly {
                key,
                time,
                sample,
                cause,
                model,
                score: verdict.score,
                expected: verdict.expected,
                finding,
            };
            self.anomalies.insert((sample.position, series, model.id), anomaly.encode());
        }
    }

    async fn write(self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let unscored = self.scores.iter().filter(|score| score.unscored.is_some()).count();
        metrics::counter!("cornjacket_remote_unscored_total").increment(unscored as u64);
        metrics::counter!("cornjacket_inference_scores_total")
            .increment((self.scores.len() - unscored) as u64);
        tx.add_scores(&self.scores).await?;
        if !self.states.is_empty() {
            tx.save_detectors(&self.states.into_iter().collect::<Vec<_>>()).await?;
        }
        outcome::send(tx, &self.anomalies.into_values().collect::<Vec<_>>()).await
    }
}

fn state(duty: &Duty, sample: &Sample, state: [u8; 1]) -> SavedState {
    SavedState { since: duty.since, last: (sample.time, sample.position), state: state.to_vec() }
}

#[cfg(test)]
mod tests;
