//! `ScoreSeries`: what a model makes of samples, on demand.
//!
//! Detectors see a series in the order of positions, and pages are in the order of time: each page is cut out of the whole range,
//! so that what is late does not depend on where pages end.

use cornjacket_domain::{Caller, SeriesKey, Shard, Timestamp};
use cornjacket_proto::json::from_struct;
use cornjacket_proto::query::{ScoreSeriesRequest, ScoreSeriesResponse, ScoredSample};
use cornjacket_proto::status::Failure;
use cornjacket_store::{Model, ModelId, TimeRange};
use tokio::time::Instant;
use tonic::Request;

use super::consistency::snapshot_with;
use super::query_series::{key_to_proto, maker, range_of};
use super::there::find_series;
use super::{QueryRpc, authorize_series, deadline, invalid, invalid_as, store_failed};
use crate::replays::{self, Asker, Judged, Replay, ReplayQuestion, Waits};
use cornjacket_domain::page::{self, Cursor};

const DEFAULT: u32 = 1_000;
const MOST: u32 = 10_000;
/// Samples of a range.
const MOST_SAMPLES: usize = 200_000;
/// What a draft is called: what is random in a detector follows from it.
const DRAFT: &str = "draft";

/// Where a page ended, and the range, which a request without one does not say.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct After {
    #[prost(int64, tag = "1")]
    time: i64,
    #[prost(uint64, tag = "2")]
    position: u64,
    #[prost(int64, tag = "3")]
    start: i64,
    #[prost(int64, tag = "4")]
    end: i64,
}

pub(super) async fn score_series(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<ScoreSeriesRequest>,
) -> Result<ScoreSeriesResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let request = request.into_inner();
    authorize_series(&caller, &request.subject, &request.metric)?;
    let size = page::size_within(request.page_size, DEFAULT, MOST)?;
    let cursor = cursor(&request);
    let after: Option<After> = cursor.read(&request.page_token)?;
    let range = match after {
        Some(After { start, end, .. }) => {
            TimeRange { start: Timestamp::from_micros(start), end: Timestamp::from_micros(end) }
        }
        None => range_of(rpc, request.start_time.as_ref(), request.end_time.as_ref())?,
    };
    let model = model(rpc, &request).await?;
    let key = SeriesKey { subject: request.subject, metric: request.metric };
    let subjects = [key.subject.as_str()];
    let maker = maker(rpc, &subjects);
    let mut snapshot = snapshot_with(rpc, deadline, &maker, &request.consistency_token).await?;
    let oldest = rpc.oldest_sample();
    let (series, unit) = find_series(snapshot.as_mut(), &key, ("subject", "metric"), oldest).await?;
    drop(snapshot);
    let question = ReplayQuestion {
        series,
        key: key.clone(),
        shard: Shard::of(&key, rpc.partitions),
        model: model.clone(),
        as_it_ran: false,
        range,
        oldest,
        most: MOST_SAMPLES,
        compared: Vec::new(),
    };
    let turn = rpc.runs.turn(deadline).await?;
    let mut snapshot = snapshot_with(rpc, deadline, &maker, &request.consistency_token).await?;
    let replay = rpc.replays.prepare(snapshot.as_mut(), question).await;
    let replay = replay.map_err(|why| replays::refused(why, "start_time", &key))?;
    drop(snapshot);
    let asker = Asker::default();
    let waits = asker.until(deadline);
    let after_mark = after.map(|after| (Timestamp::from_micros(after.time), after.position));
    let (samples, is_last) =
        turn.run(move || page(replay, &waits, after_mark, size)).await?.ok_or_else(deadline::passed)?;
    let next = samples.last().filter(|_| !is_last).map(|last| After {
        time: last.sample.time.as_micros(),
        position: last.sample.position,
        start: range.start.as_micros(),
        end: range.end.as_micros(),
    });
    Ok(ScoreSeriesResponse {
        key: Some(key_to_proto(key)),
        unit,
        detector_version: replays::code(rpc.detectors.as_ref(), &model.draft.detector),
        detector: model.draft.detector,
        version: model.version,
        samples: samples.into_iter().map(to_proto).collect(),
        next_page_token: next.map(|next| cursor.write(&next)).unwrap_or_default(),
    })
}

/// The next samples after a mark, and whether they are the last ones. Nothing when nobody waits for them.
fn page(
    replay: Replay,
    waits: &Waits,
    after: Option<(Timestamp, u64)>,
    size: u32,
) -> Option<(Vec<Judged>, bool)> {
    let mut judged = Vec::new();
    (replay.run)(waits, &mut |one| {
        if after.is_none_or(|after| (one.sample.time, one.sample.position) > after) {
            judged.push(one);
        }
    })?;
    judged.sort_unstable_by_key(|one| (one.sample.time, one.sample.position));
    let is_last = judged.len() <= size as usize;
    judged.truncate(size as usize);
    Some((judged, is_last))
}

/// The model that is asked for: a registered one, or a draft.
async fn model(rpc: &QueryRpc, request: &ScoreSeriesRequest) -> Result<Model, Failure> {
    let (field, mut model) = match (request.model.is_empty(), request.detector.is_empty()) {
        (true, true) => return Err(invalid("detector", "must not be empty without a model", "REQUIRED")),
        (false, false) => return Err(invalid("detector", "must not be given beside a model", "MISMATCH")),
        (false, true) => {
            if request.parameters.is_some() {
                return Err(invalid("parameters", "are those of the model", "MISMATCH"));
            }
            let listed = rpc.models.list().await.map_err(|error| store_failed(&error))?;
            (
                "model",
                replays::find(&listed, ("model", &request.model), ("version", request.version))?
                    .model
                    .clone(),
            )
        }
        (true, false) => {
            if request.version != 0 {
                return Err(invalid("version", "needs a model", "MISMATCH"));
            }
            let parameters = from_struct(request.parameters.clone().unwrap_or_default());
            let draft = rpc.detectors.draft(DRAFT, &request.detector, ("*", "*"), &parameters);
            let draft = draft.map_err(|(field, problem)| invalid_as(&field, &problem, "INVALID"))?;
            ("detector", Model { id: ModelId(0), version: 0, draft })
        }
    };
    replays::require(rpc.replays.as_ref(), (field, &model.draft), true)?;
    // It is asked about this series, whichever it watches.
    (model.draft.subjects, model.draft.metrics) = ("*".to_owned(), "*".to_owned());
    Ok(model)
}

/// Every part of the question.
fn cursor(request: &ScoreSeriesRequest) -> Cursor {
    let ScoreSeriesRequest { subject, metric, start_time, end_time, model, version, detector, .. } = request;
    let parameters = request.parameters.clone().map(from_struct);
    Cursor::of(format!(
        "scores {subject:?} {metric:?} {start_time:?} {end_time:?} {model:?} {version} {detector:?} {parameters:?}"
    ))
}

fn to_proto(judged: Judged) -> ScoredSample {
    let [expected, lower, upper] = judged.expected.map_or([None; 3], |expected| expected.map(Some));
    ScoredSample {
        time: Some(judged.sample.time.to_proto()),
        value: judged.sample.value,
        position: judged.sample.position,
        score: judged.score,
        expected,
        expected_lower: lower,
        expected_upper: upper,
        severity: judged.anomaly.map(|anomaly| anomaly.severity).unwrap_or_default(),
        late: judged.late,
    }
}
