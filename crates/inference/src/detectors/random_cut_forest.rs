//! `random_cut_forest`: a value, a level or a departure from the time of day is unlike those before it.
//!
//! One small forest (Guha, Mishra, Roy and Schrijvers 2016) for each [`Feature`] says how far a sample stands apart; the
//! strangest feature decides, and is what a finding names. What recurs becomes familiar, and after an anomaly there is a
//! refractory period; see [`peaks`]. For as long as a series has not been seen for `warm_up` samples nothing is said.

use std::sync::Arc;

use cornjacket_domain::Sample;
use cornjacket_proto::events::anomaly_detected::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;

mod features;
mod forest;
mod peaks;

use self::features::{Features, Seen};
use self::forest::Forest;
use self::peaks::Peaks;
use super::method::Seal;
use super::parameters::{between, not_negative, positive, read, refused};
use super::{Bar, Detector, Feedback, Finding, Kind, Model, ParameterError, StateError, Verdict};

pub use self::features::Feature;

/// The kind. What its parameters mean is said at [`Parameters`].
#[derive(Debug)]
pub struct RandomCutForest;

/// What a person sets.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// What the forests are shown; each has its own.
    pub features: Vec<Feature>,
    /// Trees in a forest, 1 to 250: more are steadier, and take memory and time in proportion.
    pub trees: u32,
    /// Samples that a tree keeps, 16 to 256.
    pub samples: u32,
    /// By how much, for each sample that passes, the chance of an older one to be kept falls: 0 to 1.
    pub decay: f64,
    /// After how many samples there is a score, at least 16.
    pub warm_up: u32,
    /// Over how many seconds the trend is a mean.
    pub trend_seconds: f64,
    /// For how many seconds after an anomaly only a stranger one is another.
    pub refractory_seconds: f64,
    /// How fast what recurs becomes familiar: 0 for not at all.
    pub habituation: f64,
    /// After how many seconds half of what has become familiar is forgotten.
    pub forget_seconds: f64,
    /// From which score on something is an anomaly: above 0 and below the highest that the samples allow.
    pub threshold: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            features: vec![Feature::Value, Feature::Trend, Feature::HourOfDay],
            trees: 15,
            samples: 64,
            decay: 1e-4,
            warm_up: 200,
            trend_seconds: 3.0 * 3_600.0,
            refractory_seconds: 86_400.0,
            habituation: 0.6,
            forget_seconds: 60.0 * 86_400.0,
            threshold: 0.3,
        }
    }
}

impl Parameters {
    fn checked(self) -> Result<Self, ParameterError> {
        if self.features.is_empty() {
            return Err(refused("features", "must not be empty"));
        }
        if self.features.iter().enumerate().any(|(index, one)| self.features[..index].contains(one)) {
            return Err(refused("features", "must differ"));
        }
        between("trees", self.trees, 1, 250)?;
        between("samples", self.samples, 16, 256)?;
        between("warm_up", self.warm_up, 16, 1_000_000)?;
        not_negative("decay", self.decay)?;
        if self.decay > 1.0 {
            return Err(refused("decay", format!("must be at most 1, is {}", self.decay)));
        }
        positive("trend_seconds", self.trend_seconds)?;
        not_negative("refractory_seconds", self.refractory_seconds)?;
        not_negative("habituation", self.habituation)?;
        positive("forget_seconds", self.forget_seconds)?;
        let strangest = self.strangest();
        if self.threshold > 0.0 && self.threshold < strangest {
            return Ok(self);
        }
        let problem =
            format!("must be above 0 and below {strangest:.2} with these samples, is {}", self.threshold);
        Err(refused("threshold", problem))
    }

    /// A score of what the forests say: 0 where it is ordinary (1), 1 where it is as strange as the largest sample can tell.
    /// The scale is the same for all samples, so that a threshold means the same.
    fn score(strange: f64) -> f64 {
        ((strange - 1.0) / 7.0).clamp(0.0, 1.0)
    }

    /// The highest score that there is with a sample of this size: its logarithm's.
    fn strangest(&self) -> f64 {
        Self::score(libm::log2(1.0 + f64::from(self.samples)))
    }

    /// From which score on something is an anomaly once people said what they said: of what lies between the threshold and the
    /// highest score, a part that gets smaller as the bar is raised is left.
    fn bar(&self, bar: Bar) -> f64 {
        let strangest = self.strangest();
        strangest - (strangest - self.threshold) / bar.factor()
    }

    fn severity(&self, score: f64, bar: f64) -> Severity {
        if score >= f64::midpoint(bar, self.strangest()) { Severity::Critical } else { Severity::Warning }
    }
}

impl Kind for RandomCutForest {
    fn name(&self) -> &'static str {
        "random_cut_forest"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn configure(&self, parameters: &Value) -> Result<Box<dyn Model>, ParameterError> {
        let parameters = Arc::new(read::<Parameters>(parameters)?.checked()?);
        let text = serde_json::to_value(parameters.as_ref()).unwrap_or_default().to_string();
        let seal = Seal::default().with(self.name()).with(self.version()).with(&text);
        Ok(Box::new(Prepared { parameters, seal }))
    }
}

#[derive(Debug)]
struct Prepared {
    parameters: Arc<Parameters>,
    seal: Seal,
}

impl Model for Prepared {
    fn parameters(&self) -> Value {
        serde_json::to_value(self.parameters.as_ref()).unwrap_or_default()
    }

    fn start(&self, seed: u64) -> Box<dyn Detector> {
        let state = State::new(&self.parameters, seed);
        Box::new(Watcher { parameters: Arc::clone(&self.parameters), seal: self.seal, state })
    }

    fn restore(&self, state: &[u8]) -> Result<Box<dyn Detector>, StateError> {
        let state = self.seal.open(state)?;
        Ok(Box::new(Watcher { parameters: Arc::clone(&self.parameters), seal: self.seal, state }))
    }
}

#[derive(Debug)]
struct Watcher {
    parameters: Arc<Parameters>,
    seal: Seal,
    state: State,
}

/// What is kept of a series.
#[derive(Debug, Serialize, Deserialize)]
struct State {
    seed: u64,
    bar: Bar,
    features: Features,
    forests: Vec<Forest>,
    peaks: Peaks,
    /// Until when there is no other finding.
    quiet_until: Option<i64>,
}

impl State {
    fn new(parameters: &Parameters, seed: u64) -> Self {
        let forests =
            (0..).zip(&parameters.features).map(|(index, _)| Forest::new(parameters, mixed(seed, index)));
        Self {
            seed,
            bar: Bar::default(),
            features: Features::default(),
            forests: forests.collect(),
            peaks: Peaks::default(),
            quiet_until: None,
        }
    }

    /// How strange each feature is. None of features that are not yet known, or of which too few were seen.
    fn strangeness(&mut self, seen: &Seen, parameters: &Parameters) -> Vec<(Feature, f64)> {
        let mut strange = Vec::with_capacity(self.forests.len());
        for ((index, forest), feature) in (0..).zip(&mut self.forests).zip(&parameters.features) {
            let Some(value) = seen.get(*feature) else { continue };
            let known = forest.seen() >= u64::from(parameters.warm_up);
            match forest.take(value) {
                Some(score) if known => strange.push((*feature, score)),
                Some(_) => {}
                None => *forest = Forest::new(parameters, mixed(self.seed, index)),
            }
        }
        strange.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        strange
    }
}

/// A seed of its own for each forest.
const fn mixed(seed: u64, index: u64) -> u64 {
    seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Detector for Watcher {
    fn observe(&mut self, sample: &Sample) -> Verdict {
        let (state, parameters) = (&mut self.state, self.parameters.as_ref());
        if !sample.value.is_finite() {
            return Verdict::default();
        }
        let seen = state.features.take(sample.time, sample.value, parameters.trend_seconds);
        let strange = state.strangeness(&seen, parameters);
        let Some(&(_, strangest)) = strange.first() else { return Verdict::default() };
        let judged = state.peaks.take(sample.time, strangest, parameters);
        let score = Parameters::score(judged.strange);
        let bar = parameters.bar(state.bar);
        let now = sample.time.as_micros();
        let begins = !judged.held && score >= bar && state.quiet_until.is_none_or(|until| until < now);
        if begins {
            state.quiet_until = Some(now.saturating_add(micros(parameters.refractory_seconds)));
        }
        let finding = begins.then(|| Finding {
            severity: parameters.severity(score, bar),
            contributions: contributions(&strange),
        });
        let score = if judged.held { score * HELD } else { score };
        Verdict { score: Some(score), expected: seen.expected, finding }
    }

    fn learn(&mut self, feedback: Feedback) {
        self.state.bar = self.state.bar.after(feedback);
    }

    fn save(&self) -> Vec<u8> {
        self.seal.close(&self.state)
    }

    fn bytes(&self) -> usize {
        let forests = self.state.forests.iter().map(|forest| forest.bytes(&self.parameters));
        let owned = self.state.features.owned_bytes() + self.state.peaks.owned_bytes();
        size_of::<Self>() + owned + forests.sum::<usize>()
    }
}

/// What is left of a score in the refractory period of a stranger one: it is part of the same anomaly.
const HELD: f64 = 0.25;

/// By how much each feature is stranger than an ordinary one, as parts of 1.
fn contributions(strange: &[(Feature, f64)]) -> Vec<(&'static str, f64)> {
    let above = |score: f64| (score - 1.0).max(0.0);
    let sum: f64 = strange.iter().map(|(_, score)| above(*score)).sum();
    let parts = strange.iter().map(|(feature, score)| (feature.name(), above(*score) / sum));
    parts.filter(|(_, part)| *part > 0.0).collect()
}

#[allow(clippy::cast_possible_truncation, reason = "saturates")]
fn micros(seconds: f64) -> i64 {
    (seconds * 1e6) as i64
}

#[cfg(test)]
mod tests;
