//! Anomalies as events.

use cornjacket_domain::{Sample, SeriesKey, Timestamp, id_of};
use cornjacket_proto::events::anomaly_detected::Contribution;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AnomalyDetected, Event};
use cornjacket_store::Model;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::detectors::{Expected, Finding};

/// What events of ours say they are from.
pub(crate) const SOURCE: &str = "cornjacket/inference";
const TYPE: &str = "ai.anomaly_detected";

/// An anomaly before it is an event.
#[derive(Debug)]
pub(crate) struct Anomaly<'a> {
    /// Of which series.
    pub key: &'a SeriesKey,
    /// When it begins.
    pub time: Timestamp,
    /// With which sample; a silence with the last one before it.
    pub sample: &'a Sample,
    /// The event that the sample came with.
    pub cause: &'a Event,
    /// Who found it.
    pub model: &'a Model,
    /// How strange the sample is; nothing where the anomaly is that there was none.
    pub score: Option<f64>,
    /// What was expected of it.
    pub expected: Option<Expected>,
    /// What it found.
    pub finding: &'a Finding,
}

impl Anomaly<'_> {
    /// The event, encoded. Whenever the same is found, it is the same event, by the same id.
    pub fn encode(&self) -> Vec<u8> {
        let payload = self.payload();
        let event = Event {
            id: event_id(&payload, &self.model.draft.parameters),
            source: SOURCE.to_owned(),
            r#type: TYPE.to_owned(),
            subject: self.key.subject.clone(),
            event_time: Some(self.time.to_proto()),
            trace_context: self.cause.trace_context.clone(),
            payload: Some(Payload::AnomalyDetected(payload)),
            ..Event::default()
        };
        event.encode_to_vec()
    }

    /// What the event says.
    pub fn payload(&self) -> AnomalyDetected {
        let Self { key, sample, cause, model, score, expected, finding, .. } = self;
        let contribution = |(feature, weight): &(&str, f64)| Contribution {
            feature: (*feature).to_owned(),
            weight: *weight,
        };
        AnomalyDetected {
            series_subject: key.subject.clone(),
            metric: key.metric.clone(),
            sample_time: Some(sample.time.to_proto()),
            cause_source: cause.source.clone(),
            cause_id: cause.id.clone(),
            value: sample.value,
            score: score.unwrap_or(1.0),
            severity: finding.severity.into(),
            expected: expected.map(|expected| expected.value),
            expected_lower: expected.map(|expected| expected.lower),
            expected_upper: expected.map(|expected| expected.upper),
            contributions: finding.contributions.iter().map(contribution).collect(),
            model: model.draft.name.clone(),
            model_version: model.version.to_string(),
            parameters_digest: hex::encode(Sha256::digest(&model.draft.parameters)),
            detector: model.draft.detector.clone(),
        }
    }
}

/// The id of the event that says this, by a model with these parameters: of what makes it this anomaly and no other.
pub fn event_id(anomaly: &AnomalyDetected, parameters: &str) -> String {
    let AnomalyDetected { cause_source, cause_id, series_subject, metric, model, model_version, .. } =
        anomaly;
    let parts = [cause_source, cause_id, series_subject, metric, model, model_version];
    let [source, id, subject, metric, model, version] = parts.map(String::as_str);
    id_of([source, id, subject, metric, model, version, parameters])
}
