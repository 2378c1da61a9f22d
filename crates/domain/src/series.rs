//! Time series: what devices measure, how often events happen, and summaries of it.

use crate::clock::Timestamp;

/// What metrics begin with that count events; the type of those events follows. No measurement has such a metric, so that a
/// series has one writer.
pub const COUNTS: &str = "events.";
/// Characters of a metric, at the most.
pub const METRIC_LENGTH: usize = 128;

/// What tells one series from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesKey {
    /// Who measures, or whom events are about.
    pub subject: String,
    /// What is measured, or counted.
    pub metric: String,
}

impl SeriesKey {
    /// The series that counts the events of a type about a subject.
    pub fn counting(subject: impl Into<String>, event_type: &str) -> Self {
        Self { subject: subject.into(), metric: format!("{COUNTS}{event_type}") }
    }

    /// The type of the events that it counts; nothing when it is measured.
    pub fn counts(&self) -> Option<&str> {
        self.metric.strip_prefix(COUNTS)
    }
}

/// One value of a series. Samples are ordered by time, those of one time by position.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The effective time of its event.
    pub time: Timestamp,
    /// The position of its event.
    pub position: u64,
    /// What was measured, or counted.
    pub value: f64,
}

impl Sample {
    const fn mark(&self) -> (Timestamp, u64) {
        (self.time, self.position)
    }
}

/// What is kept of the samples of a bucket; there is none of no samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many there are.
    pub count: u64,
    /// Their sum, added up in the order in which they were taken in.
    pub sum: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
    /// The earliest.
    pub first: Sample,
    /// The latest.
    pub last: Sample,
}

impl Summary {
    /// The summary of one sample.
    pub const fn of(sample: Sample) -> Self {
        let value = sample.value;
        Self { count: 1, sum: value, min: value, max: value, first: sample, last: sample }
    }

    /// The summary with one more sample, whatever its time.
    #[must_use]
    pub fn with(self, sample: Sample) -> Self {
        self.and(&Self::of(sample))
    }

    /// The summary of this one's samples and those of another.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        Self {
            count: self.count + other.count,
            sum: self.sum + other.sum,
            min: self.min.min(other.min),
            max: self.max.max(other.max),
            first: if other.first.mark() < self.first.mark() { other.first } else { self.first },
            last: if other.last.mark() > self.last.mark() { other.last } else { self.last },
        }
    }

    /// The mean.
    pub fn average(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "nobody has 2^53 samples in a bucket")]
        let count = self.count as f64;
        self.sum / count
    }
}

/// How long the buckets of roll-ups are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RollupStep {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
}

impl RollupStep {
    /// Every step.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// Its length in seconds.
    pub const fn seconds(self) -> u32 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }

    /// When the bucket of a time begins.
    pub const fn bucket_of(self, time: Timestamp) -> Timestamp {
        let length = self.seconds() as i64 * 1_000_000;
        Timestamp::from_micros(time.as_micros().div_euclid(length) * length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: i64, position: u64, value: f64) -> Sample {
        Sample { time: Timestamp::from_micros(seconds * 1_000_000), position, value }
    }

    #[test]
    fn the_order_of_arrival_decides_neither_first_nor_last() {
        let samples = [sample(2, 1, 5.0), sample(1, 2, -1.0), sample(2, 3, 4.0), sample(1, 4, 9.0)];
        let first = Summary::of(samples[0]);
        let summary = samples[1..].iter().fold(first, |summary, sample| summary.with(*sample));
        assert_eq!((summary.first, summary.last), (samples[1], samples[2]));
        assert_eq!((summary.count, summary.min.to_bits()), (4, (-1.0_f64).to_bits()));
        assert_eq!(summary.max.to_bits(), 9.0_f64.to_bits());
        assert_eq!(summary.average().to_bits(), (17.0_f64 / 4.0).to_bits());
    }

    #[test]
    fn buckets_begin_at_whole_steps_also_before_1970() {
        for (micros, minute) in [(0, 0), (59_999_999, 0), (60_000_000, 60_000_000), (-1, -60_000_000)] {
            let found = RollupStep::Minute.bucket_of(Timestamp::from_micros(micros));
            assert_eq!(found.as_micros(), minute, "{micros}");
        }
        assert_eq!(RollupStep::Hour.bucket_of(Timestamp::from_micros(-1)).as_micros(), -3_600_000_000);
    }
}
