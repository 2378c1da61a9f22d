//! `FeedbackReported`: a person's word on an anomaly.

use cornjacket_proto::events::FeedbackReported;
use cornjacket_proto::events::feedback_reported::Verdict;

use crate::clean::Checker;
use crate::violation::Reason;

pub(super) fn check(feedback: &mut FeedbackReported, checker: &mut Checker) {
    checker.text("series_subject", &mut feedback.series_subject, &(1..=256));
    checker.text("metric", &mut feedback.metric, &(1..=128));
    checker.text("model", &mut feedback.model, &(1..=128));
    checker.text("comment", &mut feedback.comment, &(0..=1_024));
    if let Some(time) = &mut feedback.missed_time {
        checker.time("missed_time", time);
    }
    if !matches!(Verdict::try_from(feedback.verdict), Ok(Verdict::FalseAlarm | Verdict::Missed)) {
        checker.fail("verdict", Reason::Range, "is not a known verdict");
    }
}
