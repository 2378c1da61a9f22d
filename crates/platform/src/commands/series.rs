//! `cornjacket series`: which series there are, and what one of them looks like.

mod scored;
mod unscored;

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use cornjacket_domain::{Clock, SystemClock, Timestamp};
use cornjacket_proto::events::Event;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::query::{
    Aggregation, Bucket, Fill, ListAnomaliesRequest, ListSeriesRequest, ListedSeries, QuerySeriesRequest,
    Series as Found, SeriesKey,
};

use super::backtest::{Reference, reference};
use super::client::{Server, told};
use super::table;
use crate::config::Settings;
use crate::telemetry;

/// From the lowest value to the highest.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// An anomaly begins here.
const MARK: char = '▲';
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
    /// Mark what this model would find, instead of what was found.
    #[arg(long, value_name = "NAME[/VERSION]", value_parser = reference, requires = "metric")]
    model: Option<Reference>,
}

impl Series {
    /// Asks and prints.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            match (self.subject, self.metric) {
                (Some(subject), Some(metric)) => {
                    let key = SeriesKey { subject, metric };
                    plot(&self.server, settings, key, self.last, self.model.as_ref()).await
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

async fn plot(
    server: &Server,
    settings: &Settings,
    key: SeriesKey,
    last: Duration,
    model: Option<&Reference>,
) -> anyhow::Result<()> {
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
    let mut query = server.query(settings).await?;
    let response = query.query_series(request).await;
    let found = response.map_err(|status| told(&status))?.into_inner().series;
    let series = found.into_iter().next().unwrap_or_default();
    let times = match model {
        Some(model) => scored::times(server, settings, &key, model, now - last).await?,
        None => found_since(server, settings, &key, now - last).await?,
    };
    println!("{}", draw(&key, &series, step, &times));
    let Some(since) = unscored::since(&series.buckets) else { return Ok(()) };
    let request = QuerySeriesRequest {
        series: vec![key],
        start_time: Some(since),
        end_time: Some(now.to_proto()),
        scores: true,
        page_size: i32::try_from(unscored::MOST)?,
        ..QuerySeriesRequest::default()
    };
    let response = query.query_series(request).await;
    let found = response.map_err(|status| told(&status))?.into_inner().series;
    print!("{}", found.first().map(|series| unscored::lines(&series.samples)).unwrap_or_default());
    Ok(())
}

/// When the samples were taken with which anomalies began that were stored since then: hardly before they were measured.
async fn found_since(
    server: &Server,
    settings: &Settings,
    key: &SeriesKey,
    start: Timestamp,
) -> anyhow::Result<Vec<Timestamp>> {
    let request = ListAnomaliesRequest {
        subject: key.subject.clone(),
        metric: key.metric.clone(),
        start_time: Some(start.to_proto()),
        page_size: 1_000,
        ..ListAnomaliesRequest::default()
    };
    let listed = server.query(settings).await?.list_anomalies(request).await;
    let anomalies = listed.map_err(|status| told(&status))?.into_inner().anomalies;
    Ok(anomalies.iter().filter_map(sample_time).collect())
}

/// When the sample was taken with which an anomaly began.
fn sample_time(event: &Event) -> Option<Timestamp> {
    match &event.payload {
        Some(Payload::AnomalyDetected(anomaly)) => {
            anomaly.sample_time.as_ref().and_then(Timestamp::from_proto)
        }
        _ => None,
    }
}

/// Whole seconds, so that the plot fits.
fn step_of(last: Duration) -> Duration {
    Duration::from_secs(last.as_secs().div_ceil(COLUMNS.into()).max(1))
}

/// A line of bars, one below with a mark where an anomaly begins, and what the lowest and the highest stand for.
fn draw(key: &SeriesKey, series: &Found, step: Duration, anomalies: &[Timestamp]) -> String {
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
    let is_marked = |bucket: &Bucket| {
        let bound = |time: &Option<prost_types::Timestamp>| time.as_ref().and_then(Timestamp::from_proto);
        let (start, end) = (bound(&bucket.start_time), bound(&bucket.end_time));
        anomalies.iter().any(|time| start <= Some(*time) && Some(*time) < end)
    };
    let marks: String =
        series.buckets.iter().map(|bucket| if is_marked(bucket) { MARK } else { ' ' }).collect();
    let marks = marks.trim_end();
    let marks = if marks.is_empty() { String::new() } else { format!("{marks} anomalies\n") };
    let step = humantime::format_duration(step);
    format!("{name}\n{bars}\n{marks}{low} to {high} {unit}, {samples} samples, a column is {step}")
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the levels")]
fn level(value: f64, low: f64, high: f64) -> usize {
    let share = if high > low { (value - low) / (high - low) } else { 0.5 };
    ((share * 7.0).round().clamp(0.0, 7.0)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_has_a_bar_for_each_bucket_and_a_gap_for_none() {
        let time = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let bucket = |value: f64| Bucket {
            start_time: time(60),
            end_time: time(120),
            count: 2,
            avg: Some(value),
            min: Some(value),
            max: Some(value),
            ..Bucket::default()
        };
        let buckets = vec![bucket(1.0), Bucket::default(), bucket(8.0)];
        let series = Found { unit: "Cel".into(), buckets, ..Found::default() };
        let key = SeriesKey { subject: "pump".into(), metric: "x".into() };
        let drawn = draw(&key, &series, step_of(Duration::from_hours(1)), &[]);
        assert_eq!(drawn, "pump x\n▁ █\n1 to 8 Cel, 4 samples, a column is 1m");
        let marked = draw(&key, &series, Duration::from_secs(1), &[Timestamp::from_micros(60_000_000)]);
        assert_eq!(marked.lines().nth(2), Some("▲ ▲ anomalies"));
        let unmarked = draw(&key, &series, Duration::from_secs(1), &[Timestamp::from_micros(120_000_000)]);
        assert!(!unmarked.contains("anomalies"));
        assert_eq!(draw(&key, &Found::default(), Duration::from_secs(1), &[]), "pump x: no samples");
    }
}
