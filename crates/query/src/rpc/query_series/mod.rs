//! `QuerySeries`: samples, or what they come to by buckets of time.

mod bucketed;
mod raw;
mod scored;

use std::collections::BTreeSet;
use std::time::Duration;

use cornjacket_domain::{Caller, Sample, SeriesKey, Timestamp};
use cornjacket_proto::query::{self, QuerySeriesRequest, QuerySeriesResponse};
use cornjacket_proto::status::Failure;
use cornjacket_store::TimeRange;
use tokio::time::Instant;
use tonic::Request;

use super::consistency::{Maker, snapshot_with};
use super::list_events::time;
use super::{QueryRpc, invalid, printable, required};

/// Series of one request.
const MOST_SERIES: usize = 20;
/// What is asked for when no beginning is given.
const DEFAULT_RANGE: Duration = Duration::from_hours(1);

/// The consumer that writes series, in the crate that this one does not see.
const WRITER: &str = "inference";

/// Who makes series of those subjects.
pub(super) fn maker<'a>(rpc: &'a QueryRpc, subjects: &'a [&'a str]) -> Maker<'a> {
    Maker { consumer: WRITER, topics: &rpc.series_topics, subjects }
}

pub(super) async fn query_series(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<QuerySeriesRequest>,
) -> Result<QuerySeriesResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let mut request = request.into_inner();
    let keys = keys(std::mem::take(&mut request.series))?;
    for key in &keys {
        caller.authorize_state(&key.subject)?;
    }
    let range = range_of(rpc, request.start_time.as_ref(), request.end_time.as_ref())?;
    let subjects: BTreeSet<&str> = keys.iter().map(|key| key.subject.as_str()).collect();
    let subjects: Vec<&str> = subjects.into_iter().collect();
    let maker = maker(rpc, &subjects);
    let snapshot = || snapshot_with(rpc, deadline, &maker, &request.consistency_token);
    // A wide question waits for its token before its turn, and for its turn without a snapshot.
    if let Some(step) = request.step {
        if request.scores {
            return Err(invalid("scores", "are for samples, without a step", "MISMATCH"));
        }
        let plan = bucketed::Plan::new(rpc, &request, step, range, keys.len())?;
        let mut first = snapshot().await?;
        if let Some(narrow) = plan.narrow(keys.len())
            && let Some(answer) = narrow.read(first.as_mut(), keys.clone(), None).await?
        {
            return Ok(answer);
        }
        drop(first);
        let mut turn = rpc.turns.next(deadline, rpc.log.watch()).await?;
        let answer = plan.read(snapshot().await?.as_mut(), keys, Some(&mut turn)).await?;
        answer.ok_or_else(bucketed::too_many_samples)
    } else {
        let page = raw::Page::new(&request, range, &keys)?;
        let mut first = snapshot().await?;
        let answer = page.narrow().read(rpc, first.as_mut(), keys.clone()).await?;
        if !page.is_wide() || answer.next_page_token.is_empty() {
            return Ok(answer);
        }
        drop(first);
        let _turn = rpc.turns.next(deadline, rpc.log.watch()).await?;
        page.read(rpc, snapshot().await?.as_mut(), keys).await
    }
}

fn keys(wanted: Vec<query::SeriesKey>) -> Result<Vec<SeriesKey>, Failure> {
    if wanted.is_empty() || wanted.len() > MOST_SERIES {
        return Err(invalid("series", "must be one to twenty", "OUT_OF_RANGE"));
    }
    let mut keys: Vec<SeriesKey> = Vec::with_capacity(wanted.len());
    for (index, query::SeriesKey { subject, metric }) in wanted.into_iter().enumerate() {
        for (field, value) in [("subject", &subject), ("metric", &metric)] {
            let field = format!("series[{index}].{field}");
            required(&field, value)?;
            printable(&field, value)?;
        }
        let key = SeriesKey { subject, metric };
        if keys.contains(&key) {
            return Err(invalid(&format!("series[{index}]"), "is there already", "REPEATED"));
        }
        keys.push(key);
    }
    Ok(keys)
}

/// The range of a request that gives these times, or not.
pub(super) fn range_of(
    rpc: &QueryRpc,
    start: Option<&prost_types::Timestamp>,
    end: Option<&prost_types::Timestamp>,
) -> Result<TimeRange, Failure> {
    let end = time("end_time", end)?.unwrap_or_else(|| rpc.clock.now());
    let start = time("start_time", start)?.unwrap_or(end - DEFAULT_RANGE);
    if start >= end {
        return Err(invalid("start_time", "must be before end_time", "OUT_OF_RANGE"));
    }
    Ok(TimeRange { start, end })
}

pub(super) fn key_to_proto(key: SeriesKey) -> query::SeriesKey {
    query::SeriesKey { subject: key.subject, metric: key.metric }
}

pub(super) fn sample_to_proto(sample: Sample) -> query::Sample {
    query::Sample {
        time: Some(sample.time.to_proto()),
        value: sample.value,
        position: sample.position,
        scores: Vec::new(),
    }
}

/// What of a range is kept.
fn kept(range: TimeRange, oldest: Timestamp) -> TimeRange {
    TimeRange { start: range.start.max(oldest), ..range }
}
