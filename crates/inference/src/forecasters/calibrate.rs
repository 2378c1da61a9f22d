//! How wide intervals must be: split-conformal prediction on rolling origins.
//!
//! A forecaster forecasts the last part of a history from up to [`ORIGINS`] origins in it. The interval of a step at a level
//! is the point plus and minus the ⌈(n + 1)·level⌉-th smallest of the n absolute errors at that step (Lei, G'Sell, Rinaldo,
//! Tibshirani and Wasserman 2018; per step of a horizon: Stankevičiūtė, Alaa and van der Schaar 2021). Where n is too small
//! for a level, the largest error is scaled by the ratio of the normal quantiles of the level and of n / (n + 1).
//!
//! Few errors tell a quantile badly, so that those of the steps beside it are looked at as well. They come from the same origins,
//! and follow from each other: of a pool of k errors of n origins the rank is ⌈k·⌈(n + 1)·level⌉ / n⌉, and n stays what is too
//! small for a level.

use super::seasonal_naive::SeasonalNaive;
use super::{Asked, Forecast, ForecastError, Forecaster, Interval, Record, Step};

/// From how many origins at most.
pub(crate) const ORIGINS: usize = 20;
/// From how many at least: nine errors have a 90 % interval.
const FEWEST_ORIGINS: usize = 9;
/// How many steps on either side a step's errors are pooled with. The first one has only those behind it, which err more: it is
/// forecast best where near origins err alike, and how much they do few of them do not tell.
const BESIDE: usize = 1;
/// The shortest history that a forecaster is tried on.
const FEWEST_STEPS: usize = 16;

/// What a forecaster did on a history.
#[derive(Debug)]
pub(crate) struct Trial<'a> {
    forecaster: &'a dyn Forecaster,
    /// For each step the absolute errors that its intervals are of.
    errors: Vec<Pool>,
    pub record: Record,
}

impl<'a> Trial<'a> {
    /// Lets a forecaster forecast what a history was.
    pub fn of(
        forecaster: &'a dyn Forecaster,
        history: &[f64],
        season: usize,
        asked: Asked<'_>,
    ) -> Result<Self, ForecastError> {
        asked.check()?;
        let origins = origins(history.len(), season, asked.horizon)?;
        let mut errors = vec![Vec::with_capacity(origins.len()); asked.horizon];
        let mut naive_errors = 0.0;
        for origin in &origins {
            let (past, future) = history.split_at(*origin);
            let points = forecaster.points(past, season, asked.horizon)?;
            for (errors, (point, value)) in errors.iter_mut().zip(points.iter().zip(future)) {
                errors.push((point - value).abs());
            }
            let repeated = SeasonalNaive.points(past, season, asked.horizon)?;
            naive_errors += mean(repeated.iter().zip(future).map(|(point, value)| (point - value).abs()));
        }
        let mae = mean(errors.iter().flatten().copied());
        let record = Record {
            origins: origins.len(),
            mae,
            relative_mae: ratio(mae, mean_of(naive_errors, origins.len())),
            mase: ratio(mae, naive_error(history, season)),
        };
        let errors = (0..errors.len()).map(|step| Pool::of(&errors, step)).collect();
        Ok(Self { forecaster, errors, record })
    }

    /// What it forecasts after that history.
    pub fn forecast(
        &self,
        history: &[f64],
        season: usize,
        asked: Asked<'_>,
    ) -> Result<Forecast, ForecastError> {
        let points = self.forecaster.points(history, season, asked.horizon)?;
        let step = |(value, errors): (f64, &Pool)| Step {
            value,
            intervals: asked
                .levels
                .iter()
                .map(|level| interval(value, *level, errors.width(*level)))
                .collect(),
        };
        Ok(Forecast {
            forecaster: self.forecaster.name(),
            version: self.forecaster.version(),
            steps: points.into_iter().zip(&self.errors).map(step).collect(),
            record: self.record,
        })
    }
}

fn interval(value: f64, level: f64, width: f64) -> Interval {
    Interval { level, lower: value - width, upper: value + width }
}

/// Where forecasts begin, the first origin first. They are apart by a number of steps that has no divisor in common with the
/// season, so that they fall on all parts of it.
fn origins(steps: usize, season: usize, horizon: usize) -> Result<Vec<usize>, ForecastError> {
    let first = FEWEST_STEPS.max(2 * season + 1);
    let need = first + horizon + FEWEST_ORIGINS - 1;
    if steps < need {
        let enough_for = (steps + horizon).saturating_sub(need);
        return Err(ForecastError::TooShort { have: steps, need, enough_for });
    }
    let last = steps - horizon;
    // Half of the history is history to all of them, where there is enough.
    let first = first.max((steps / 2).min(last + 1 - ORIGINS.min(last + 1 - first)));
    let count = ORIGINS.min(last + 1 - first);
    let widest = ((last - first) / (count - 1).max(1)).min(season.max(1) + 1).max(1);
    let apart = (1..=widest).rev().find(|apart| common_divisor(*apart, season.max(1)) == 1).unwrap_or(1);
    Ok((0..count).rev().map(|index| last - index * apart).collect())
}

fn common_divisor(one: usize, other: usize) -> usize {
    if other == 0 { one } else { common_divisor(other, one % other) }
}

/// The errors of a step, and of some steps beside it.
#[derive(Debug)]
struct Pool {
    /// Of all these steps, from all origins.
    ascending: Vec<f64>,
    steps: usize,
}

impl Pool {
    fn of(errors: &[Vec<f64>], step: usize) -> Self {
        let last = errors.len() - 1;
        // As many before as behind it, so that they err as it does; the last one has none behind it.
        let before = BESIDE.min(last - step).min(step);
        let beside = step - before..=(step + BESIDE).min(last);
        let pooled = &errors[beside];
        let mut ascending = pooled.concat();
        ascending.sort_unstable_by(f64::total_cmp);
        Self { ascending, steps: pooled.len() }
    }

    /// How far off a step is at most, with that probability.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank among twenty"
    )]
    fn width(&self, level: f64) -> f64 {
        let origins = (self.ascending.len() / self.steps) as f64;
        let rank = ((origins + 1.0) * level).ceil();
        if rank <= origins {
            return self.ascending[(rank as usize * self.steps).saturating_sub(1)];
        }
        let largest = self.ascending.last().copied().unwrap_or_default();
        largest * normal_quantile(level) / normal_quantile(origins / (origins + 1.0))
    }
}

/// By how many deviations a normal variable is off its mean at most, with that probability: bisected from the error function
/// of Abramowitz and Stegun 7.1.26, which is exact to 1.5·10⁻⁷.
pub(crate) fn normal_quantile(level: f64) -> f64 {
    let within = |deviations: f64| {
        let x = deviations / std::f64::consts::SQRT_2;
        let t = 1.0 / (1.0 + 0.327_591_1 * x);
        let terms = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
        1.0 - terms.iter().fold(0.0, |sum, term| (sum + term) * t) * libm::exp(-x * x)
    };
    let (mut low, mut high) = (0.0, 8.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if within(middle) < level { low = middle } else { high = middle }
    }
    high
}

/// The mean absolute error of the seasonal naive forecast within a history.
fn naive_error(history: &[f64], season: usize) -> f64 {
    let later = history.iter().skip(season.max(1));
    mean(later.zip(history).map(|(value, before)| (value - before).abs()))
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (count, sum) = values.fold((0_usize, 0.0), |(count, sum), value| (count + 1, sum + value));
    mean_of(sum, count)
}

#[expect(clippy::cast_precision_loss, reason = "a series has fewer than 2^52 steps")]
fn mean_of(sum: f64, count: usize) -> f64 {
    sum / count.max(1) as f64
}

fn ratio(error: f64, unit: f64) -> Option<f64> {
    (unit > 0.0).then(|| error / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        for (level, quantile) in [(0.5, 0.674_49), (0.9, 1.644_85), (0.95, 1.959_96), (0.99, 2.575_83)] {
            assert!((normal_quantile(level) - quantile).abs() < 1e-4, "{level}: {}", normal_quantile(level));
        }
    }

    #[test]
    fn a_width_is_the_conformal_rank_and_goes_on_beyond_it() {
        let errors = Pool::of(&[(1..=20).map(f64::from).collect()], 0);
        let widths = [0.5, 0.9, 0.95].map(|level| errors.width(level));
        assert!((widths[0] - 11.0).abs() + (widths[1] - 19.0).abs() + (widths[2] - 20.0).abs() < 1e-9);
        assert!(errors.width(0.99) > 20.0 && errors.width(0.99) < 40.0);
    }

    #[test]
    fn errors_beside_a_step_are_pooled_and_none_is_thought_to_be_another_origin() {
        let of_step = |step: u32| (1..=10).map(|error| f64::from(100 * step + error)).collect::<Vec<f64>>();
        let errors: Vec<Vec<f64>> = (0..5).map(of_step).collect();
        let widths = |step: usize| [0.5, 0.9].map(|level| Pool::of(&errors, step).width(level).to_string());
        assert_eq!(widths(0), ["102", "110"], "with the one behind it");
        assert_eq!(widths(2), ["208", "310"], "with the one before and the one behind it");
        assert_eq!(widths(4), ["406", "410"], "with none");
        let beyond = Pool::of(&errors, 2).width(0.95);
        assert!(beyond > 310.0, "ten origins have no rank for it, however many errors there are: {beyond}");
    }

    #[test]
    fn origins_fall_on_all_parts_of_a_season() {
        let origins = origins(24 * 20, 24, 24).expect("enough");
        assert_eq!((origins.len(), origins[19]), (20, 24 * 19));
        let mut parts: Vec<usize> = origins.iter().map(|origin| origin % 24).collect();
        parts.sort_unstable();
        parts.dedup();
        assert_eq!(parts.len(), 20);
        assert!(matches!(
            super::origins(49 + 24 + 7, 24, 24),
            Err(ForecastError::TooShort { need: 81, enough_for: 23, .. })
        ));
        assert_eq!(super::origins(81, 24, 24).expect("just enough").len(), 9);
    }
}
