//! From samples at any time to a regular series.

use std::collections::BTreeMap;
use std::time::Duration;

use cornjacket_domain::{Sample, Timestamp};

use super::ForecastError;

/// The most steps that a series is given.
pub const MOST_STEPS: i64 = 100_000;

/// A series with a value at every step.
#[derive(Clone, Debug, PartialEq)]
pub struct Regular {
    /// When the first step begins: a whole number of steps since 1970.
    pub start: Timestamp,
    /// How long a step is.
    pub step: Duration,
    /// The mean of the samples of each step, or what it was filled with.
    pub values: Vec<f64>,
    /// How many steps had no samples and were filled.
    pub filled: usize,
}

/// The regular series of samples in any order. A step without samples has the value of a season before, as long as that is
/// known, moved by what the nearest steps that have samples differ from theirs; without a season it lies on the line between
/// the two.
pub fn regularise(
    samples: &[Sample],
    step: Duration,
    season: Option<usize>,
) -> Result<Regular, ForecastError> {
    let refused = |field, problem: &str| ForecastError::Asked { field, problem: problem.into() };
    let micros = i64::try_from(step.as_micros()).ok().filter(|micros| *micros > 0);
    let micros = micros.ok_or_else(|| refused("step", "must be a microsecond or more"))?;
    let mut cells: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for sample in samples.iter().filter(|sample| sample.value.is_finite()) {
        let (count, mean) = cells.entry(sample.time.as_micros().div_euclid(micros)).or_default();
        *count += 1.0;
        *mean += (sample.value - *mean) / *count;
    }
    let (Some((first, _)), Some((last, _))) = (cells.first_key_value(), cells.last_key_value()) else {
        return Err(ForecastError::TooShort { have: 0, need: 1, enough_for: 0 });
    };
    let (first, last) = (*first, *last);
    if last.saturating_sub(first) >= MOST_STEPS {
        return Err(refused("step", "is too short for what lies between the first and the last sample"));
    }
    let known: Vec<Option<f64>> =
        (first..=last).map(|cell| cells.get(&cell).map(|(_, mean)| *mean)).collect();
    let filled = known.iter().filter(|value| value.is_none()).count();
    let start = Timestamp::from_micros(first.saturating_mul(micros));
    Ok(Regular { start, step, values: fill(&known, season.unwrap_or(0)), filled })
}

/// The median of what lies between neighbours, leaving out samples of the same instant. Times ascend.
pub fn usual_gap(times: impl IntoIterator<Item = Timestamp>) -> Option<Duration> {
    let mut last: Option<i64> = None;
    let mut gaps: Vec<i64> = Vec::new();
    for time in times {
        let now = time.as_micros();
        gaps.extend(last.map(|last| now.saturating_sub(last)).filter(|gap| *gap > 0));
        last = Some(now);
    }
    let middle = gaps.len() / 2;
    let gap = (!gaps.is_empty()).then(|| *gaps.select_nth_unstable(middle).1)?;
    u64::try_from(gap).ok().map(Duration::from_micros)
}

/// Both ends are known.
fn fill(known: &[Option<f64>], season: usize) -> Vec<f64> {
    let mut values: Vec<f64> = Vec::with_capacity(known.len());
    let mut index = 0;
    while index < known.len() {
        if let Some(value) = known[index] {
            values.push(value);
            index += 1;
            continue;
        }
        let length = known[index..].iter().take_while(|value| value.is_none()).count();
        let end = known.get(index + length).copied().flatten().unwrap_or_default();
        fill_gap(&mut values, length, end, season);
        index += length;
    }
    values
}

/// Fills a gap of so many steps after `values`, after which `end` follows.
#[expect(clippy::cast_precision_loss, reason = "a series has at most a hundred thousand steps")]
fn fill_gap(values: &mut Vec<f64>, length: usize, end: f64, season: usize) {
    let start = values.len();
    let seasonal = season > 1 && start > season;
    // A season before, as far as it reaches; a gap that is longer than a season repeats what it was filled with.
    let pattern: Vec<f64> = if seasonal {
        let mut past = values[start - 1 - season..].to_vec();
        for index in past.len()..length + 2 {
            past.push(past[index - season]);
        }
        past.truncate(length + 2);
        past
    } else {
        vec![0.0; length + 2]
    };
    let before = values.last().copied().unwrap_or(end) - pattern[0];
    let after = end - pattern[length + 1];
    for (index, shape) in pattern.iter().enumerate().take(length + 1).skip(1) {
        let part = index as f64 / (length + 1) as f64;
        values.push(shape + before + (after - before) * part);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn samples(known: impl IntoIterator<Item = (i64, f64)>) -> Vec<Sample> {
        let sample = |(seconds, value)| Sample {
            time: Timestamp::from_micros(seconds * 1_000_000),
            position: 1,
            value,
        };
        known.into_iter().map(sample).collect()
    }

    #[test]
    fn steps_are_means_and_gaps_lines() {
        let irregular = samples([(125, 10.0), (130, 20.0), (181, 7.0), (200, f64::NAN), (361, 13.0)]);
        let regular = regularise(&irregular, Duration::from_mins(1), None).expect("a series");
        assert_eq!(regular.start, Timestamp::from_micros(120_000_000));
        assert_eq!((regular.values, regular.filled), (vec![15.0, 7.0, 9.0, 11.0, 13.0], 2));
    }

    #[test]
    fn a_gap_has_the_shape_of_the_season_before() {
        let value =
            |second: i64| f64::from(u8::try_from(second % 6).unwrap_or_default()) + f64::from(second > 17);
        let gappy = samples(
            (0..30).filter(|second| !(13..22).contains(second)).map(|second| (second, value(second))),
        );
        let regular = regularise(&gappy, Duration::from_secs(1), Some(6)).expect("a series");
        assert_eq!((regular.values.len(), regular.filled), (30, 9));
        for (value_filled, second) in regular.values.iter().zip(0..) {
            assert!((value_filled - value(second)).abs() <= 0.6, "{second}: {value_filled}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        let second = Duration::from_secs(1);
        assert!(regularise(&[], second, None).is_err());
        assert!(regularise(&samples([(0, 1.0)]), Duration::ZERO, None).is_err());
        assert!(regularise(&samples([(0, 1.0), (1_000_000, 1.0)]), second, None).is_err());
    }

    proptest! {
        #[test]
        fn what_is_known_stays_and_the_rest_is_counted(
            known in prop::collection::btree_map(0..500_i64, -1e6..1e6_f64, 1..60),
            season in prop::option::of(0..40_usize),
        ) {
            let regular = regularise(&samples(known.clone()), Duration::from_secs(1), season).expect("a series");
            let first = *known.first_key_value().expect("one").0;
            prop_assert_eq!(regular.values.len() - regular.filled, known.len());
            for (second, value) in &known {
                let index = usize::try_from(second - first).expect("after the first");
                prop_assert!((regular.values[index] - value).abs() < 1e-9);
            }
            prop_assert!(regular.values.iter().all(|value| value.is_finite()));
        }
    }

    #[test]
    fn the_usual_gap_is_the_median_of_those_that_are_some() {
        let times =
            [0, 0, 10, 20, 20, 31, 41, 9_000].map(|second| Timestamp::from_micros(second * 1_000_000));
        assert_eq!(usual_gap(times), Some(Duration::from_secs(10)));
        assert_eq!(usual_gap([Timestamp::default(); 2]), None);
    }
}
