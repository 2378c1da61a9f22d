//! Forecasters: what a regular series will be, and how sure that is.
//!
//! A [`Forecaster`] is a file of this module and a line of [`FORECASTERS`]. Irregular samples become a regular series in
//! [`regularise`], its season is found in [`season`], [`choose()`] takes the forecaster that erred least on the series' own
//! past, [`predict()`] does all of that, [`breach`] says when a limit will be crossed. All are pure functions of what they are given.

pub mod breach;
mod calibrate;
pub mod choose;
pub mod ets;
mod predict;
pub mod regularise;
pub mod season;
pub mod seasonal_naive;

use std::fmt::Debug;

pub use breach::{Breach, Limit};
pub(crate) use calibrate::normal_quantile;
pub use choose::choose;
pub use predict::{Prediction, predict};
pub use regularise::Regular;

/// All forecasters, the one that others must beat first.
pub const FORECASTERS: &[&dyn Forecaster] = &[&seasonal_naive::SeasonalNaive, &ets::Ets];

/// The longest horizon, in steps.
pub const MOST_STEPS: usize = 2_000;

/// A way of forecasting.
pub trait Forecaster: Debug + Sync {
    /// Its name in forecasts.
    fn name(&self) -> &'static str;

    /// The version of its code: another one when it would say something else of the same series.
    fn version(&self) -> &'static str;

    /// The likeliest values of the next `horizon` steps after `history`, whose season is so many steps long (1: none).
    fn points(&self, history: &[f64], season: usize, horizon: usize) -> Result<Vec<f64>, ForecastError>;
}

/// The forecast of one forecaster, with intervals that are as wide as its own errors were on this history.
pub fn forecast(
    forecaster: &dyn Forecaster,
    history: &[f64],
    season: usize,
    asked: Asked<'_>,
) -> Result<Forecast, ForecastError> {
    calibrate::Trial::of(forecaster, history, season, asked)?.forecast(history, season, asked)
}

/// What a forecast is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asked<'a> {
    /// How many steps: 1 to [`MOST_STEPS`].
    pub horizon: usize,
    /// For which probabilities there shall be intervals: above 0 and below 1, ascending.
    pub levels: &'a [f64],
}

/// What a series will be.
#[derive(Clone, Debug, PartialEq)]
pub struct Forecast {
    /// Whose it is.
    pub forecaster: &'static str,
    /// The version of its code.
    pub version: &'static str,
    /// The steps after the history, in their order.
    pub steps: Vec<Step>,
    /// How it did on the history.
    pub record: Record,
}

/// What one step of a series will be.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The likeliest value.
    pub value: f64,
    /// One for each level that was asked for, each within the next.
    pub intervals: Vec<Interval>,
}

/// Where a value will be with some probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The probability.
    pub level: f64,
    /// Where it begins.
    pub lower: f64,
    /// Where it ends.
    pub upper: f64,
}

/// How a forecaster did on the past of a series, forecasting it from earlier origins (Tashman 2000: rolling-origin evaluation).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// From how many origins.
    pub origins: usize,
    /// The mean absolute error over all steps of the horizon, in the series' unit.
    pub mae: f64,
    /// That in units of what the seasonal naive forecast erred from the same origins (relative MAE; Hyndman and Koehler 2006).
    /// Absent where that made no error.
    pub relative_mae: Option<f64>,
    /// That in units of the mean difference of values a season apart over the whole history, which is the error of the seasonal
    /// naive forecast one season ahead and not over this horizon (MASE; the same). Absent where there is none.
    pub mase: Option<f64>,
}

/// Why there is no forecast.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ForecastError {
    /// The series has no samples.
    #[error("the series has no samples that are still kept")]
    Empty,
    /// The series is too short for its season and this horizon.
    #[error("the series has {have} whole steps, and {need} are needed")]
    TooShort {
        /// Steps that there are.
        have: usize,
        /// Steps that are needed.
        need: usize,
        /// The longest horizon for which there are enough, in steps; 0 when there is none.
        enough_for: usize,
    },
    /// The question makes no sense.
    #[error("{field}: {problem}")]
    Asked {
        /// What of it.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// The series cannot be fitted.
    #[error("the series cannot be fitted: {0}")]
    Unfit(String),
}

impl Asked<'_> {
    fn check(&self) -> Result<(), ForecastError> {
        let refused = |field, problem: String| Err(ForecastError::Asked { field, problem });
        if !(1..=MOST_STEPS).contains(&self.horizon) {
            return refused("horizon", format!("must be 1 to {MOST_STEPS} steps, is {}", self.horizon));
        }
        if !self.levels.iter().all(|level| *level > 0.0 && *level < 1.0) {
            return refused("levels", "must be above 0 and below 1".into());
        }
        if !self.levels.is_sorted_by(|one, next| one < next) {
            return refused("levels", "must ascend".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
