//! `seasonal_naive`: what was a season ago. What any other forecaster must beat to be worth its trouble.

use super::{ForecastError, Forecaster};

/// The forecaster (Hyndman and Athanasopoulos, *Forecasting: Principles and Practice*, 3rd edition, 5.2).
#[derive(Debug)]
pub struct SeasonalNaive;

impl Forecaster for SeasonalNaive {
    fn name(&self) -> &'static str {
        "seasonal_naive"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn points(&self, history: &[f64], season: usize, horizon: usize) -> Result<Vec<f64>, ForecastError> {
        let season = season.max(1);
        let from = history.len().checked_sub(season);
        let from =
            from.ok_or(ForecastError::TooShort { have: history.len(), need: season, enough_for: 0 })?;
        Ok(history[from..].iter().copied().cycle().take(horizon).collect())
    }
}
