//! Detectors: what finds a sample of a series unusual.
//!
//! A [`Kind`] is a file of this module and a line of [`KINDS`]. Given parameters it is a [`Model`], which watches any number
//! of series with a [`Detector`] each. Detectors are deterministic: what they say follows from the model, the seed and the
//! samples in their order, bit for bit, whatever restarts and moves lie between. They know no clock but the samples'.

pub mod gaussian;
mod limits;
mod method;
mod parameters;
pub mod random_cut_forest;
pub mod rate_of_change;
pub mod remote;
pub mod seasonal;
pub mod silence;
pub mod threshold;

#[cfg(test)]
pub(crate) mod laws;
#[cfg(test)]
mod speed;

use std::fmt::Debug;
use std::time::Duration;

use cornjacket_domain::series::COUNTS;
use cornjacket_domain::{Sample, SeriesKey, digest_of};
use cornjacket_proto::events::anomaly_detected::Severity;
use cornjacket_store::Draft;

pub use self::remote::Remote;
use crate::name;

/// All kinds that run in this process, in the order in which they are listed to people. Beside them is [`remote`].
pub const KINDS: &[&dyn Kind] = &[
    &threshold::Threshold,
    &rate_of_change::RateOfChange,
    &silence::Silence,
    &seasonal::Seasonal,
    &gaussian::WindowedGaussian,
    &random_cut_forest::RandomCutForest,
];

/// What a model is, by who runs it.
#[derive(Debug)]
pub enum Made {
    /// This process, on a sample's way to its series.
    Here(Box<dyn Model>),
    /// A model server, which is asked beside that way.
    Remote(Box<Remote>),
}

/// A kind that models may watch with.
#[derive(Clone, Debug, PartialEq)]
pub struct Offered {
    /// Its name in settings, scores and anomalies.
    pub name: &'static str,
    /// The version of its code.
    pub version: &'static str,
    /// Parameters as an example, which it takes.
    pub example: serde_json::Value,
}

/// Those kinds that models may watch with, wherever they run.
pub fn offered() -> Vec<Offered> {
    let here = KINDS.iter().map(|kind| Offered {
        name: kind.name(),
        version: kind.version(),
        example: kind.example(),
    });
    let remote = Offered { name: remote::NAME, version: remote::VERSION, example: Remote::example() };
    here.chain([remote]).collect()
}

/// The model of a kind with parameters in JSON, as they were registered.
pub fn model(kind: &str, parameters: &str) -> Result<Made, ParameterError> {
    let parameters = serde_json::from_str(parameters)
        .map_err(|error| ParameterError { field: "parameters".to_owned(), problem: error.to_string() })?;
    made(kind, &parameters)
}

/// What is to be registered: a model of a kind for the series whose subject and metric match, with all its parameters.
pub fn draft(
    name: &str,
    kind: &str,
    (subjects, metrics): (&str, &str),
    parameters: &serde_json::Value,
) -> Result<Draft, ParameterError> {
    let known = offered().into_iter().find(|known| known.name == kind).ok_or_else(|| unknown(kind))?;
    name::check(name).map_err(|problem| ParameterError { field: "name".to_owned(), problem })?;
    for (field, text, most) in [("subjects", subjects, 256), ("metrics", metrics, 128)] {
        if text.is_empty() || text.chars().count() > most || text.chars().any(char::is_control) {
            let problem = format!("must be 1 to {most} characters, and no control characters");
            return Err(ParameterError { field: field.to_owned(), problem });
        }
    }
    let made = made(kind, parameters).map_err(|error| ParameterError {
        field: format!("parameters.{}", error.field),
        problem: error.problem,
    })?;
    if matches!(made, Made::Remote(_)) && metrics.starts_with(COUNTS) {
        let problem = format!("names under `{COUNTS}` are counts of events, which no server is asked about");
        return Err(ParameterError { field: "metrics".to_owned(), problem });
    }
    Ok(Draft {
        name: name.to_owned(),
        detector: known.name.to_owned(),
        code: known.version.to_owned(),
        subjects: subjects.to_owned(),
        metrics: metrics.to_owned(),
        parameters: made.parameters().to_string(),
    })
}

fn made(kind: &str, parameters: &serde_json::Value) -> Result<Made, ParameterError> {
    if kind == remote::NAME {
        return Remote::configure(parameters).map(Box::new).map(Made::Remote);
    }
    let known = KINDS.iter().find(|known| known.name() == kind).ok_or_else(|| unknown(kind))?;
    known.configure(parameters).map(Made::Here)
}

fn unknown(name: &str) -> ParameterError {
    let names: Vec<_> = offered().into_iter().map(|known| known.name).collect();
    ParameterError {
        field: "detector".to_owned(),
        problem: format!("{name:?} is none of {}", names.join(", ")),
    }
}

impl Made {
    /// All parameters, with the defaults filled in.
    pub fn parameters(&self) -> serde_json::Value {
        match self {
            Self::Here(model) => model.parameters(),
            Self::Remote(remote) => remote.parameters(),
        }
    }
}

/// A way of finding what is unusual.
pub trait Kind: Debug + Sync {
    /// Its name in settings, scores and anomalies.
    fn name(&self) -> &'static str;

    /// The version of its code: another one when it would say something else of the same samples.
    fn version(&self) -> &'static str;

    /// The model that parameters describe. Fields that are absent have their defaults, unknown ones are refused.
    fn configure(&self, parameters: &serde_json::Value) -> Result<Box<dyn Model>, ParameterError>;

    /// Parameters as an example, which it takes: for people to read, and for the laws that every kind is held to.
    fn example(&self) -> serde_json::Value {
        serde_json::json!({})
    }
}

/// A kind with its parameters.
pub trait Model: Debug + Send + Sync {
    /// All parameters, with the defaults filled in.
    fn parameters(&self) -> serde_json::Value;

    /// Whether its detectors say something of silence ([`Detector::patience`]).
    fn minds_silence(&self) -> bool {
        false
    }

    /// A detector for a series of which it has seen nothing. Whatever is random in it follows from the seed.
    fn start(&self, seed: u64) -> Box<dyn Detector>;

    /// The detector that [`Detector::save`] was called on, so that both say the same of all samples to come.
    fn restore(&self, state: &[u8]) -> Result<Box<dyn Detector>, StateError>;
}

/// What watches one series.
pub trait Detector: Debug + Send {
    /// Takes in the next sample, which is later than all before it (by time, then position).
    fn observe(&mut self, sample: &Sample) -> Verdict;

    /// After how long without a sample, in time in which one would have been seen, there is an anomaly, and which. It follows
    /// from the samples so far.
    fn patience(&self) -> Option<(Duration, Finding)> {
        None
    }

    /// Takes in what a person said of it. What it changes is bounded (see [`Bar`]).
    fn learn(&mut self, feedback: Feedback);

    /// Its state.
    fn save(&self) -> Vec<u8>;

    /// About how many bytes of memory it takes, all that it owns included.
    fn bytes(&self) -> usize;
}

/// What is random in a detector follows from the series and the model's name: the same in every version and on every machine.
pub fn seed(series: &SeriesKey, model: &str) -> u64 {
    let digest = digest_of([&series.subject, &series.metric, model]);
    u64::from_be_bytes(digest[..8].try_into().expect("a digest is longer"))
}

/// What a detector makes of a sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// How strange the sample is: 0 is ordinary, 1 is as strange as can be. Absent while it learns.
    pub score: Option<f64>,
    /// What it had expected, where it expects anything.
    pub expected: Option<Expected>,
    /// What it found, if an anomaly begins with this sample. As long as one lasts, there is no other.
    pub finding: Option<Finding>,
}

/// What a detector expects of a sample before it sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// The likeliest value.
    pub value: f64,
    /// Where the interval of ordinary values begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
}

/// The beginning of an anomaly.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is made of, by weight (together 1), the weightiest first: `above`, `below`, `value`, `hour_of_day`, ….
    pub contributions: Vec<(&'static str, f64)>,
}

/// What a person says of a detector's judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feedback {
    /// An anomaly was none.
    FalseAlarm,
    /// There was an anomaly that it did not find.
    Missed,
}

/// How much stranger than its parameters say something must be for a detector to speak: each false alarm raises the bar by a
/// quarter, up to eight times, and each anomaly that was missed takes one such step back. Never below where it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Bar(u8);

impl Bar {
    const HIGHEST: u8 = 8;
    const STEP: f64 = 1.25;

    /// The bar after one more word of a person.
    #[must_use]
    pub fn after(self, feedback: Feedback) -> Self {
        match feedback {
            Feedback::FalseAlarm => Self((self.0 + 1).min(Self::HIGHEST)),
            Feedback::Missed => Self(self.0.saturating_sub(1)),
        }
    }

    /// By what the margin beyond which something is unusual is multiplied: 1 to 1.25⁸.
    pub fn factor(self) -> f64 {
        Self::STEP.powi(i32::from(self.0))
    }
}

/// Parameters that a kind does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ParameterError {
    /// Which, from the outermost field on.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A state that this model did not save, or that is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the state of a detector cannot be read: {0}")]
pub struct StateError(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_not_asked_about_counts() {
        let of = |kind: &str, metrics: &str, parameters| draft("m", kind, ("*", metrics), &parameters);
        let refused =
            of(remote::NAME, "events.user.*", Remote::example()).expect_err("no sample of it comes");
        assert_eq!(refused.field, "metrics");
        assert!(of(remote::NAME, "eventual", Remote::example()).is_ok());
        assert!(of("threshold", "events.user.*", threshold::Threshold.example()).is_ok());
    }

    #[test]
    fn the_bar_is_bounded() {
        let raised = (0..100).fold(Bar::default(), |bar, _| bar.after(Feedback::FalseAlarm));
        assert!((raised.factor() - 1.25_f64.powi(8)).abs() < 1e-12);
        let lowered = (0..100).fold(raised, |bar, _| bar.after(Feedback::Missed));
        assert_eq!(lowered, Bar::default());
        assert!((lowered.factor() - 1.0).abs() < f64::EPSILON);
    }
}
