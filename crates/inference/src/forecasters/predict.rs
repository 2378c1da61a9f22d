//! From samples to a forecast: made regular, with the season that they show.

use cornjacket_domain::Timestamp;

use super::regularise::{Regular, regularise};
use super::{Asked, Forecast, ForecastError, choose, season};
use crate::history::History;

/// What a series will be, and what that was made from.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// What it will be.
    pub forecast: Forecast,
    /// When the first step begins.
    pub start: Timestamp,
    /// Its season in steps, if it has one.
    pub season: Option<usize>,
    /// Steps of history.
    pub steps: usize,
    /// How many of those had no samples.
    pub filled: usize,
    /// The value of the last one.
    pub last_step: f64,
}

/// What comes after a history, with an interval for each of the levels. Takes up to about a second of a processor.
pub fn predict(history: &History, levels: &[f64]) -> Result<Prediction, ForecastError> {
    let plain = regularise(&history.samples, history.step, None)?;
    let season = season::find(&plain.values);
    let regular = if plain.filled > 0 && season.is_some() {
        regularise(&history.samples, history.step, season)?
    } else {
        plain
    };
    let asked = Asked { horizon: history.horizon, levels };
    let forecast = choose(&regular.values, season.unwrap_or(1), asked)?;
    let Regular { start, step, values, filled } = regular;
    let after = step * u32::try_from(values.len()).unwrap_or(u32::MAX);
    let last_step = values.last().copied().unwrap_or_default();
    Ok(Prediction { forecast, start: start + after, season, steps: values.len(), filled, last_step })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cornjacket_domain::Sample;

    use super::*;

    #[test]
    fn the_first_step_follows_the_last_of_the_history() {
        let step = Duration::from_mins(1);
        let sample = |minute: u32| Sample {
            time: Timestamp::default() + step * minute,
            position: u64::from(minute) + 1,
            value: f64::from(minute % 12),
        };
        let samples: Vec<Sample> = (5..125).filter(|minute| *minute != 77).map(sample).collect();
        let last = samples[samples.len() - 1];
        let history = History { samples, step, horizon: 12, last };
        let predicted = predict(&history, &[0.9]).expect("a forecast");
        assert_eq!(predicted.start, last.time + step);
        assert_eq!((predicted.season, predicted.steps, predicted.filled), (Some(12), 120, 1));
        assert!((predicted.last_step - last.value).abs() < 1e-9);
        for (step, minute) in predicted.forecast.steps.iter().zip(125_u32..) {
            assert!((step.value - f64::from(minute % 12)).abs() < 0.5, "{minute}: {step:?}");
        }
    }
}
