//! `ReportFeedback`: a person's word on what a model found, or did not find.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cornjacket_domain::{
    Caller, Event, FEEDBACK_SOURCE, Limits, RollupStep, SeriesKey, Timestamp, digest_of,
};
use cornjacket_proto::admin::report_feedback_request::{FalseAlarm, Missed, Word};
use cornjacket_proto::admin::{ReportFeedbackRequest, ReportFeedbackResponse};
use cornjacket_proto::events as proto;
use cornjacket_proto::events::FeedbackReported;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::feedback_reported::Verdict;
use cornjacket_proto::status::Failure;
use cornjacket_store::{Appended, TimeRange};
use tonic::Request;

use super::AdminRpc;
use crate::replays::{self, Playable};
use crate::rpc::get_event::find;
use crate::rpc::there::{find_series, missing};
use crate::rpc::{decode, invalid, required, store_failed};

const TYPE: &str = "ai.feedback_reported";
/// Where anomalies are from, unless it is said.
const ANOMALIES: &str = "cornjacket/inference";
/// So near a time that a person remembers, there is a sample.
const ABOUT: Duration = Duration::from_hours(1);
/// How long looking for an anomaly, or a series, may take.
const WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn report_feedback(
    rpc: &AdminRpc,
    request: Request<ReportFeedbackRequest>,
) -> Result<ReportFeedbackResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let ReportFeedbackRequest { word, comment } = request.into_inner();
    let feedback = match word {
        None => return Err(invalid("word", "must be set", "REQUIRED")),
        Some(Word::FalseAlarm(word)) => false_alarm(rpc, &caller, word).await?,
        Some(Word::Missed(word)) => missed(rpc, &caller, word).await?,
    };
    let by = caller.name().unwrap_or_default().to_owned();
    let feedback = FeedbackReported { comment, reported_by: by, ..feedback };
    let event = proto::Event {
        id: id_of(&feedback),
        source: FEEDBACK_SOURCE.to_owned(),
        r#type: TYPE.to_owned(),
        subject: feedback.series_subject.clone(),
        payload: Some(Payload::FeedbackReported(feedback.clone())),
        ..proto::Event::default()
    };
    let event = Event::new(event, rpc.clock.now(), &Limits::default())
        .map_err(|invalid| invalid.into_failure("feedback"))?;
    let id = event.id().to_owned();
    let appended = rpc.log.append(&[event]).await.map_err(|error| store_failed(&error))?;
    // With another comment it is still the same person's word on the same.
    let duplicate = !matches!(appended[..], [Appended::Stored { .. }]);
    Ok(ReportFeedbackResponse { id, duplicate, feedback: Some(feedback) })
}

async fn false_alarm(rpc: &AdminRpc, caller: &Caller, word: FalseAlarm) -> Result<FeedbackReported, Failure> {
    required("false_alarm.id", &word.id)?;
    let source = if word.source.is_empty() { ANOMALIES.to_owned() } else { word.source };
    let mut snapshot = rpc.snapshots.begin(WITHIN).await.map_err(|error| store_failed(&error))?;
    let stored = find(snapshot.as_mut(), caller, &word.id, &source).await?;
    let Some(Payload::AnomalyDetected(anomaly)) = decode(&stored)?.payload else {
        return Err(invalid("false_alarm.id", "is no anomaly", "INVALID"));
    };
    caller.authorize_state(&anomaly.series_subject)?;
    Ok(FeedbackReported {
        verdict: Verdict::FalseAlarm.into(),
        series_subject: anomaly.series_subject,
        metric: anomaly.metric,
        model: anomaly.model,
        model_version: anomaly.model_version,
        anomaly_source: source,
        anomaly_id: word.id,
        ..FeedbackReported::default()
    })
}

async fn missed(rpc: &AdminRpc, caller: &Caller, word: Missed) -> Result<FeedbackReported, Failure> {
    required("missed.subject", &word.subject)?;
    required("missed.metric", &word.metric)?;
    required("missed.model", &word.model)?;
    caller.authorize_state(&word.subject)?;
    let Some(time) = word.time.as_ref().and_then(Timestamp::from_proto) else {
        return Err(invalid("missed.time", "must be a time", "REQUIRED"));
    };
    let models = rpc.models.list().await.map_err(|error| store_failed(&error))?;
    let version = ("missed.version", word.version);
    let found = replays::find(&models, ("missed.model", &word.model), version)?;
    let key = SeriesKey { subject: word.subject.clone(), metric: word.metric.clone() };
    let oldest = RollupStep::Hour.bucket_of(rpc.clock.now() - rpc.keep_samples);
    let mut snapshot = rpc.snapshots.begin(WITHIN).await.map_err(|error| store_failed(&error))?;
    let (series, _) =
        find_series(snapshot.as_mut(), &key, ("missed.subject", "missed.metric"), oldest).await?;
    // Who finds by waiting misses what did not come.
    let waits = matches!(rpc.replays.playable(&found.model.draft), Ok(Playable::ScoresOnly));
    let range = TimeRange { start: (time - ABOUT).max(oldest), end: time + ABOUT };
    let samples = snapshot.samples(series, range, None, 1).await.map_err(|error| store_failed(&error))?;
    if samples.is_empty() && !waits {
        return Err(missing("missed.time", "the series has no sample within an hour of it"));
    }
    Ok(FeedbackReported {
        verdict: Verdict::Missed.into(),
        series_subject: word.subject,
        metric: word.metric,
        model: word.model,
        model_version: found.model.version.to_string(),
        missed_time: Some(time.to_proto()),
        ..FeedbackReported::default()
    })
}

/// Of what is said, on what, and by whom: whoever says it again says nothing new.
fn id_of(feedback: &FeedbackReported) -> String {
    let time = feedback.missed_time.as_ref().map(ToString::to_string).unwrap_or_default();
    let FeedbackReported { series_subject, metric, model, model_version, anomaly_source, anomaly_id, .. } =
        feedback;
    let parts = [
        series_subject,
        metric,
        model,
        model_version,
        anomaly_source,
        anomaly_id,
        &time,
        &feedback.reported_by,
    ];
    URL_SAFE_NO_PAD.encode(&digest_of(parts.map(String::as_str))[..16])
}
