//! `threshold`: a value is above or below a limit that a person set.
//!
//! ISA-18.2 names what keeps such an alarm quiet: a deadband (here `hysteresis`) and an on-delay (here a hold).

use cornjacket_domain::Sample;
use cornjacket_proto::events::anomaly_detected::Severity;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::limits::{Episode, Hold, Limits, Side};
use super::method::{Method, Prepared};
use super::parameters::{Grade, read};
use super::{Finding, Kind, Model, ParameterError, Verdict};

/// The kind. What its parameters mean is said at [`Parameters`].
#[derive(Debug)]
pub struct Threshold;

/// What a person sets. The unit of values is the series'.
///
/// The score is ½ at the limit, 0 from a `scale` inside it, ¾ at a `scale` outside it. A [`super::Bar`] moves each limit
/// outwards by `factor - 1` scales.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// What is above it is an anomaly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upper: Option<f64>,
    /// What is below it is an anomaly. At least one of the two is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lower: Option<f64>,
    /// How far a value must be back inside before the anomaly is over. 0 unless given.
    pub hysteresis: f64,
    /// How far outside is considerable. Unless given half of what lies between the limits, or of one limit its distance from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// For how many seconds all samples must be outside. 0 unless given.
    pub hold_seconds: f64,
    /// How many samples in a row must be outside. 1 unless given.
    pub hold_samples: u32,
    severity: Grade,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            upper: None,
            lower: None,
            hysteresis: 0.0,
            scale: None,
            hold_seconds: 0.0,
            hold_samples: 1,
            severity: Grade::default(),
        }
    }
}

impl Kind for Threshold {
    fn name(&self) -> &'static str {
        "threshold"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn example(&self) -> Value {
        json!({ "upper": 80.0, "hysteresis": 2.0, "hold_seconds": 600.0 })
    }

    fn configure(&self, parameters: &Value) -> Result<Box<dyn Model>, ParameterError> {
        let parameters: Parameters = read(parameters)?;
        let Parameters { upper, lower, hysteresis, scale, .. } = parameters;
        let limits = Limits { upper, lower, hysteresis, scale }.checked("upper", "lower")?;
        let hold = Hold::checked(parameters.hold_seconds, parameters.hold_samples)?;
        Ok(Prepared::model(self, Ready { limits, hold, parameters }))
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Ready {
    #[serde(skip)]
    limits: Limits,
    #[serde(skip)]
    hold: Hold,
    parameters: Parameters,
}

impl Method for Ready {
    type State = Episode;

    fn observe(&self, episode: &mut Episode, sample: &Sample, factor: f64) -> Verdict {
        if !sample.value.is_finite() {
            return Verdict::default();
        }
        let place = self.limits.place(sample.value, factor);
        let side = episode.step(sample.time, &place, self.hold);
        let finding = side.map(|side| found(self.parameters.severity.severity(), side));
        Verdict { score: Some(place.score), expected: None, finding }
    }
}

fn found(severity: Severity, side: Side) -> Finding {
    let what = match side {
        Side::Above => "above",
        Side::Below => "below",
    };
    Finding { severity, contributions: vec![(what, 1.0)] }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::laws::{findings, watch};
    use super::super::{Bar, Feedback};
    use super::*;

    fn begins(parameters: &Value, values: &[f64]) -> Vec<usize> {
        let model = Threshold.configure(parameters).expect("parameters");
        let samples = watch(values.iter().zip(0..).map(|(value, second)| (f64::from(second), *value)));
        findings(model.as_ref(), &samples)
    }

    #[test]
    fn an_anomaly_begins_once_and_again_only_after_it_was_over() {
        let parameters = json!({ "upper": 10, "hysteresis": 2 });
        assert_eq!(begins(&parameters, &[9.0, 11.0, 12.0, 9.5, 11.0, 8.0, 11.0]), [1, 6]);
        assert_eq!(
            begins(&json!({ "upper": 10 }), &[10.0, 11.0, 9.5, 11.0]),
            [1, 3],
            "at the limit is inside"
        );
    }

    #[test]
    fn sides_are_anomalies_of_their_own() {
        assert_eq!(begins(&json!({ "upper": 10, "lower": 0 }), &[11.0, -1.0, -2.0, 11.0]), [0, 1, 3]);
    }

    #[test]
    fn it_must_hold_for_a_time_or_a_count() {
        let values = [11.0, 11.0, 9.0, 11.0, 11.0, 11.0, 11.0];
        assert_eq!(begins(&json!({ "upper": 10, "hold_seconds": 2 }), &values), [5]);
        assert_eq!(begins(&json!({ "upper": 10, "hold_samples": 2 }), &values), [1, 4]);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (parameters, field) in [
            (json!({}), "upper"),
            (json!({ "upper": 1, "lower": 1 }), "upper"),
            (json!({ "upper": 1, "hysteresis": -1 }), "hysteresis"),
            (json!({ "upper": 1, "lower": 0, "hysteresis": 1 }), "hysteresis"),
            (json!({ "upper": 1, "scale": 0 }), "scale"),
            (json!({ "upper": 1, "hold_samples": 0 }), "hold_samples"),
            (json!({ "upper": 1, "hold_seconds": -1 }), "hold_seconds"),
            (json!({ "upper": 1, "severity": "dire" }), "severity"),
            (json!({ "uper": 1 }), "uper"),
        ] {
            let error = Threshold.configure(&parameters).expect_err("refused");
            assert_eq!(error.field, field, "{error}");
        }
    }

    #[test]
    fn a_false_alarm_moves_the_limit_by_a_quarter_of_the_scale() {
        let model = Threshold.configure(&json!({ "upper": 80 })).expect("parameters");
        let mut detector = model.start(0);
        detector.learn(Feedback::FalseAlarm);
        let samples = watch([(0.0, 100.0), (1.0, 101.0)]);
        let verdicts = samples.iter().map(|sample| detector.observe(sample).finding.is_some());
        assert_eq!(verdicts.collect::<Vec<_>>(), [false, true]);
    }

    proptest! {
        #[test]
        fn the_score_grows_with_the_distance(one in -1e3..1e3_f64, other in -1e3..1e3_f64, alarms in 0..9_usize) {
            let limits = Limits { upper: Some(50.0), lower: None, hysteresis: 0.0, scale: None };
            let bar = (0..alarms).fold(Bar::default(), |bar, _| bar.after(Feedback::FalseAlarm));
            let (low, high) = (one.min(other), one.max(other));
            let (low, high) = (limits.place(low, bar.factor()), limits.place(high, bar.factor()));
            prop_assert!(low.score <= high.score && (0.0..=1.0).contains(&high.score));
            prop_assert_eq!(high.score > 0.5, high.beyond.is_some());
        }
    }
}
