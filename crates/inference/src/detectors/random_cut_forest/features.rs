//! What of a sample the forests are shown.

use cornjacket_domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::super::Expected;
use super::forest::Forest;

/// What of a sample a forest is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// The value.
    Value,
    /// The mean of late, by exponential weights: a level that lasts too long.
    Trend,
    /// By how much the value differs from the usual one at this time of day (UTC).
    HourOfDay,
}

impl Feature {
    /// Its name among contributions.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Trend => "trend",
            Self::HourOfDay => "hour_of_day",
        }
    }
}

const MICROS_PER_SECOND: f64 = 1e6;

/// What is kept of a series for its features. Values are kept as differences from the first: single precision would lose the
/// ups and downs of a counter that is far from zero.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Features {
    origin: Option<f64>,
    last: i64,
    trend: f64,
    samples: f64,
    day: Day,
}

/// The features of a sample.
#[derive(Debug)]
pub(super) struct Seen {
    value: f64,
    trend: f64,
    hour_of_day: Option<f64>,
    /// What is usual at this time of day.
    pub expected: Option<Expected>,
}

impl Seen {
    /// A feature, if there is enough to tell it.
    pub fn get(&self, feature: Feature) -> Option<f64> {
        match feature {
            Feature::Value => Some(self.value),
            Feature::Trend => Some(self.trend),
            Feature::HourOfDay => self.hour_of_day,
        }
    }
}

impl Features {
    /// Takes in a sample, of a finite value.
    pub fn take(&mut self, time: Timestamp, value: f64, trend_seconds: f64) -> Seen {
        let origin = *self.origin.get_or_insert(value);
        let value = (value - origin).clamp(-Forest::LARGEST, Forest::LARGEST);
        self.follow(time, value, trend_seconds);
        let usual = self.day.take(time, value);
        let expected = usual.map(|(usual, spread)| {
            let value = origin + usual;
            Expected { value, lower: value - spread, upper: value + spread }
        });
        let hour_of_day = usual.map(|(usual, _)| value - usual);
        Seen { value, trend: self.trend, hour_of_day, expected }
    }

    fn follow(&mut self, time: Timestamp, value: f64, trend_seconds: f64) {
        let passed = time.as_micros().saturating_sub(self.last).max(0);
        self.last = time.as_micros();
        self.samples += 1.0;
        #[allow(clippy::cast_precision_loss, reason = "three centuries are below 2^53 µs")]
        let passed = passed as f64 / MICROS_PER_SECOND;
        let weight = (1.0 - libm::exp(-passed / trend_seconds)).max(1.0 / self.samples);
        self.trend += weight * (value - self.trend);
    }

    /// The bytes that it owns outside itself.
    pub fn owned_bytes(&self) -> usize {
        self.day.bins.capacity() * size_of::<Bin>()
    }
}

/// What is usual at which time of day: a mean for each quarter of an hour, over the days by exponential weights.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Day {
    bins: Vec<Bin>,
    /// The mean square of what differs from the usual, and of how many.
    square: f64,
    differences: f64,
}

/// A quarter of an hour.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Bin {
    usual: Option<f64>,
    day: i64,
    sum: f64,
    count: f64,
}

impl Day {
    const BINS: i64 = 96;
    const MICROS: i64 = 86_400_000_000;
    /// The weight of a new day beside those before it.
    const WEIGHT: f64 = 1.0 / 3.0;
    /// Over how many differences at most their square is averaged.
    const MEMORY: f64 = 2_000.0;
    /// How many deviations from the usual are ordinary.
    const ORDINARY: f64 = 3.0;

    /// What is usual at this time and by how much values ordinarily differ from it, if a day was seen before.
    fn take(&mut self, time: Timestamp, value: f64) -> Option<(f64, f64)> {
        if self.bins.is_empty() {
            self.bins = vec![Bin::default(); usize::try_from(Self::BINS).unwrap_or_default()];
        }
        let micros = time.as_micros();
        let bin = micros.rem_euclid(Self::MICROS) / (Self::MICROS / Self::BINS);
        let bin = self.bins.get_mut(usize::try_from(bin).ok()?)?;
        let usual = bin.take(micros.div_euclid(Self::MICROS), value)?;
        let difference = value - usual;
        self.differences = (self.differences + 1.0).min(Self::MEMORY);
        let spread = Self::ORDINARY * self.square.sqrt();
        self.square += (difference * difference - self.square) / self.differences;
        Some((usual, spread))
    }
}

impl Bin {
    fn take(&mut self, day: i64, value: f64) -> Option<f64> {
        if self.count > 0.0 && day != self.day {
            let mean = self.sum / self.count;
            self.usual = Some(self.usual.map_or(mean, |usual| usual + Day::WEIGHT * (mean - usual)));
            (self.sum, self.count) = (0.0, 0.0);
        }
        self.day = day;
        self.sum += value;
        self.count += 1.0;
        self.usual
    }
}
