//! `cornjacket series`: which series there are, and what one of them looks like.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use cornjacket_domain::{Clock, SystemClock, Timestamp};
use cornjacket_proto::query::{
    Aggregation, Fill, ListSeriesRequest, ListedSeries, QuerySeriesRequest, Series as Found, SeriesKey,
};

use super::client::{Server, told};
use super::table;
use crate::config::Settings;
use crate::telemetry;

/// From the lowest value to the highest.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of a plot, at the most.
const COLUMNS: u32 = 60;

/// Flags of `cornjacket series`.
#[derive(Debug, Args)]
pub struct Series {
    #[command(flatten)]
    server: Server,
    /// Who measures; without it, every series is listed.
    subject: Option<String>,
    /// What is measured; without it, every series of the subject is listed.
    metric: Option<String>,
    /// How far the plot goes back.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1h", value_name = "DURATION")]
    last: Duration,
}

impl Series {
    /// Asks and prints.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            match (self.subject, self.metric) {
                (Some(subject), Some(metric)) => {
                    let key = SeriesKey { subject, metric };
                    plot(&self.server, settings, key, self.last).await
                }
                (subject, _) => list(&self.server, settings, subject.unwrap_or_default()).await,
            }
        })
    }
}

async fn list(server: &Server, settings: &Settings, subject: String) -> anyhow::Result<()> {
    let mut query = server.query(settings).await?;
    let mut request = ListSeriesRequest { subject, page_size: 1_000, ..ListSeriesRequest::default() };
    let mut listed: Vec<ListedSeries> = Vec::new();
    loop {
        let page = query.list_series(request.clone()).await.map_err(|status| told(&status))?.into_inner();
        listed.extend(page.series);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let rows = listed.into_iter().map(|one| {
        let (key, last) = (one.key.unwrap_or_default(), one.last.unwrap_or_default());
        let time = last.time.map(|time| time.to_string()).unwrap_or_default();
        [key.subject, key.metric, last.value.to_string(), one.unit, time]
    });
    print!("{}", table::of(&["SUBJECT", "METRIC", "LAST", "UNIT", "TIME"], rows));
    Ok(())
}

async fn plot(server: &Server, settings: &Settings, key: SeriesKey, last: Duration) -> anyhow::Result<()> {
    let step = step_of(last);
    let now: Timestamp = SystemClock.now();
    let request = QuerySeriesRequest {
        series: vec![key.clone()],
        start_time: Some((now - last).to_proto()),
        end_time: Some(now.to_proto()),
        step: Some(step.try_into().context("--last")?),
        aggregations: [Aggregation::Avg, Aggregation::Min, Aggregation::Max].map(i32::from).to_vec(),
        fill: Fill::Null.into(),
        ..QuerySeriesRequest::default()
    };
    let response = server.query(settings).await?.query_series(request).await;
    let found = response.map_err(|status| told(&status))?.into_inner().series;
    let series = found.into_iter().next().unwrap_or_default();
    println!("{}", draw(&key, &series, step));
    Ok(())
}

/// Whole seconds, so that the plot fits.
fn step_of(last: Duration) -> Duration {
    Duration::from_secs(last.as_secs().div_ceil(COLUMNS.into()).max(1))
}

/// A line of bars, and what the lowest and the highest stand for.
fn draw(key: &SeriesKey, series: &Found, step: Duration) -> String {
    let (name, unit) = (format!("{} {}", key.subject, key.metric), &series.unit);
    let low = series.buckets.iter().filter_map(|bucket| bucket.min).reduce(f64::min);
    let high = series.buckets.iter().filter_map(|bucket| bucket.max).reduce(f64::max);
    let (Some(low), Some(high)) = (low, high) else { return format!("{name}: no samples") };
    let samples: u64 = series.buckets.iter().map(|bucket| bucket.count).sum();
    let bars: String = series
        .buckets
        .iter()
        .map(|bucket| bucket.avg.map_or(' ', |value| LEVELS[level(value, low, high)]))
        .collect();
    let step = humantime::format_duration(step);
    format!("{name}\n{bars}\n{low} to {high} {unit}, {samples} samples, a column is {step}")
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the levels")]
fn level(value: f64, low: f64, high: f64) -> usize {
    let share = if high > low { (value - low) / (high - low) } else { 0.5 };
    ((share * 7.0).round().clamp(0.0, 7.0)) as usize
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::query::Bucket;

    use super::*;

    #[test]
    fn a_plot_has_a_bar_for_each_bucket_and_a_gap_for_none() {
        let bucket = |value: f64| Bucket {
            count: 2,
            avg: Some(value),
            min: Some(value),
            max: Some(value),
            ..Bucket::default()
        };
        let buckets = vec![bucket(1.0), Bucket::default(), bucket(8.0)];
        let series = Found { unit: "Cel".into(), buckets, ..Found::default() };
        let key = SeriesKey { subject: "pump".into(), metric: "x".into() };
        let drawn = draw(&key, &series, step_of(Duration::from_hours(1)));
        assert_eq!(drawn, "pump x\n▁ █\n1 to 8 Cel, 4 samples, a column is 1m");
        assert_eq!(draw(&key, &Found::default(), Duration::from_secs(1)), "pump x: no samples");
    }
}
