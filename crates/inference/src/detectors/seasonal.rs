//! `seasonal`: a value is far from what the series' own season and drift let expect.
//!
//! Samples become the means of a regular grid (`grid`). Its model is exponential smoothing with a damped trend and an
//! additive season, ETS(A,Ad,A) of Hyndman, Koehler, Ord and Snyder 2008, made robust as Gelper, Fried and Croux 2010 do:
//! an error moves it by a bounded amount (`smoothing`). Its state moves on with every step of the grid; every `refit_every`
//! steps its parameters are fitted anew to what is remembered, and the season is looked for, if it is not given.
//!
//! The half-width of the interval follows the errors by tracking their quantile (Angelopoulos, Candès and Tibshirani 2023),
//! so that it holds `level` of the samples in the long run, whatever they are distributed like.
//!
//! Crate augurs, which makes the forecasts, would take 80 ms to decompose 2,016 steps and to fit ETS to what is left: minutes
//! for two thousand series that were switched on together. Here a fit tries 24 sets of parameters, each in one pass over what
//! is remembered: a few milliseconds at most, and with the rest of the work below 10 µs a sample. When after the first fit
//! the second is due follows from the seed, so that series that began together are not fitted together for ever.
//!
//! Memory is below 26 KiB a series: 2,048 means of 8 bytes and a season of at most 1,024.

mod grid;
mod smoothing;
mod start;

use std::time::Duration;

use cornjacket_domain::{Sample, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::limits::{Episode, Hold, Place, Side, score};
use super::method::{Method, Prepared};
use super::parameters::{Grade, between, finite, micros, read, refused, some_seconds};
use super::{Expected, Finding, Kind, Model, ParameterError, Verdict};
use crate::forecasters::{regularise, season};
use grid::Grid;
use smoothing::Smoothing;

/// How many samples are seen before the step is guessed.
const FIRST: usize = 33;
/// The fewest steps that a model without a season is fitted to.
const FEWEST: usize = 24;
/// By how much a model without a season must be better than one with the season that was found: a level that follows fast
/// errs little one step ahead, but has no notion of the hour.
const BENEFIT: f64 = 1.25;
/// What is larger is compared, but not learned from: its square could not be added up.
const LARGEST: f64 = 1e140;

/// The kind. What its parameters mean is said at [`Parameters`].
#[derive(Debug)]
pub struct Seasonal;

/// What a person sets.
///
/// The score is 0 where a value is as expected, ½ at `margin` half-widths of the interval from it, ¾ at twice as many. A
/// [`super::Bar`] multiplies `margin`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// How long the season is. Found from the series unless given, once it has shown two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub season_seconds: Option<f64>,
    /// How long a step of the grid is. Unless given the median gap, rounded to what divides a day if that is near; longer
    /// where a season would have more than 1,024, or is not found in 2,048 of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_seconds: Option<f64>,
    /// The share of samples that the interval holds. 0.99 unless given.
    pub level: f64,
    /// How many half-widths of the interval from the expected value an anomaly begins: 1 or more, 2 unless given. It is over
    /// inside the interval.
    pub margin: f64,
    /// How many samples in a row must be beyond. 1 unless given.
    pub hold_samples: u32,
    /// How many samples it learns from before it judges, beside two seasons where the season is given. 256 unless given.
    pub warm_up: u32,
    /// After how many steps it is fitted anew: 64 or more, 512 unless given.
    pub refit_every: u32,
    severity: Grade,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            season_seconds: None,
            step_seconds: None,
            level: 0.99,
            margin: 2.0,
            hold_samples: 1,
            warm_up: 256,
            refit_every: 512,
            severity: Grade::default(),
        }
    }
}

impl Kind for Seasonal {
    fn name(&self) -> &'static str {
        "seasonal"
    }

    fn version(&self) -> &'static str {
        "2"
    }

    fn configure(&self, parameters: &Value) -> Result<Box<dyn Model>, ParameterError> {
        let parameters: Parameters = read(parameters)?;
        let given = |field, value: Option<f64>| value.map(|value| some_seconds(field, value)).transpose();
        let season = given("season_seconds", parameters.season_seconds)?;
        let step = given("step_seconds", parameters.step_seconds)?;
        if let (Some(season), Some(step)) = (season, step) {
            let steps = micros(season) / micros(step);
            if !(2..=grid::MOST_SEASON).contains(&steps) {
                let problem = format!("a season must have 2 to {} steps, has {steps}", grid::MOST_SEASON);
                return Err(refused("step_seconds", problem));
            }
        }
        for (field, value, least, most) in
            [("level", parameters.level, 0.5, 0.9999), ("margin", parameters.margin, 1.0, 1e6)]
        {
            finite(field, value)?;
            if !(least..=most).contains(&value) {
                return Err(refused(field, format!("must be {least} to {most}, is {value}")));
            }
        }
        between("warm_up", parameters.warm_up, 1, 10_000_000)?;
        between("refit_every", parameters.refit_every, 64, 10_000_000)?;
        let hold = Hold::checked(0.0, parameters.hold_samples)?;
        Ok(Prepared::model(self, Ready { season, step, hold, parameters }))
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Ready {
    #[serde(skip)]
    season: Option<Duration>,
    #[serde(skip)]
    step: Option<Duration>,
    #[serde(skip)]
    hold: Hold,
    parameters: Parameters,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct State {
    seen: u32,
    /// Times in microseconds and values of the first samples, until there is a grid.
    first: Vec<(i64, f64)>,
    grid: Option<Grid>,
    model: Option<Smoothing>,
    /// Steps since the last fit.
    unfitted: u32,
    /// How many steps the second fit is earlier than others.
    earlier: u32,
    episode: Episode,
}

impl Ready {
    /// The grid for a series that began so.
    fn grid(&self, first: &[(i64, f64)]) -> Option<Grid> {
        let times = first.iter().map(|(time, _)| Timestamp::from_micros(*time));
        let step = match self.step {
            Some(step) => micros(step),
            None => grid::rounded(micros(regularise::usual_gap(times)?)),
        };
        Some(Grid::new(step.max(1), self.season.map(micros), self.step.is_some()))
    }

    /// Takes in a sample, and moves the model on over all steps that it ends.
    fn take_in(&self, state: &mut State, time: i64, value: f64) {
        let State { grid: Some(grid), model, unfitted, seen, .. } = state else { return };
        let has_season = model.as_ref().is_some_and(|model| model.season() > 1);
        let Some(ended) = grid.take_in(time, value, !has_season) else { return };
        if let Some(model) = model {
            if let Some(mean) = ended.mean {
                model.learn(ended.cell, mean);
            }
            model.pass(ended.missing);
        }
        *unfitted = unfitted.saturating_add(ended.steps());
        let is_due = match model {
            Some(_) => *unfitted >= self.parameters.refit_every,
            None => *unfitted >= 8 && *seen >= self.parameters.warm_up,
        };
        if ended.coarser || is_due {
            self.fit(state, ended.coarser);
        }
    }

    fn fit(&self, state: &mut State, coarser: bool) {
        let Some(grid) = &state.grid else { return };
        state.unfitted = 0;
        let level = self.parameters.level;
        let fit = |season: usize| {
            let enough = grid.cells() >= (2 * season).max(FEWEST);
            enough.then(|| Smoothing::fit(grid, season, level)).flatten()
        };
        let fitted = if let Some(season) = grid.season() {
            fit(season)
        } else {
            let known = state.model.as_ref().map(Smoothing::season).filter(|season| *season > 1 && !coarser);
            let values = grid.filled();
            let found = match known {
                Some(season) => season::near(&values, season),
                None => season::find(&values),
            };
            let seasonal = found.map(|season| grid.natural(season)).and_then(fit);
            let plain = fit(1);
            match (seasonal, plain) {
                (Some(seasonal), Some(plain)) if plain.error() * BENEFIT < seasonal.error() => Some(plain),
                (seasonal, plain) => seasonal.or(plain),
            }
        };
        let Some(mut fitted) = fitted else {
            // What it knew was for shorter steps.
            state.model = state.model.take().filter(|_| !coarser);
            return;
        };
        if let Some(model) =
            state.model.take().filter(|model| !coarser && (model.season() > 1) == (fitted.season() > 1))
        {
            fitted.keep_width(&model);
        }
        state.model = Some(fitted);
    }

    fn judge(&self, state: &mut State, sample: &Sample, factor: f64) -> Verdict {
        let State { grid: Some(grid), model: Some(model), episode, .. } = state else {
            return Verdict::default();
        };
        if state.seen <= self.parameters.warm_up {
            return Verdict::default();
        }
        let (value, width) = model.expect(grid.cell(sample.time.as_micros()), grid.next());
        let error = sample.value - value;
        let beyond = error.abs() / (width * self.parameters.margin * factor);
        let place = Place {
            score: score(beyond - 1.0),
            beyond: (beyond > 1.0).then_some(if error > 0.0 { Side::Above } else { Side::Below }),
            over_above: error <= width,
            over_below: -error <= width,
        };
        model.track(error.abs() / width, self.parameters.level);
        let finding = episode.step(sample.time, &place, self.hold).map(|side| {
            let what = match side {
                Side::Above => "above",
                Side::Below => "below",
            };
            Finding { severity: self.parameters.severity.severity(), contributions: vec![(what, 1.0)] }
        });
        let expected = Expected { value, lower: value - width, upper: value + width };
        Verdict { score: Some(place.score), expected: Some(expected), finding }
    }
}

impl Method for Ready {
    type State = State;

    fn start(&self, seed: u64) -> State {
        let spread = seed % u64::from(self.parameters.refit_every);
        State { earlier: u32::try_from(spread).unwrap_or_default(), ..State::default() }
    }

    fn observe(&self, state: &mut State, sample: &Sample, factor: f64) -> Verdict {
        if !sample.value.is_finite() {
            return Verdict::default();
        }
        state.seen = state.seen.saturating_add(1);
        let (time, is_learned) = (sample.time.as_micros(), sample.value.abs() <= LARGEST);
        if state.grid.is_some() {
            if is_learned {
                // What ended before this sample is known before it is judged; the sample itself is not.
                self.take_in(state, time, sample.value);
            }
            return self.judge(state, sample, factor);
        }
        if is_learned {
            state.first.push((time, sample.value));
        }
        if state.first.len() >= FIRST {
            state.grid = self.grid(&state.first);
            // Samples of one instant say nothing of a step.
            for (time, value) in std::mem::take(&mut state.first) {
                self.take_in(state, time, value);
            }
        }
        Verdict::default()
    }

    fn owned_bytes(state: &State) -> usize {
        let grid = state.grid.as_ref().map_or(0, Grid::owned_bytes);
        let model = state.model.as_ref().map_or(0, Smoothing::owned_bytes);
        grid + model + state.first.capacity() * size_of::<(i64, f64)>()
    }
}

#[cfg(test)]
mod tests;
