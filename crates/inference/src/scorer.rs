//! Scoring: every sample is seen by the detectors of its series, once and in order.
//!
//! What detectors remember is in memory, by shard, and in the store, where it is saved now and then and whenever memory has no
//! room for it. A series that is not in memory comes back from its state and the samples that are stored since then. All of it
//! is done in the transaction that stores the samples: if that never was, neither was what memory holds, and the shard is
//! forgotten. That is known by turns: each transaction of a shard has a number and says whose memory it was made with, and memory
//! is good for the next one.

mod controls;
mod load;
mod pace;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use cornjacket_bus::Delivered;
use cornjacket_domain::{Partitions, Sample, SeriesKey, Shard};
use cornjacket_proto::events::Event;
use cornjacket_store::{DetectorKey, ModelId, SavedState, Score, SeriesId, StoreError, Tx};
use uuid::Uuid;

use self::load::load;
pub(crate) use self::load::resume;
use self::pace::Pace;
use crate::anomaly::Anomaly;
use crate::detectors::Verdict;
use crate::memory::Memory;
use crate::outcome;
use crate::watched::Watched;

/// Series that are taken out of memory, or brought into it, at once.
const AT_ONCE: usize = 16;
/// Bytes of states that wait to be written.
const AT_ONCE_BYTES: usize = 4 << 20;

/// Scores samples.
#[derive(Debug)]
pub(crate) struct Scorer {
    partitions: Partitions,
    /// Bytes of memory for what the detectors of a shard remember.
    limit: usize,
    /// Tells this memory from that of other processes, and from that of its own past.
    memory: u64,
    shards: Mutex<HashMap<Shard, Arc<tokio::sync::Mutex<Memory>>>>,
}

/// The samples of a transaction of one shard: of each series in the order of positions.
pub(crate) type BySeries<'a> = BTreeMap<SeriesId, (&'a SeriesKey, Vec<Sample>)>;

/// The samples of a series in a transaction.
#[derive(Clone, Copy)]
struct OfSeries<'a> {
    series: SeriesId,
    key: &'a SeriesKey,
    samples: &'a [Sample],
}

/// What is to be written.
#[derive(Debug, Default)]
struct Outcome {
    scores: Vec<Score>,
    /// In the order of their causes' positions.
    anomalies: BTreeMap<(u64, SeriesId, ModelId), Vec<u8>>,
    states: Vec<(DetectorKey, SavedState)>,
    /// Who begins to wait for the next sample of a series.
    waits: Vec<DetectorKey>,
}

impl Scorer {
    /// One that may take about so much memory for what detectors remember of the series of so many topics.
    pub fn new(partitions: Partitions, topics: usize, state_bytes: usize) -> Self {
        let limit = state_bytes / (usize::from(partitions.count()) * topics.max(1));
        Self { partitions, limit, memory: Uuid::new_v4().as_u64_pair().0, shards: Mutex::default() }
    }

    /// Scores what a transaction stores.
    pub async fn score(
        &self,
        tx: &mut dyn Tx,
        events: &[Delivered],
        samples: &BySeries<'_>,
    ) -> Result<(), StoreError> {
        let Some(first) = events.first().map(|first| &first.event) else { return Ok(()) };
        let Some((key, _)) = samples.values().next() else { return Ok(()) };
        // Events come from one partition of one topic, and so do the samples of all of their series.
        let place = Shard::of(key, self.partitions);
        let shard = self.shard(place);
        let mut shard = shard.lock().await;
        let turn = tx.turn(place, self.memory).await?;
        if !turn.is_ours || shard.turn != Some(turn.number - 1) {
            shard.forget();
        }
        // Whatever goes wrong from here on, and if this future is dropped: nobody relies on this memory.
        shard.turn = None;
        controls::take(tx, place, &mut shard, turn, first).await?;
        let causes = events.iter().map(|one| (one.event.position, &one.event)).collect();
        let series: Vec<_> = if shard.watching.is_empty() {
            shard.forget_series();
            Vec::new()
        } else {
            samples.iter().collect()
        };
        // All at once: one that waits for its turn must not be let go meanwhile.
        let warm = series.iter().filter_map(|(id, _)| Some((**id, shard.take(**id)?)));
        let (mut warm, mut outcome) = (warm.collect(), Outcome::default());
        for chunk in series.chunks(AT_ONCE) {
            let keys = chunk.iter().map(|(id, (key, _))| (**id, *key));
            let loaded = load(tx, &shard.watching, &mut warm, keys, first.position).await?;
            let mut slice = Pace::begin();
            for ((series, (key, samples)), watched) in chunk.iter().zip(loaded) {
                let samples = OfSeries { series: **series, key, samples };
                self.observe(&mut shard, samples, watched, &causes, &mut outcome);
                slice.keep(tx).await?;
            }
            if outcome.bytes() > AT_ONCE_BYTES {
                std::mem::take(&mut outcome).write(tx).await?;
            }
            // Detectors may take a while, and others wait for this thread.
            tokio::task::yield_now().await;
        }
        outcome.write(tx).await?;
        #[allow(clippy::cast_precision_loss, reason = "far less than 2^52 bytes")]
        metrics::gauge!("cornjacket_inference_state_bytes", "shard" => place.number().to_string())
            .set(shard.bytes() as f64);
        shard.turn = Some(turn.number);
        Ok(())
    }

    /// About how much memory what detectors remember takes, in bytes.
    pub async fn bytes(&self) -> usize {
        let shards: Vec<_> =
            self.shards.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let mut bytes = 0;
        for shard in shards {
            bytes += shard.lock().await.bytes();
        }
        bytes
    }

    fn shard(&self, place: Shard) -> Arc<tokio::sync::Mutex<Memory>> {
        self.shards.lock().unwrap_or_else(PoisonError::into_inner).entry(place).or_default().clone()
    }

    /// Has the detectors of a series see its samples.
    fn observe(
        &self,
        shard: &mut Memory,
        OfSeries { series, key, samples }: OfSeries<'_>,
        mut watched: Watched,
        causes: &HashMap<u64, &Event>,
        outcome: &mut Outcome,
    ) {
        for watcher in &mut watched.watchers {
            let model = &watcher.model.model;
            let (id, is_active) = (model.id, shard.watching.is_active(model.id));
            for sample in samples {
                let Some(verdict) = watcher.observe(sample) else { continue };
                outcome.score(series, sample, id, &verdict);
                if let (true, Some(finding), Some(cause)) =
                    (is_active, &verdict.finding, causes.get(&sample.position))
                {
                    let model = &watcher.model.model;
                    let (time, score, expected) = (sample.time, verdict.score, verdict.expected);
                    let anomaly = Anomaly { key, time, sample, cause, model, score, expected, finding };
                    outcome.anomalies.insert((sample.position, series, id), anomaly.encode());
                }
            }
            if watcher.begins_to_wait() {
                outcome.waits.push((series, id));
            }
            if watcher.is_due() {
                outcome.states.extend(watcher.save(series));
            }
        }
        shard.keep(series, watched);
        self.let_go(shard, outcome);
    }

    /// Keeps the memory of a shard within its limit.
    fn let_go(&self, shard: &mut Memory, outcome: &mut Outcome) {
        while let Some((series, mut watched)) = shard.let_go(self.limit) {
            metrics::counter!("cornjacket_inference_evictions_total").increment(1);
            let unsaved = watched.watchers.iter_mut().filter(|watcher| watcher.is_unsaved());
            outcome.states.extend(unsaved.filter_map(|watcher| watcher.save(series)));
        }
    }
}

impl Outcome {
    fn score(&mut self, series: SeriesId, sample: &Sample, model: ModelId, verdict: &Verdict) {
        if verdict.score.is_none() && verdict.finding.is_none() {
            return;
        }
        self.scores.push(outcome::score_of(series, sample, model, verdict));
    }

    fn bytes(&self) -> usize {
        self.states.iter().map(|(_, saved)| saved.state.len()).sum()
    }

    async fn write(self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        if !self.scores.is_empty() {
            metrics::counter!("cornjacket_inference_scores_total").increment(self.scores.len() as u64);
            tx.add_scores(&self.scores).await?;
        }
        if !self.states.is_empty() {
            tx.save_detectors(&self.states).await?;
        }
        if !self.waits.is_empty() {
            tx.wait_for(&self.waits).await?;
        }
        outcome::send(tx, &self.anomalies.into_values().collect::<Vec<_>>()).await
    }
}
