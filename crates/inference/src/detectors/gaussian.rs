//! `windowed_gaussian`: a value lies in the tails of a normal distribution that was fitted to those before it.
//!
//! The baseline of the Numenta Anomaly Benchmark, step by step as there: the distribution is fitted anew with each sample until
//! the window is full, then moves on by steps.

use cornjacket_domain::Sample;
use cornjacket_proto::events::anomaly_detected::Severity;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::method::{Method, Prepared};
use super::parameters::{between, positive, read, refused};
use super::{Expected, Finding, Kind, Model, ParameterError, Verdict};

/// The kind. What its parameters mean is said at [`Parameters`].
#[derive(Debug)]
pub struct WindowedGaussian;

/// What a person sets.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// To how many samples the distribution is fitted, 2 to 10,000. The benchmark has 6,400.
    pub window: u32,
    /// By how many samples a full window moves on, 1 to `window`.
    pub step: u32,
    /// How many standard deviations from the mean an anomaly begins.
    pub deviations: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { window: 2_000, step: 100, deviations: 4.0 }
    }
}

impl Kind for WindowedGaussian {
    fn name(&self) -> &'static str {
        "windowed_gaussian"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn configure(&self, parameters: &Value) -> Result<Box<dyn Model>, ParameterError> {
        let parameters: Parameters = read(parameters)?;
        between("window", parameters.window, 2, 10_000)?;
        if parameters.step == 0 || parameters.step > parameters.window {
            return Err(refused("step", format!("must be 1 to the window, is {}", parameters.step)));
        }
        positive("deviations", parameters.deviations)?;
        Ok(Prepared::model(self, parameters))
    }
}

/// What is kept of a series.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    window: Vec<f64>,
    next: Vec<f64>,
    mean: f64,
    deviation: f64,
    outside: bool,
}

impl State {
    /// Stands for a deviation of zero.
    const LEAST_DEVIATION: f64 = 0.000_001;
    /// Values beyond it are taken for it, so that sums of squares are finite.
    const LARGEST: f64 = 1e150;

    fn take(&mut self, value: f64, parameters: &Parameters) {
        let (window, step) = (parameters.window as usize, parameters.step as usize);
        if self.window.len() < window {
            self.window.push(value);
        } else {
            self.next.push(value);
            if self.next.len() < step {
                return;
            }
            self.window.drain(..step);
            self.window.append(&mut self.next);
        }
        self.fit();
    }

    fn fit(&mut self) {
        #[allow(clippy::cast_precision_loss, reason = "at most 10,000")]
        let count = self.window.len() as f64;
        self.mean = self.window.iter().sum::<f64>() / count;
        let squares = self.window.iter().map(|value| (value - self.mean).powi(2));
        self.deviation = (squares.sum::<f64>() / count).sqrt();
        if self.deviation == 0.0 {
            self.deviation = Self::LEAST_DEVIATION;
        }
    }
}

impl Method for Parameters {
    type State = State;

    fn observe(&self, state: &mut State, sample: &Sample, factor: f64) -> Verdict {
        if !sample.value.is_finite() {
            return Verdict::default();
        }
        let value = sample.value.clamp(-State::LARGEST, State::LARGEST);
        if state.window.is_empty() {
            state.take(value, self);
            return Verdict::default();
        }
        let State { mean, deviation, .. } = *state;
        let far = (value - mean) / deviation;
        // As the benchmark computes it, so that ties are the same; then from its ½ to 1 to 0 to 1, which is exact.
        let score = 2.0 * (1.0 - 0.5 * libm::erfc(far.abs() / 2.0_f64.sqrt())) - 1.0;
        let ordinary = self.deviations * factor;
        let outside = far.abs() > ordinary;
        let begins = outside && !state.outside;
        state.outside = outside;
        state.take(value, self);
        let expected =
            Expected { value: mean, lower: mean - ordinary * deviation, upper: mean + ordinary * deviation };
        Verdict { score: Some(score), expected: Some(expected), finding: begins.then(|| found(far)) }
    }

    fn owned_bytes(state: &State) -> usize {
        (state.window.capacity() + state.next.capacity()) * size_of::<f64>()
    }
}

fn found(far: f64) -> Finding {
    let side = if far > 0.0 { "above" } else { "below" };
    Finding { severity: Severity::Warning, contributions: vec![(side, 1.0)] }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::laws::{findings, watch};
    use super::*;

    #[test]
    fn scores_are_the_mass_nearer_to_the_mean() {
        let model = WindowedGaussian.configure(&json!({ "window": 4, "step": 2 })).expect("parameters");
        let mut detector = model.start(0);
        let samples =
            watch([1.0, 3.0, 1.0, 3.0, 3.0, 9.0, 9.0].into_iter().zip(0..).map(|(v, s)| (f64::from(s), v)));
        let scores: Vec<_> = samples.iter().map(|sample| detector.observe(sample).score).collect();
        assert_eq!(scores[0], None);
        assert_eq!(scores[1], Some(1.0), "nothing varied yet");
        let one_deviation = 0.682_689_492_137;
        assert!((scores[4].expect("a score") - one_deviation).abs() < 1e-9);
        // The window has moved on to 1, 3, 3, 9.
        assert!((scores[6].expect("a score") - 0.904_419_295_5).abs() < 1e-9, "{:?}", scores[6]);
    }

    #[test]
    fn an_anomaly_begins_once() {
        let model = WindowedGaussian.configure(&json!({})).expect("parameters");
        let values =
            (0..200).map(|index| if (150..155).contains(&index) { 90.0 } else { f64::from(index % 5) });
        let samples = watch(
            values.enumerate().map(|(index, value)| (f64::from(u32::try_from(index).unwrap_or(0)), value)),
        );
        assert_eq!(findings(model.as_ref(), &samples).last(), Some(&150));
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let field = |parameters| WindowedGaussian.configure(&parameters).expect_err("refused").field;
        assert_eq!(field(json!({ "window": 1 })), "window");
        assert_eq!(field(json!({ "step": 0 })), "step");
        assert_eq!(field(json!({ "window": 10, "step": 11 })), "step");
        assert_eq!(field(json!({ "deviations": 0 })), "deviations");
    }
}
