//! `AnomalyDetected`: a sample that a detector found unusual.

use cornjacket_proto::events::AnomalyDetected;
use cornjacket_proto::events::anomaly_detected::Severity;

use crate::clean::{Checker, Segment};
use crate::violation::Reason;

pub(super) fn check(anomaly: &mut AnomalyDetected, checker: &mut Checker) {
    checker.text("series_subject", &mut anomaly.series_subject, &(1..=256));
    checker.text("metric", &mut anomaly.metric, &(1..=128));
    checker.text("model", &mut anomaly.model, &(1..=128));
    match &mut anomaly.sample_time {
        Some(time) => checker.time("sample_time", time),
        None => checker.fail("sample_time", Reason::Required, "must be set"),
    }
    if Severity::try_from(anomaly.severity).is_err() {
        checker.fail("severity", Reason::Range, "is not a known severity");
    }
    checker.finite("value", anomaly.value);
    checker.finite("score", anomaly.score);
    checker.finite("expected", anomaly.expected.unwrap_or_default());
    checker.finite("expected_lower", anomaly.expected_lower.unwrap_or_default());
    checker.finite("expected_upper", anomaly.expected_upper.unwrap_or_default());
    checker.within(Segment::Field("contributions"), |checker| {
        for (index, contribution) in anomaly.contributions.iter_mut().enumerate() {
            checker.within(Segment::Index(index), |checker| {
                checker.text("feature", &mut contribution.feature, &(1..=128));
                checker.finite("weight", contribution.weight);
            });
        }
    });
}
