//! Forecasts for those who do not see where they are made.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_inference::forecasters::{ForecastError, Interval, Prediction, Step, predict};
use cornjacket_inference::history::{History, NoHistory, StepValue, Wanted};
use cornjacket_proto::query::{ForecastInterval, ForecastStep, GetForecastResponse};
use cornjacket_query::{Fit, ForecastQuestion, Forecasts, NoForecast, Steps};
use cornjacket_store::Snapshot;

/// What forecasters say of series in the store.
#[derive(Clone, Copy, Debug)]
pub struct StoredSeries;

#[tonic::async_trait]
impl Forecasts for StoredSeries {
    async fn prepare(
        &self,
        snapshot: &mut dyn Snapshot,
        question: ForecastQuestion,
    ) -> Result<Fit, NoForecast> {
        let ForecastQuestion { series, key, oldest, horizon, step, levels } = question;
        let wanted = Wanted { series, steps: StepValue::of(&key), oldest, horizon, step };
        let read = History::read(snapshot, &wanted).await;
        let history = read.map_err(|error| match error {
            NoHistory::Refused(error) => refused(error, step.unwrap_or_default()),
            NoHistory::Store(error) => NoForecast::Store(error),
        })?;
        Ok(Box::new(move || {
            let prediction = predict(&history, &levels).map_err(|error| refused(error, history.step))?;
            Ok(response(&history, prediction))
        }))
    }
}

fn refused(error: ForecastError, step: Duration) -> NoForecast {
    match error {
        ForecastError::Empty => NoForecast::Empty,
        ForecastError::TooShort { have, need, enough_for } => {
            NoForecast::TooShort(Steps { have, need, enough_for, step })
        }
        ForecastError::Asked { field, problem } => NoForecast::Field(field, problem),
        ForecastError::Unfit(why) => NoForecast::Unfit(why),
    }
}

fn response(history: &History, prediction: Prediction) -> GetForecastResponse {
    let Prediction { forecast, start, season, steps, filled, .. } = prediction;
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let step = history.step;
    let time = |index: usize| start + step * count(index);
    // A history of steps that a duration of protobuf cannot count has no season.
    let season = season.and_then(|season| (step * count(season)).try_into().ok());
    GetForecastResponse {
        step: step.try_into().ok(),
        steps: forecast
            .steps
            .into_iter()
            .enumerate()
            .map(|(index, one)| to_proto(time(index), one))
            .collect(),
        forecaster: forecast.forecaster.to_owned(),
        forecaster_version: forecast.version.to_owned(),
        season,
        mae: forecast.record.mae,
        mase: forecast.record.mase,
        relative_mae: forecast.record.relative_mae,
        origins: count(forecast.record.origins),
        history_steps: count(steps),
        filled_steps: count(filled),
        ..GetForecastResponse::default()
    }
}

fn to_proto(time: Timestamp, step: Step) -> ForecastStep {
    let interval = |Interval { level, lower, upper }| ForecastInterval { level, lower, upper };
    ForecastStep {
        time: Some(time.to_proto()),
        value: step.value,
        intervals: step.intervals.into_iter().map(interval).collect(),
    }
}
