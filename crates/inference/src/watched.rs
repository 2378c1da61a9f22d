//! A series and the detectors that watch it.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::{Sample, SeriesKey, Timestamp};
use cornjacket_store::{DetectorKey, SavedState, SeriesId};

use crate::detectors::{Detector, Feedback, Finding, StateError, Verdict, seed};
use crate::watching::{InForce, Watching};

/// Where a sample is in its series: later ones compare greater.
pub(crate) type Mark = (Timestamp, u64);

/// By the time of samples. What came after the saved state must still be stored when it is gone over.
const LONGEST_UNSAVED: Duration = Duration::from_hours(12);

/// One detector of one series.
#[derive(Debug)]
pub(crate) struct Watcher {
    /// Its model.
    pub model: Arc<InForce>,
    detector: Box<dyn Detector>,
    /// The last sample that it has taken in. Detectors see their series in order: what is late they never see.
    last: Option<Mark>,
    /// The time of the last sample in its saved state.
    saved_at: Option<Timestamp>,
    /// Samples since its state was saved.
    unsaved: u32,
    /// Its state must be saved, however few samples there were.
    is_due: bool,
    /// It was never saved: nobody waits yet with it for the next sample.
    is_new: bool,
}

impl Watcher {
    /// One that has seen nothing.
    pub fn start(model: Arc<InForce>, key: &SeriesKey) -> Self {
        let detector = model.makes.start(seed(key, &model.model.draft.name));
        Self { model, detector, last: None, saved_at: None, unsaved: 0, is_due: true, is_new: true }
    }

    /// One that goes on from its state and from the samples since then, in the order of their positions.
    pub fn resume(model: Arc<InForce>, saved: &SavedState, since: &[Sample]) -> Result<Self, StateError> {
        let detector = model.makes.restore(&saved.state)?;
        let (last, saved_at) = (Some(saved.last), Some(saved.last.0));
        let mut watcher = Self { model, detector, last, saved_at, unsaved: 0, is_due: false, is_new: false };
        // What has a lower position came before the state was saved: it was taken in then, or was late.
        for sample in since.iter().filter(|sample| sample.position > saved.last.1) {
            watcher.observe(sample);
        }
        Ok(watcher)
    }

    /// What it makes of the next sample; nothing of one that is late.
    pub fn observe(&mut self, sample: &Sample) -> Option<Verdict> {
        let mark = (sample.time, sample.position);
        if self.last.is_some_and(|last| mark <= last) {
            return None;
        }
        self.last = Some(mark);
        self.unsaved += 1;
        Some(self.detector.observe(sample))
    }

    /// After how long without a sample there is an anomaly, and which.
    pub fn patience(&self) -> Option<(Duration, Finding)> {
        self.detector.patience()
    }

    /// Whether the vigil is to wait with it for the next sample, which it does not do yet.
    pub fn begins_to_wait(&self) -> bool {
        self.is_new && self.model.makes.minds_silence()
    }

    /// Takes in a person's word. It is saved at once: what comes after it does not go over it again.
    pub fn learn(&mut self, feedback: Feedback) {
        self.detector.learn(feedback);
        self.is_due = true;
    }

    /// Whether its state should be saved now: as seldom as large states are worth, as often as makes going over what
    /// came after them short.
    pub fn is_due(&self) -> bool {
        const BYTES_PER_SAMPLE: usize = 256;
        let most = (self.detector.bytes() / BYTES_PER_SAMPLE).clamp(64, 4_096);
        let is_old =
            self.last.zip(self.saved_at).is_some_and(|((last, _), saved)| last > saved + LONGEST_UNSAVED);
        self.is_due || is_old || usize::try_from(self.unsaved).is_ok_and(|unsaved| unsaved >= most)
    }

    /// Whether it has changed since its state was saved.
    pub const fn is_unsaved(&self) -> bool {
        self.unsaved > 0 || self.is_due
    }

    /// Whether it is of that model as it is in force.
    pub fn is_of(&self, model: &InForce) -> bool {
        (self.model.model.id, self.model.since) == (model.model.id, model.since)
    }

    /// Its state, which counts as saved from now on; none when it has seen nothing.
    pub fn save(&mut self, series: SeriesId) -> Option<(DetectorKey, SavedState)> {
        let last = self.last?;
        (self.unsaved, self.is_due, self.is_new, self.saved_at) = (0, false, false, Some(last.0));
        let saved = SavedState { since: self.model.since, last, state: self.detector.save() };
        Some(((series, self.model.model.id), saved))
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.detector.bytes()
    }
}

/// A series that is watched.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// In the order of the models' ids.
    pub watchers: Vec<Watcher>,
    /// Of the models that they are of.
    pub generation: u64,
}

impl Watched {
    /// Has a detector of every model that is in force, and of no other.
    pub fn keep_up_with(&mut self, watching: &Watching, key: &SeriesKey) {
        if self.generation == watching.generation {
            return;
        }
        self.generation = watching.generation;
        let mut known = std::mem::take(&mut self.watchers);
        let mut known_of = |model: &Arc<InForce>| {
            let at = known.iter().position(|watcher| watcher.is_of(model))?;
            Some(known.swap_remove(at))
        };
        let watcher =
            |model: &Arc<InForce>| known_of(model).unwrap_or_else(|| Watcher::start(model.clone(), key));
        self.watchers = watching.of(key).map(watcher).collect();
    }

    /// About how much memory it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + self.watchers.iter().map(Watcher::bytes).sum::<usize>()
    }
}
