//! What is said of samples, on its way into a transaction: the same for whoever says it.

use cornjacket_bus::HandlerError;
use cornjacket_domain::Sample;
use cornjacket_store::{ModelId, Score, SeriesId, StoreError, Tx};

use crate::detectors::Verdict;

/// What a model's verdict on a sample is in the store.
pub(crate) fn score_of(series: SeriesId, sample: &Sample, model: ModelId, verdict: &Verdict) -> Score {
    Score {
        series,
        time: sample.time,
        position: sample.position,
        model,
        score: verdict.score,
        expected: verdict.expected.map(|expected| [expected.value, expected.lower, expected.upper]),
        severity: verdict.finding.as_ref().map(|finding| i16::from(finding.severity as u8)),
        unscored: None,
    }
}

/// Has anomalies, encoded, on their way into the log, in this order.
pub(crate) async fn send(tx: &mut dyn Tx, anomalies: &[Vec<u8>]) -> Result<(), StoreError> {
    if anomalies.is_empty() {
        return Ok(());
    }
    metrics::counter!("cornjacket_inference_anomalies_total").increment(anomalies.len() as u64);
    tx.send(anomalies).await
}

/// What a failure of the store means to the consume loop.
pub(crate) fn failed(error: StoreError) -> HandlerError {
    HandlerError::of_store(error.is_unfit(), error)
}
