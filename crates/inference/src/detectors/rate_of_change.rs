//! `rate_of_change`: a value rises or falls faster than a person allows.
//!
//! The rate is that from the newest sample at least a window ago to the sample at hand. So no two samples of about the same
//! instant are ever divided by the nothing between them, and where samples are rarer than the window, it is the rate between
//! neighbours. Of a window [`SLOTS`] samples are kept, so that the window is longer by that part of it at most.

use std::collections::VecDeque;
use std::time::Duration;

use cornjacket_domain::Sample;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::limits::{Episode, Hold, Limits, Side};
use super::method::{Method, Prepared};
use super::parameters::{Grade, micros, positive, read, refused, some_seconds};
use super::{Finding, Kind, Model, ParameterError, Verdict};

/// How many samples of a window are kept at most, evenly spaced.
pub const SLOTS: i64 = 32;

/// The kind. What its parameters mean is said at [`Parameters`].
#[derive(Debug)]
pub struct RateOfChange;

/// What a person sets. Rates are in the series' unit per `per_seconds`.
///
/// The score is ½ at the limit, 0 from a `scale` inside it, ¾ at a `scale` outside it. A [`super::Bar`] moves each limit
/// outwards by `factor - 1` scales.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// To rise faster is an anomaly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rise: Option<f64>,
    /// To fall faster is an anomaly; above zero, as `rise`. At least one of the two is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fall: Option<f64>,
    /// The time that limits are for, in seconds. 1 unless given.
    pub per_seconds: f64,
    /// Over how many seconds the change is taken. 60 unless given.
    pub window_seconds: f64,
    /// How far a rate must be back inside before the anomaly is over. 0 unless given.
    pub hysteresis: f64,
    /// How far outside is considerable. Unless given half of what lies between the limits, or of one limit the limit itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// For how many seconds all rates must be outside. 0 unless given.
    pub hold_seconds: f64,
    /// How many rates in a row must be outside. 1 unless given.
    pub hold_samples: u32,
    severity: Grade,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            rise: None,
            fall: None,
            per_seconds: 1.0,
            window_seconds: 60.0,
            hysteresis: 0.0,
            scale: None,
            hold_seconds: 0.0,
            hold_samples: 1,
            severity: Grade::default(),
        }
    }
}

impl Kind for RateOfChange {
    fn name(&self) -> &'static str {
        "rate_of_change"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn example(&self) -> Value {
        json!({ "rise": 5.0, "fall": 5.0, "per_seconds": 60.0, "window_seconds": 300.0 })
    }

    fn configure(&self, parameters: &Value) -> Result<Box<dyn Model>, ParameterError> {
        let parameters: Parameters = read(parameters)?;
        let Parameters { rise, fall, per_seconds, hysteresis, scale, .. } = parameters;
        for (field, limit) in [("rise", rise), ("fall", fall)] {
            limit.map_or(Ok(()), |limit| positive(field, limit))?;
        }
        if rise.is_none() && fall.is_none() {
            return Err(refused("rise", "rise, fall or both must be given"));
        }
        let lower = fall.map(|fall| -fall);
        let limits = Limits { upper: rise, lower, hysteresis, scale }.checked("rise", "fall")?;
        let hold = Hold::checked(parameters.hold_seconds, parameters.hold_samples)?;
        some_seconds("per_seconds", per_seconds)?;
        let window = some_seconds("window_seconds", parameters.window_seconds)?;
        Ok(Prepared::model(self, Ready { limits, hold, window, parameters }))
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Ready {
    #[serde(skip)]
    limits: Limits,
    #[serde(skip)]
    hold: Hold,
    #[serde(skip)]
    window: Duration,
    parameters: Parameters,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct State {
    /// Times in microseconds with values: the first is the newest that is a window old, once there is one.
    kept: VecDeque<(i64, f64)>,
    episode: Episode,
}

impl Ready {
    /// The change per `per_seconds` up to a sample, once a window of samples is known.
    fn rate(&self, kept: &mut VecDeque<(i64, f64)>, sample: &Sample) -> Option<f64> {
        let (now, window) = (sample.time.as_micros(), micros(self.window));
        let is_old = |time: i64| now.saturating_sub(time) >= window;
        while kept.get(1).is_some_and(|(time, _)| is_old(*time)) {
            kept.pop_front();
        }
        let anchor = kept.front().copied().filter(|(time, _)| is_old(*time));
        if kept.back().is_none_or(|(time, _)| now.saturating_sub(*time) > window / SLOTS) {
            kept.push_back((now, sample.value));
        }
        let (time, value) = anchor?;
        let elapsed = seconds_of(now.saturating_sub(time));
        Some((sample.value - value) / elapsed * self.parameters.per_seconds)
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of 285 years are exact")]
fn seconds_of(micros: i64) -> f64 {
    micros as f64 / 1e6
}

impl Method for Ready {
    type State = State;

    fn observe(&self, state: &mut State, sample: &Sample, factor: f64) -> Verdict {
        if !sample.value.is_finite() {
            return Verdict::default();
        }
        let Some(rate) = self.rate(&mut state.kept, sample) else { return Verdict::default() };
        let place = self.limits.place(rate, factor);
        let side = state.episode.step(sample.time, &place, self.hold);
        let finding = side.map(|side| {
            let what = match side {
                Side::Above => "rise",
                Side::Below => "fall",
            };
            Finding { severity: self.parameters.severity.severity(), contributions: vec![(what, 1.0)] }
        });
        Verdict { score: Some(place.score), expected: None, finding }
    }

    fn owned_bytes(state: &State) -> usize {
        state.kept.capacity() * size_of::<(i64, f64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::super::laws::{findings, watch};
    use super::*;

    fn begins(parameters: &Value, samples: &[(f64, f64)]) -> Vec<usize> {
        let model = RateOfChange.configure(parameters).expect("parameters");
        findings(model.as_ref(), &watch(samples.iter().copied()))
    }

    #[test]
    fn a_rise_and_a_fall_are_found_once_each() {
        let ramp = |second: i32| f64::from(second.clamp(100, 150) - second.clamp(200, 250));
        let samples: Vec<_> = (0..400).map(|second| (f64::from(second), ramp(second))).collect();
        let found = begins(&json!({ "rise": 0.5, "fall": 0.5, "window_seconds": 10 }), &samples);
        assert_eq!(found, [106, 206]);
        assert_eq!(begins(&json!({ "fall": 30, "per_seconds": 60, "window_seconds": 10 }), &samples), [206]);
        assert!(begins(&json!({ "rise": 61, "per_seconds": 60, "window_seconds": 10 }), &samples).is_empty());
    }

    #[test]
    fn two_samples_of_an_instant_are_no_rise() {
        let samples: Vec<_> =
            (0..200).map(|index| (f64::from(index / 2) * 10.0, f64::from(index % 2))).collect();
        let model =
            RateOfChange.configure(&json!({ "rise": 0.11, "window_seconds": 10 })).expect("parameters");
        let mut detector = model.start(0);
        for sample in watch(samples) {
            let score = detector.observe(&sample).score;
            assert!(score.is_none_or(|score| score.is_finite() && score <= 0.5), "{score:?}");
        }
    }

    #[test]
    fn samples_rarer_than_the_window_are_compared_with_their_neighbours() {
        let samples = [(0.0, 0.0), (3_600.0, 10.0), (7_200.0, 5_000.0), (10_800.0, 5_000.0)];
        assert_eq!(begins(&json!({ "rise": 1, "window_seconds": 10 }), &samples), [2]);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (parameters, field) in [
            (json!({}), "rise"),
            (json!({ "rise": 0 }), "rise"),
            (json!({ "fall": -1 }), "fall"),
            (json!({ "rise": 1, "per_seconds": 0 }), "per_seconds"),
            (json!({ "rise": 1, "window_seconds": -5 }), "window_seconds"),
            (json!({ "rise": 1, "fall": 1, "hysteresis": 2 }), "hysteresis"),
            (json!({ "rise": 1, "window": 5 }), "window"),
        ] {
            let error = RateOfChange.configure(&parameters).expect_err("refused");
            assert_eq!(error.field, field, "{error}");
        }
    }
}
