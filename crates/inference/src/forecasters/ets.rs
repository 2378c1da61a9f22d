//! `ets`: exponential smoothing, of what a decomposition leaves where there is a season.
//!
//! The models are crate augurs': MSTL (Bandara, Hyndman and Bergmeir 2021) takes the season out, `AutoETS` with additive errors
//! (Hyndman et al. 2002) chooses and fits no trend, a linear or a damped one to the rest. Only its points are taken: its
//! intervals are drawn from the process's random numbers for some models.

use augurs::ets::AutoETS;
use augurs::mstl::MSTLModel;
use augurs::{Fit, Predict};

use super::{ForecastError, Forecaster};

/// What `AutoETS` needs to estimate the variance of its errors.
const FEWEST: usize = 16;
/// Additive errors, no trend or an additive one, no season.
const MODELS: &str = "AZN";

/// The forecaster.
#[derive(Debug)]
pub struct Ets;

impl Forecaster for Ets {
    fn name(&self) -> &'static str {
        "ets"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn points(&self, history: &[f64], season: usize, horizon: usize) -> Result<Vec<f64>, ForecastError> {
        let need = FEWEST.max(2 * season + 1);
        if history.len() < need {
            return Err(ForecastError::TooShort { have: history.len(), need, enough_for: 0 });
        }
        let (centre, scale) = centre_and_scale(history);
        if !scale.is_finite() {
            return Err(ForecastError::Unfit("its values are too large".into()));
        }
        if scale <= centre.abs() * 1e-12 {
            return Ok(vec![centre; horizon]);
        }
        // MSTL counts in 32 bits: a small swing about a large value would be lost.
        let scaled: Vec<f64> = history.iter().map(|value| (value - centre) / scale).collect();
        let points = fit(&scaled, season, horizon)?;
        if points.len() != horizon || points.iter().any(|point| !point.is_finite()) {
            return Err(ForecastError::Unfit("its forecast is not a number".into()));
        }
        Ok(points.into_iter().map(|point| centre + scale * point).collect())
    }
}

fn fit(scaled: &[f64], season: usize, horizon: usize) -> Result<Vec<f64>, ForecastError> {
    let trend = AutoETS::new(1, MODELS).map_err(unfit)?;
    let forecast = if season > 1 {
        let model = MSTLModel::new(vec![season], trend.into_trend_model());
        model.fit(scaled).map_err(unfit)?.predict(horizon, None).map_err(unfit)?
    } else {
        trend.fit(scaled).map_err(unfit)?.predict(horizon, None).map_err(unfit)?
    };
    Ok(forecast.point)
}

#[expect(clippy::needless_pass_by_value, reason = "as map_err has it")]
fn unfit(error: impl ToString) -> ForecastError {
    ForecastError::Unfit(error.to_string())
}

#[expect(clippy::cast_precision_loss, reason = "a series has fewer than 2^52 steps")]
fn centre_and_scale(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let centre = values.iter().map(|value| value / count).sum::<f64>();
    let variance = values.iter().map(|value| (value - centre).powi(2) / count).sum::<f64>();
    (centre, variance.sqrt())
}
