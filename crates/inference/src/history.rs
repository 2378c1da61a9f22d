//! What a series was, as far as a forecast needs to know: from the store, in steps.
//!
//! Steps are whole ones since 1970. Where roll-ups are not cut by them, their means are those of the roll-ups; shorter ones read
//! samples. The last step counts as history only when it is over, so that it is not the mean of its beginning.

use std::time::Duration;

use cornjacket_domain::{RollupStep, Sample, SeriesKey, Summary, Timestamp};
use cornjacket_store::{SeriesId, Snapshot, StoreError, TimeRange};

use crate::forecasters::ForecastError;
use crate::forecasters::regularise::usual_gap;

/// Steps of history: fitting forecasters to them takes about a second.
const STEPS: u64 = 2_000;
/// The longest horizon in steps: history must be several times as long, and it takes as long as all of it to show more.
pub const MOST_HORIZON: u64 = 500;
/// Steps of a horizon where nobody says how long one is, at the most.
const USUAL_HORIZON: u32 = 100;
/// Samples that are read for one forecast, at the most: of more, the newest.
const MOST_SAMPLES: u32 = 100_000;
/// How far back samples are looked at to tell what usually lies between two of them, until there are enough.
const GAP_WITHIN: [Duration; 3] =
    [Duration::from_hours(1), Duration::from_hours(24), Duration::from_hours(24 * 30)];
const ENOUGH_GAPS: usize = 20;
const MOST_GAPS: u32 = 1_000;
const SHORTEST: Duration = Duration::from_millis(1);
/// Steps that clocks and calendars show, in milliseconds.
const STEP_MILLIS: [u64; 24] = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000,
    300_000, 600_000, 900_000, 1_800_000, 3_600_000, 21_600_000, 86_400_000,
];

/// What a step is in a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepValue {
    /// The mean of its samples; what has none is not known.
    Mean,
    /// The most that it came to; what has none came to nothing.
    Most,
}

impl StepValue {
    /// Of a series: what is measured has a mean, and what is counted comes to so many in a minute.
    pub fn of(series: &SeriesKey) -> Self {
        if series.counts().is_some() { Self::Most } else { Self::Mean }
    }

    /// The shortest step that is sensible.
    const fn shortest(self) -> Duration {
        match self {
            Self::Mean => SHORTEST,
            Self::Most => Duration::from_mins(1),
        }
    }
}

/// What a forecast is to be about.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wanted {
    /// Which series.
    pub series: SeriesId,
    /// What its steps are.
    pub steps: StepValue,
    /// What is older is not looked at.
    pub oldest: Timestamp,
    /// How far to look ahead.
    pub horizon: Duration,
    /// How long a step is; by default as the series and the horizon make sensible.
    pub step: Option<Duration>,
}

/// What a series was.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Of each step its value, at its beginning, where it has one; or the samples themselves.
    pub samples: Vec<Sample>,
    /// How long a step is.
    pub step: Duration,
    /// Steps of the horizon.
    pub horizon: usize,
    /// The newest sample.
    pub last: Sample,
}

/// Why there is no history.
#[derive(Debug, thiserror::Error)]
pub enum NoHistory {
    /// The question or the series does not allow a forecast.
    #[error(transparent)]
    Refused(#[from] ForecastError),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl History {
    /// Reads it.
    pub async fn read(snapshot: &mut dyn Snapshot, wanted: &Wanted) -> Result<Self, NoHistory> {
        let latest = snapshot.latest(wanted.series, wanted.oldest).await?;
        let last = latest.ok_or(ForecastError::Empty)?;
        let gap = gap(snapshot, wanted, last.time).await?.unwrap_or(SHORTEST);
        let step = match wanted.step {
            Some(step) => checked(step)?,
            None => sensible(gap.max(wanted.horizon / USUAL_HORIZON)).max(wanted.steps.shortest()),
        };
        let horizon = horizon(wanted.horizon, step)?;
        let range = range(wanted.oldest, last.time, gap, step);
        let samples = read(snapshot, wanted, range, step).await?;
        Ok(Self { samples, step, horizon, last })
    }
}

fn refused(field: &'static str, problem: impl Into<String>) -> ForecastError {
    ForecastError::Asked { field, problem: problem.into() }
}

fn checked(step: Duration) -> Result<Duration, ForecastError> {
    if (SHORTEST..=Duration::from_hours(24 * 366)).contains(&step) {
        return Ok(step);
    }
    Err(refused("step", "must be between a millisecond and 366 days"))
}

/// How many steps it is long.
fn horizon(horizon: Duration, step: Duration) -> Result<usize, ForecastError> {
    let steps = horizon.as_micros().div_ceil(step.as_micros().max(1));
    let few = u64::try_from(steps).ok().filter(|steps| (1..=MOST_HORIZON).contains(steps));
    few.and_then(|steps| usize::try_from(steps).ok()).ok_or_else(|| {
        let step = step.as_secs_f64();
        refused("horizon", format!("must be 1 to {MOST_HORIZON} steps of {step} seconds, is {steps}"))
    })
}

/// What usually lies between two samples; nothing where there are no two.
async fn gap(
    snapshot: &mut dyn Snapshot,
    wanted: &Wanted,
    last: Timestamp,
) -> Result<Option<Duration>, StoreError> {
    let mut gap = None;
    for within in GAP_WITHIN {
        let range = TimeRange { start: (last - within).max(wanted.oldest), end: after(last) };
        let samples = snapshot.samples(wanted.series, range, None, MOST_GAPS).await?;
        gap = usual_gap(samples.iter().map(|sample| sample.time));
        if samples.len() > ENOUGH_GAPS {
            break;
        }
    }
    Ok(gap)
}

fn after(time: Timestamp) -> Timestamp {
    time + Duration::from_micros(1)
}

/// The shortest step of clocks and calendars that is not much shorter; days, where it is longer than one.
fn sensible(least: Duration) -> Duration {
    // What jitters about a minute is a minute.
    let least = least * 9 / 10;
    let known = STEP_MILLIS.into_iter().map(Duration::from_millis).find(|step| *step >= least);
    known.unwrap_or_else(|| {
        let day = Duration::from_hours(24);
        day * u32::try_from(least.as_micros().div_ceil(day.as_micros())).unwrap_or(366)
    })
}

/// The last steps that are over: so many, and not older than what is kept.
fn range(oldest: Timestamp, last: Timestamp, gap: Duration, step: Duration) -> TimeRange {
    let step = micros(step);
    // The next sample is expected a gap later: a step that it is not in is over.
    let next = (last + gap + gap / 2).as_micros();
    let first_open = (next.div_euclid(step) * step).min((last.as_micros().div_euclid(step) + 1) * step);
    let oldest = oldest.as_micros();
    let whole = oldest.saturating_add(step - 1).div_euclid(step) * step;
    let start = first_open.saturating_sub(step.saturating_mul(STEPS.cast_signed())).max(whole);
    TimeRange { start: Timestamp::from_micros(start), end: Timestamp::from_micros(first_open) }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

async fn read(
    snapshot: &mut dyn Snapshot,
    &Wanted { series, steps, .. }: &Wanted,
    range: TimeRange,
    step: Duration,
) -> Result<Vec<Sample>, StoreError> {
    let whole = |rollup: &RollupStep| micros(step) % (i64::from(rollup.seconds()) * 1_000_000) == 0;
    if let Some(rollup) = [RollupStep::Hour, RollupStep::Minute].into_iter().find(whole) {
        let rollups = snapshot.rollups(series, rollup, range).await?;
        return Ok(values(&rollups, micros(step), steps));
    }
    let minutes = snapshot.rollups(series, RollupStep::Minute, minutes_of(range)).await?;
    let range = TimeRange { start: range.start.max(newest(&minutes)), ..range };
    snapshot.samples(series, range, None, MOST_SAMPLES).await
}

/// The minutes that have a part in a range.
fn minutes_of(range: TimeRange) -> TimeRange {
    TimeRange { start: RollupStep::Minute.bucket_of(range.start), ..range }
}

/// From when on there are no more samples than may be read.
fn newest(minutes: &[(Timestamp, Summary)]) -> Timestamp {
    let mut left = u64::from(MOST_SAMPLES);
    let too_many = minutes.iter().rev().find(|(_, summary)| {
        let fits = summary.count <= left;
        left = left.saturating_sub(summary.count);
        !fits
    });
    too_many.map_or(Timestamp::from_micros(i64::MIN), |(minute, _)| *minute + Duration::from_mins(1))
}

/// The value of each step that has one, at its beginning.
fn values(rollups: &[(Timestamp, Summary)], step: i64, of: StepValue) -> Vec<Sample> {
    let mut cells: Vec<(i64, Summary)> = Vec::new();
    for (bucket, summary) in rollups {
        let cell = bucket.as_micros().div_euclid(step) * step;
        match cells.last_mut() {
            Some((last, known)) if *last == cell => *known = known.and(summary),
            _ => cells.push((cell, *summary)),
        }
    }
    let mut values: Vec<Sample> = Vec::with_capacity(cells.len());
    for (cell, summary) in cells {
        let (time, position) = (Timestamp::from_micros(cell), summary.last.position);
        let value = match of {
            StepValue::Mean => summary.average(),
            StepValue::Most => {
                values.extend(nothing_until(values.last(), time, step));
                summary.max
            }
        };
        values.push(Sample { time, position, value });
    }
    values
}

/// Steps in which nothing happened, after one and before the next that has something.
fn nothing_until(last: Option<&Sample>, next: Timestamp, step: i64) -> Vec<Sample> {
    let Some(Sample { time, position, .. }) = last.copied() else { return Vec::new() };
    let steps = (next.as_micros() - time.as_micros()) / step;
    let nothing = |count| Sample {
        time: Timestamp::from_micros(time.as_micros() + count * step),
        position,
        value: 0.0,
    };
    (1..steps).map(nothing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u64) -> Timestamp {
        Timestamp::default() + SECOND * u32::try_from(seconds).expect("small")
    }

    #[test]
    fn steps_are_those_of_clocks() {
        for (millis, step) in [(1, 1), (3, 5), (900, 1_000), (1_050, 1_000), (1_200, 2_000), (61_000, 60_000)]
        {
            assert_eq!(sensible(Duration::from_millis(millis)), Duration::from_millis(step), "{millis}");
        }
        let day = Duration::from_hours(24);
        assert_eq!((sensible(day * 2), sensible(Duration::from_hours(7))), (day * 2, day));
        assert!(STEP_MILLIS.is_sorted());
    }

    #[test]
    fn a_step_that_is_not_over_is_no_history() {
        let ends = |last, gap, step| range(at(0), at(last), SECOND * gap, SECOND * step).end;
        assert_eq!(ends(659, 1, 60), at(660), "the next sample is in the next minute");
        assert_eq!(ends(640, 1, 60), at(600), "more of this minute is to come");
        assert_eq!(ends(660, 60, 60), at(720), "a sample for each step");
        assert_eq!(ends(660, 600, 60), at(720), "fewer than that");
    }

    #[test]
    fn history_is_so_many_whole_steps_of_what_is_kept() {
        let of = |oldest| range(at(oldest), at(999_999), SECOND, SECOND * 60);
        assert_eq!(of(0), TimeRange { start: at(1_000_020 - 60 * 2_001), end: at(1_000_020 - 60) });
        assert_eq!(of(990_001).start, at(990_060));
    }

    #[test]
    fn horizons_are_whole_steps_and_not_too_many() {
        assert_eq!(horizon(SECOND * 61, SECOND * 60).ok(), Some(2));
        for wrong in [Duration::ZERO, SECOND * 30_001] {
            let refused = horizon(wrong, SECOND * 60);
            assert!(matches!(refused, Err(ForecastError::Asked { field: "horizon", .. })), "{refused:?}");
        }
        assert!(matches!(checked(Duration::ZERO), Err(ForecastError::Asked { field: "step", .. })));
    }

    fn summary(values: &[f64]) -> Summary {
        let sample = |(value, position): (&f64, u64)| Sample { time: at(0), position, value: *value };
        let mut samples = values.iter().zip(1..).map(sample);
        let first = Summary::of(samples.next().expect("one"));
        samples.fold(first, Summary::with)
    }

    #[test]
    fn a_mean_is_that_of_all_samples_of_the_step() {
        let minutes = [(at(0), summary(&[1.0])), (at(60), summary(&[4.0, 4.0])), (at(240), summary(&[7.0]))];
        let means = values(&minutes, 120_000_000, StepValue::Mean);
        let means: Vec<_> = means.iter().map(|sample| (sample.time, sample.value)).collect();
        assert_eq!(means, [(at(0), 3.0), (at(240), 7.0)]);
    }

    #[test]
    fn a_count_is_the_most_that_a_minute_of_the_step_came_to() {
        let minutes = [(at(0), summary(&[1.0])), (at(60), summary(&[1.0, 2.0])), (at(480), summary(&[1.0]))];
        let counts = values(&minutes, 120_000_000, StepValue::Most);
        let counts: Vec<_> = counts.iter().map(|sample| (sample.time, sample.value)).collect();
        assert_eq!(counts, [(at(0), 2.0), (at(120), 0.0), (at(240), 0.0), (at(360), 0.0), (at(480), 1.0)]);
        let of = |key: &SeriesKey| StepValue::of(key).shortest();
        assert_eq!(of(&SeriesKey::counting("ann", "login")), SECOND * 60);
        assert_eq!(of(&SeriesKey { subject: "ann".into(), metric: "load".into() }), SHORTEST);
    }

    #[test]
    fn of_too_many_samples_the_newest_are_read() {
        let many = Summary { count: 60_000, ..summary(&[1.0]) };
        assert_eq!(newest(&[(at(0), many), (at(60), many), (at(120), summary(&[1.0]))]), at(60));
        assert!(newest(&[(at(0), many)]) < at(0));
    }
}
