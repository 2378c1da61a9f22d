//! Which of many strange samples begins an anomaly: the refractory period, and what becomes familiar.

use cornjacket_domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::Parameters;

/// What is kept of strange samples.
///
/// After a peak there is a refractory period, in which only what is stranger still is news. Peaks that come again and again
/// become familiar: `habituation · ln(1 + n)` is taken off a score after `n` peaks that were as strange, which are forgotten by
/// halves. It is what makes one threshold serve series with rare and with frequent peaks.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Peaks {
    /// The time and strangeness of the last.
    last: Option<(i64, f64)>,
    /// How many there were, by strangeness; the last bin has the strangest.
    counts: Vec<f64>,
    /// As of when.
    counted: i64,
}

/// What is made of how strange a sample is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Judged {
    /// How strange it is, with what is familiar taken off.
    pub strange: f64,
    /// Whether the refractory period of another is on.
    pub held: bool,
}

impl Peaks {
    /// Below it nothing is a peak. Ordinary is 1.
    const LEAST: f64 = 1.5;
    const BINS: usize = 64;
    /// A bin is so wide.
    const WIDTH: f64 = 0.125;

    /// Takes in how strange a sample is.
    pub fn take(&mut self, time: Timestamp, strange: f64, parameters: &Parameters) -> Judged {
        if strange < Self::LEAST {
            return Judged { strange, held: false };
        }
        let now = time.as_micros();
        if let Some((then, peak)) = self.last
            && strange <= peak
            && seconds(then, now) <= parameters.refractory_seconds
        {
            return Judged { strange, held: true };
        }
        self.last = Some((now, strange));
        let as_strange = self.count(now, strange, parameters.forget_seconds);
        Judged { strange: strange - parameters.habituation * libm::log1p(as_strange), held: false }
    }

    /// How many peaks were as strange as this one, which is counted from now on.
    fn count(&mut self, now: i64, strange: f64, forget_seconds: f64) -> f64 {
        self.counts.resize(Self::BINS, 0.0);
        let kept = libm::exp2(-seconds(self.counted, now) / forget_seconds);
        self.counted = now;
        for count in &mut self.counts {
            *count *= kept;
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a strangeness is 0 to 9")]
        let bin = ((strange / Self::WIDTH) as usize).min(Self::BINS - 1);
        let as_strange = self.counts[bin..].iter().sum();
        self.counts[bin] += 1.0;
        as_strange
    }

    /// The bytes that it owns outside itself.
    pub fn owned_bytes(&self) -> usize {
        self.counts.capacity() * size_of::<f64>()
    }
}

#[allow(clippy::cast_precision_loss, reason = "three centuries are below 2^53 µs")]
fn seconds(from: i64, to: i64) -> f64 {
    to.saturating_sub(from).max(0) as f64 / 1e6
}
