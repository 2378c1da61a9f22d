//! Which forecaster a series has: the one that erred least on its past, and the seasonal naive one unless another was better.

use super::calibrate::Trial;
use super::{Asked, FORECASTERS, Forecast, ForecastError, Forecaster};

/// The forecast of the forecaster whose mean absolute error over the last origins of the history was smallest. One that
/// cannot fit the series is passed over. Each forecaster is fitted up to twenty-one times: two thousand steps take about a second.
pub fn choose(history: &[f64], season: usize, asked: Asked<'_>) -> Result<Forecast, ForecastError> {
    choose_of(FORECASTERS, history, season, asked)
}

fn choose_of(
    forecasters: &[&dyn Forecaster],
    history: &[f64],
    season: usize,
    asked: Asked<'_>,
) -> Result<Forecast, ForecastError> {
    if history.iter().any(|value| !value.is_finite()) {
        return Err(ForecastError::Unfit("a value is not a number".into()));
    }
    let mut best: Option<Forecast> = None;
    let mut refused = None;
    for forecaster in forecasters {
        let better = Trial::of(*forecaster, history, season, asked).and_then(|trial| {
            let is_better = best.as_ref().is_none_or(|best| trial.record.mae < best.record.mae);
            is_better.then(|| trial.forecast(history, season, asked)).transpose()
        });
        match better {
            Ok(Some(forecast)) => best = Some(forecast),
            Ok(None) => {}
            Err(error) => refused = refused.or(Some(error)),
        }
    }
    best.ok_or_else(|| refused.unwrap_or(ForecastError::Unfit("there is no forecaster".into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Wild;

    impl Forecaster for Wild {
        fn name(&self) -> &'static str {
            "wild"
        }

        fn version(&self) -> &'static str {
            "1"
        }

        fn points(&self, _: &[f64], _: usize, horizon: usize) -> Result<Vec<f64>, ForecastError> {
            Ok(vec![1e9; horizon])
        }
    }

    #[test]
    fn a_forecaster_that_is_worse_than_seasonal_naive_is_not_used() {
        let history: Vec<f64> = (0..120_u8).map(|step| f64::from(step % 12)).collect();
        let forecasters: &[&dyn Forecaster] = &[&Wild, FORECASTERS[0]];
        let asked = Asked { horizon: 12, levels: &[0.9] };
        let forecast = choose_of(forecasters, &history, 12, asked).expect("a forecast");
        assert_eq!(forecast.forecaster, "seasonal_naive");
        assert!(forecast.record.mae < 1e-9 && forecast.record.mase.is_none());
    }
}
