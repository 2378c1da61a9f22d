//! `cornjacket bench queries`: how fast questions are answered, with a million events stored and with ten.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::{Clock, Partitions, SystemClock};
use cornjacket_proto::query::{GetProjectionRequest, QuerySeriesRequest, SeriesKey};
use cornjacket_store::Store;
use tokio::time::Instant;

use super::catch_up::until_caught_up;
use super::load::{Measured, repeat};
use super::report::Report;
use super::scratch::Postgres;
use super::server::Server;
use super::{Options, load, wide, workload};
use crate::config::Settings;

/// Events that are stored when questions are asked.
const STORED: [(&str, usize); 2] = [("1m", 1_000_000), ("10m", 10_000_000)];
const BATCH: usize = 5_000;
/// Events that are made, and held in memory, at once.
const PART: usize = 100_000;
const CALLERS: usize = 4;
const TIME: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_hours(24);
const FIVE_MINUTES: Duration = Duration::from_mins(5);

/// Measures, prints a table, and writes the figures.
pub async fn run(settings: &Settings, options: &Options) -> anyhow::Result<()> {
    anyhow::ensure!(settings.store.url.starts_with("postgres"), "store.url: must name a PostgreSQL");
    let server = Postgres::connect(&settings.store.url).await?;
    let mut report = Report::default();
    let database = server.database("queries").await?;
    let measured = measure(&database.socket_url(), options.runs, &mut report).await;
    database.drop_it().await?;
    measured?;
    println!("{}", report.table());
    println!(
        "{CALLERS} callers at once. A thousand devices, whose readings are spread over a day: the latest state of one; \
         24 hours of one series in 5-minute buckets. _p99_ms is with ten million events stored. Wide: ingest in batches \
         while 16 callers ask for pages of a thousand events and for percentiles of a day of twenty series, and its share \
         of what it is without them."
    );
    options.json.as_ref().map_or(Ok(()), |path| report.write_json(path))
}

async fn measure(url: &str, runs: u32, report: &mut Report) -> anyhow::Result<()> {
    let server = Server::start(url, "ingest,projector,inference,query", &[]).await?;
    let options = cornjacket_store::Options::new(url.to_owned(), Partitions::ONE);
    let store = Store::open(&options, Arc::new(SystemClock)).await?;
    let mut stored = 0;
    for (name, count) in STORED {
        let began = Instant::now();
        for first in (stored..count).step_by(PART) {
            let batches = workload::day(first, PART.min(count - first), stored..count, BATCH);
            load::batches(&server, batches, 1).await?;
        }
        until_caught_up(&store, "device_state").await?;
        until_caught_up(&store, "inference").await?;
        stored = count;
        eprintln!("{count} events stored after another {:?}", began.elapsed());
        for _ in 0..runs {
            let latest = latest(&server).await?;
            let buckets = buckets(&server).await?;
            for (question, measured) in [("latest", latest), ("buckets", buckets)] {
                report.add(format!("query.{question}_{name}_p50_ms"), "ms", measured.quantile_ms(0.5));
                report.add(format!("query.{question}_{name}_p99_ms"), "ms", measured.quantile_ms(0.99));
                if count == STORED[1].1 {
                    report.add(format!("query.{question}_p99_ms"), "ms", measured.quantile_ms(0.99));
                }
            }
        }
    }
    wide::measure(&server, &store, runs, report).await?;
    server.stop().await
}

async fn latest(server: &Server) -> anyhow::Result<Measured> {
    let query = server.query().await?;
    repeat(CALLERS, TIME, move |number| {
        let mut query = query.clone();
        async move {
            let request = GetProjectionRequest {
                projection: "device_state".into(),
                subject: workload::device(number),
                consistency_token: String::new(),
            };
            query.get_projection(request).await?;
            Ok(())
        }
    })
    .await
}

async fn buckets(server: &Server) -> anyhow::Result<Measured> {
    let query = server.query().await?;
    repeat(CALLERS, TIME, move |number| {
        let mut query = query.clone();
        async move {
            let now = SystemClock.now();
            let key = SeriesKey { subject: workload::device(number), metric: "temperature".into() };
            let request = QuerySeriesRequest {
                series: vec![key],
                start_time: Some((now - DAY).to_proto()),
                end_time: Some(now.to_proto()),
                step: Some(FIVE_MINUTES.try_into()?),
                ..QuerySeriesRequest::default()
            };
            let answer = query.query_series(request).await?.into_inner();
            anyhow::ensure!(answer.series[0].buckets.len() > 200, "a day of buckets");
            Ok(())
        }
    })
    .await
}
