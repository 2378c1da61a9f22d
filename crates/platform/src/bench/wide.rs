//! What is left of ingest while others ask the widest questions there are: the last part of `cornjacket bench queries`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cornjacket_domain::{Clock, SystemClock};
use cornjacket_proto::query::query_service_client::QueryServiceClient;
use cornjacket_proto::query::{Aggregation, ListEventsRequest, QuerySeriesRequest, SeriesKey};
use cornjacket_store::Store;
use tokio::task::JoinSet;
use tonic::{Code, Status};

use super::catch_up::until_caught_up;
use super::report::Report;
use super::server::Server;
use super::{load, workload};
use crate::commands::client::Connection;

const CALLERS: usize = 16;
/// The most events of a page, and the most series of a question.
const PAGE: i32 = 1_000;
const SERIES: usize = 20;
const STEP: Duration = Duration::from_mins(5);
const DAY: Duration = Duration::from_hours(24);
/// What is appended in each measurement.
const BATCHES: (usize, usize) = (300, 1_000);
const WRITERS: usize = 4;

/// Questions that were answered, refused because others were being answered, and given up at their deadline.
#[derive(Debug, Default)]
struct Asked {
    answered: AtomicUsize,
    refused: AtomicUsize,
    late: AtomicUsize,
}

/// Measures ingest without and with callers who ask, one after the other, `runs` times.
pub async fn measure(server: &Server, store: &Store, runs: u32, report: &mut Report) -> anyhow::Result<()> {
    let stored = usize::try_from(store.log.head().await?.position)?;
    for _ in 0..runs {
        let alone = ingest(server, store).await?;
        let (asked, mut callers) = (Arc::new(Asked::default()), JoinSet::new());
        for caller in 0..CALLERS {
            callers.spawn(ask(server.query().await?, caller, stored, asked.clone()));
        }
        let beside = tokio::select! {
            beside = ingest(server, store) => beside?,
            Some(ended) = callers.join_next() => ended??,
        };
        callers.shutdown().await;
        eprintln!("ingest alone {alone:.0}/s, beside {CALLERS} callers {beside:.0}/s, {asked:?}");
        report.add("query.wide_ingest_per_s", "events/s", beside);
        report.add("query.wide_ingest_share", "", beside / alone);
        let answered = f64::from(u32::try_from(asked.answered.load(Ordering::Relaxed))?);
        report.add("query.wide_answered", "", answered);
    }
    Ok(())
}

/// Events a second that are acknowledged.
async fn ingest(server: &Server, store: &Store) -> anyhow::Result<f64> {
    for consumer in ["device_state", "inference"] {
        until_caught_up(store, consumer).await?;
    }
    let (count, size) = BATCHES;
    Ok(load::batches(server, workload::batches(count, size), WRITERS).await?.per_second())
}

/// Asks for ever, one question after the other.
async fn ask(
    mut query: QueryServiceClient<Connection>,
    caller: usize,
    stored: usize,
    asked: Arc<Asked>,
) -> anyhow::Result<f64> {
    for number in (caller..).step_by(CALLERS) {
        let answer = if caller.is_multiple_of(2) {
            query.list_events(page(number, stored)).await.map(drop)
        } else {
            query.query_series(percentiles(number)?).await.map(drop)
        };
        count(answer, &asked)?;
    }
    anyhow::bail!("numbers ended")
}

fn count(answer: Result<(), Status>, asked: &Asked) -> anyhow::Result<()> {
    let counted = match answer {
        Ok(()) => &asked.answered,
        Err(status) if status.code() == Code::Unavailable => &asked.refused,
        Err(status) if status.code() == Code::DeadlineExceeded => &asked.late,
        Err(status) => return Err(status.into()),
    };
    counted.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// The largest page there is, from all over the log.
fn page(number: usize, stored: usize) -> ListEventsRequest {
    let from_position = (number * 7_919_777 % stored) as u64;
    ListEventsRequest { page_size: PAGE, from_position, ..ListEventsRequest::default() }
}

/// Percentiles of a day, which need every sample.
fn percentiles(number: usize) -> anyhow::Result<QuerySeriesRequest> {
    let now = SystemClock.now();
    let key = |device| SeriesKey {
        subject: workload::device(number * SERIES + device),
        metric: "temperature".into(),
    };
    Ok(QuerySeriesRequest {
        series: (0..SERIES).map(key).collect(),
        start_time: Some((now - DAY).to_proto()),
        end_time: Some(now.to_proto()),
        step: Some(STEP.try_into()?),
        aggregations: vec![Aggregation::P99.into()],
        ..QuerySeriesRequest::default()
    })
}
