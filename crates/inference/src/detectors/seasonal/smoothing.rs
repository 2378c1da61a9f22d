//! Robust exponential smoothing: level, damped trend, additive season, and the half-width of the interval.

use serde::{Deserialize, Serialize};

use super::grid::Grid;
use super::start::{Start, phase, quantile};
use crate::forecasters::normal_quantile;

/// By what a trend is damped each step.
const DAMPING: f64 = 0.98;
/// An error moves the model as if it were at most so many half-widths…
const BOUND: f64 = 1.5;
/// …times this for each step in a row that was outside on the same side, so that a new level is believed at last.
const IMPATIENCE: f64 = 1.1;
const MOST_PATIENCE: u16 = 200;
/// By what part a half-width grows, at most, with a sample outside it.
const RATE: f64 = 0.03;
/// How much narrower than fitted an interval becomes at most.
const NARROWEST: f64 = 0.2;
/// How much wider it becomes over steps without samples, at most.
const WIDEST: f64 = 3.0;

/// What is tried when a model is fitted: how fast level, trend and season follow.
const LEVELS: [f64; 4] = [0.02, 0.1, 0.3, 0.7];
const TRENDS: [f64; 2] = [0.0, 0.02];
const SEASONS: [f64; 3] = [0.05, 0.2, 0.4];

#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Smoothing {
    alpha: f64,
    beta: f64,
    gamma: f64,
    level: f64,
    trend: f64,
    /// By the step's number modulo its length.
    season: Vec<f64>,
    /// Of the interval of the next step.
    width: f64,
    least_width: f64,
    /// Steps in a row that were outside; below zero: on the lower side.
    outside: i16,
    /// Steps without samples since the last with one.
    unseen: u32,
    /// The mean absolute error of the last fit.
    error: f64,
}

impl Smoothing {
    /// The model that fits what a grid remembers best, with a season of so many steps (1: none). Tries 24 sets of parameters,
    /// each a pass over all steps.
    pub fn fit(grid: &Grid, season: usize, level: f64) -> Option<Self> {
        let means: Vec<(i64, f64)> = grid.means().collect();
        let deviations = normal_quantile(level);
        let start = Self::of(Start::of(&means, season, level, deviations)?);
        let mut best: Option<Self> = None;
        for alpha in LEVELS {
            for beta in TRENDS {
                let gammas = if season > 1 { &SEASONS[..] } else { &SEASONS[..1] };
                for gamma in gammas {
                    let mut tried =
                        Self { alpha, beta: beta * alpha, gamma: gamma * (1.0 - alpha), ..start.clone() };
                    tried.run(&means, level, deviations);
                    if tried.error.is_finite() && best.as_ref().is_none_or(|best| tried.error < best.error) {
                        best = Some(tried);
                    }
                }
            }
        }
        let mut best = best?;
        // The season was made of what it is now compared with: of n seasons the mean is by √((n + 1) / (n - 1)) nearer to
        // those than to the next.
        let ahead = if season > 1 { optimism(means.len(), season) } else { 1.0 };
        best.error *= ahead;
        best.width *= ahead;
        best.width = libm::hypot(best.width, grid.deviation() * deviations);
        best.least_width = (best.width * NARROWEST).max(smallest(best.level));
        best.width = best.width.max(best.least_width);
        (best.width.is_finite() && best.level.is_finite()).then_some(best)
    }

    /// A model that did not learn yet.
    fn of(start: Start) -> Self {
        let Start { level, trend, season, width } = start;
        let width = width.max(smallest(level));
        Self {
            alpha: 0.0,
            beta: 0.0,
            gamma: 0.0,
            level,
            trend,
            season,
            width,
            least_width: 0.0,
            outside: 0,
            unseen: 0,
            error: 0.0,
        }
    }

    /// Runs over what was, and sets its error and its width by the second half of it.
    fn run(&mut self, means: &[(i64, f64)], level: f64, deviations: f64) {
        let mut errors = Vec::with_capacity(means.len() / 2 + 1);
        for (index, (cell, value)) in means.iter().enumerate() {
            if value.is_nan() {
                self.pass(1);
                continue;
            }
            let error = (value - self.point(*cell, 1)).abs();
            self.learn(*cell, *value);
            self.track(error / self.width, level);
            if index >= means.len() / 2 {
                errors.push(error);
            }
        }
        self.error = mean(errors.iter().copied()).unwrap_or(f64::NAN);
        self.width = quantile(&mut errors, level, deviations).unwrap_or(f64::NAN);
        self.outside = 0;
    }

    /// How many steps its season has; 1 if it has none.
    pub fn season(&self) -> usize {
        self.season.len()
    }

    /// The mean absolute error of the last fit, one step ahead.
    pub fn error(&self) -> f64 {
        self.error
    }

    pub fn owned_bytes(&self) -> usize {
        self.season.capacity() * size_of::<f64>()
    }

    /// Goes on with the half-width of a model before it.
    pub fn keep_width(&mut self, before: &Self) {
        self.width = before.width.max(self.least_width);
        self.outside = before.outside;
    }

    /// What is expected of a step, and the half-width of its interval, when `next` is the first that did not end.
    pub fn expect(&self, cell: i64, next: i64) -> (f64, f64) {
        let ahead = u32::try_from(cell.saturating_sub(next)).unwrap_or_default().saturating_add(1);
        let unseen = self.unseen.saturating_add(ahead - 1);
        let wider = (1.0 + f64::from(unseen) * self.alpha * self.alpha).sqrt();
        (self.point(cell, ahead), self.width * wider.min(WIDEST))
    }

    fn point(&self, cell: i64, ahead: u32) -> f64 {
        self.level
            + self.trend * damped(ahead)
            + self.season.get(phase(cell, self.season.len())).unwrap_or(&0.0)
    }

    /// Takes in the mean of the next step.
    pub fn learn(&mut self, cell: i64, value: f64) {
        let error = value - self.point(cell, 1);
        self.outside = match (error > self.width, -error > self.width) {
            (true, _) => self.outside.max(0).saturating_add(1),
            (_, true) => self.outside.min(0).saturating_sub(1),
            _ => 0,
        };
        let patience = f64::from(self.outside.unsigned_abs().min(MOST_PATIENCE));
        let bound = self.width * BOUND * libm::pow(IMPATIENCE, patience);
        let error = error.clamp(-bound, bound);
        self.move_on(1);
        self.unseen = 0;
        self.level += self.alpha * error;
        self.trend += self.beta * error;
        let phase = phase(cell, self.season.len());
        if self.season.len() > 1
            && let Some(shape) = self.season.get_mut(phase)
        {
            *shape += self.gamma * error;
        }
    }

    /// Passes over steps without samples.
    pub fn pass(&mut self, steps: u32) {
        if steps > 0 {
            self.move_on(steps);
            self.unseen = self.unseen.saturating_add(steps);
        }
    }

    fn move_on(&mut self, steps: u32) {
        self.level += self.trend * damped(steps);
        self.trend *= libm::pow(DAMPING, f64::from(steps));
    }

    /// Takes in how many half-widths off a sample was.
    pub fn track(&mut self, off: f64, level: f64) {
        let grows = if off > 1.0 { level } else { level - 1.0 };
        self.width = (self.width * (1.0 + RATE * grows)).clamp(self.least_width, 1e150);
    }
}

#[expect(clippy::cast_precision_loss, reason = "at most two thousand steps")]
fn optimism(steps: usize, season: usize) -> f64 {
    let seasons = (steps as f64 / season as f64).max(1.5);
    ((seasons + 1.0) / (seasons - 1.0)).sqrt()
}

/// The narrowest half-width about a level: what is left of a value that is written with six digits.
fn smallest(level: f64) -> f64 {
    (level.abs() * 1e-6).max(1e-12)
}

/// What a trend of 1 adds up to over so many steps.
fn damped(steps: u32) -> f64 {
    if steps == 1 {
        DAMPING
    } else {
        DAMPING * (1.0 - libm::pow(DAMPING, f64::from(steps))) / (1.0 - DAMPING)
    }
}

/// The mean of what is not NaN.
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let known = values.filter(|value| !value.is_nan());
    let (count, mean) =
        known.fold((0.0, 0.0), |(count, mean), value| (count + 1.0, mean + (value - mean) / (count + 1.0)));
    (count > 0.0).then_some(mean)
}
