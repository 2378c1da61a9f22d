//! `cornjacket forecast`: what a series will be.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use cornjacket_domain::Timestamp;
use cornjacket_proto::query::{ForecastStep, GetForecastRequest, GetForecastResponse};
use prost::Message;

use super::client::{Server, told};
use super::table;
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket forecast`.
#[derive(Debug, Args)]
pub struct Forecast {
    #[command(flatten)]
    server: Server,
    /// Who measures.
    subject: String,
    /// What is measured.
    metric: String,
    /// How far to look ahead.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "2h", value_name = "DURATION")]
    horizon: Duration,
    /// How long a step is; by default as the series and the horizon make sensible.
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    step: Option<Duration>,
    /// For which probability there shall be an interval, such as 0.9. May be given again.
    #[arg(long = "level", value_name = "PROBABILITY")]
    levels: Vec<f64>,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

impl Forecast {
    /// Asks and prints.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            let request = GetForecastRequest {
                subject: self.subject,
                metric: self.metric,
                horizon: Some(self.horizon.try_into().context("--horizon")?),
                step: self.step.map(prost_types::Duration::try_from).transpose().context("--step")?,
                levels: self.levels,
                ..GetForecastRequest::default()
            };
            let response = self.server.query(settings).await?.get_forecast(request).await;
            let forecast = response.map_err(|status| told(&status))?.into_inner();
            if self.json {
                let bytes = forecast.encode_to_vec();
                let json = cornjacket_proto::decode_dynamic::<GetForecastResponse>(&bytes)?;
                println!("{}", serde_json::to_string_pretty(&json)?);
            } else {
                print!("{}", drawn(&forecast));
            }
            Ok(())
        })
    }
}

/// A line that says who forecasts what from what, and a table of the steps.
fn drawn(forecast: &GetForecastResponse) -> String {
    let key = forecast.key.clone().unwrap_or_default();
    let unit = if forecast.unit.is_empty() { String::new() } else { format!(" ({})", forecast.unit) };
    let GetForecastResponse { forecaster, forecaster_version, history_steps, filled_steps, origins, .. } =
        forecast;
    let season = length(forecast.season.as_ref()).map_or("no season".to_owned(), |it| format!("season {it}"));
    let step = length(forecast.step.as_ref()).unwrap_or_default();
    let relative = forecast.relative_mae;
    let relative =
        relative.map(|of| format!(", {of:.2} of what repeating the last season erred")).unwrap_or_default();
    let levels = forecast.steps.first().map(|step| step.intervals.as_slice()).unwrap_or_default();
    let levels = levels.iter().map(|interval| format!("{} %", (interval.level * 1e4).round() / 1e2));
    let head = ["TIME".to_owned(), "VALUE".to_owned()].into_iter().chain(levels).collect();
    let table = table::of_rows(head, forecast.steps.iter().map(row));
    format!(
        "{} {}{unit}: {forecaster} {forecaster_version}, {season}, {history_steps} steps of {step} before \
         ({filled_steps} filled in)\nmean absolute error {:.4}{relative}, tried {origins} times\n{table}",
        key.subject, key.metric, forecast.mae
    )
}

fn length(duration: Option<&prost_types::Duration>) -> Option<String> {
    let duration = Duration::try_from(*duration?).ok()?;
    Some(humantime::format_duration(duration).to_string())
}

fn row(step: &ForecastStep) -> Vec<String> {
    let time = step.time.as_ref().and_then(Timestamp::from_proto);
    let time = time.map(|time| time.to_proto().to_string()).unwrap_or_default();
    let intervals = step.intervals.iter().map(|one| format!("{:.2} to {:.2}", one.lower, one.upper));
    [time, format!("{:.2}", step.value)].into_iter().chain(intervals).collect()
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::query::{ForecastInterval, SeriesKey};

    use super::*;

    #[test]
    fn a_forecast_is_a_line_for_each_step() {
        let interval = |level, width: f64| ForecastInterval { level, lower: 5.0 - width, upper: 5.0 + width };
        let step = ForecastStep {
            time: Some(prost_types::Timestamp { seconds: 60, nanos: 0 }),
            value: 5.0,
            intervals: vec![interval(0.5, 1.0), interval(0.9, 2.0)],
        };
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let forecast = GetForecastResponse {
            key: Some(SeriesKey { subject: "pump".into(), metric: "x".into() }),
            unit: "Cel".into(),
            step: seconds(60),
            season: seconds(3_600),
            steps: vec![step],
            forecaster: "ets".into(),
            forecaster_version: "1".into(),
            mae: 0.25,
            mase: Some(11.49),
            relative_mae: Some(0.5),
            origins: 20,
            history_steps: 300,
            filled_steps: 3,
        };
        assert_eq!(
            drawn(&forecast),
            "pump x (Cel): ets 1, season 1h, 300 steps of 1m before (3 filled in)\n\
             mean absolute error 0.2500, 0.50 of what repeating the last season erred, tried 20 times\n\
             TIME                  VALUE  50 %          90 %\n\
             1970-01-01T00:01:00Z  5.00   4.00 to 6.00  3.00 to 7.00\n"
        );
    }
}
