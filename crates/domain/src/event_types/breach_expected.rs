//! `BreachExpected`: a limit that a series is expected to cross.

use cornjacket_proto::events::BreachExpected;
use cornjacket_proto::events::anomaly_detected::Severity;
use cornjacket_proto::events::breach_expected::Direction;

use crate::clean::Checker;
use crate::violation::Reason;

pub(super) fn check(breach: &mut BreachExpected, checker: &mut Checker) {
    checker.text("series_subject", &mut breach.series_subject, &(1..=256));
    checker.text("metric", &mut breach.metric, &(1..=128));
    checker.text("rule", &mut breach.rule, &(1..=128));
    checker.text("forecaster", &mut breach.forecaster, &(1..=128));
    checker.text("forecaster_version", &mut breach.forecaster_version, &(0..=128));
    checker.finite("limit", breach.limit);
    checker.finite("last_value", breach.last_value);
    if !matches!(Direction::try_from(breach.direction), Ok(Direction::Up | Direction::Down)) {
        checker.fail("direction", Reason::Range, "must be up or down");
    }
    if Severity::try_from(breach.severity).is_err() {
        checker.fail("severity", Reason::Range, "is not a known severity");
    }
    if !(0.0..=1.0).contains(&breach.probability) {
        checker.fail("probability", Reason::Range, "must be 0 to 1");
    }
    match &mut breach.last_time {
        Some(time) => checker.time("last_time", time),
        None => checker.fail("last_time", Reason::Required, "must be set"),
    }
    for (field, time) in
        [("expected_time", &mut breach.expected_time), ("earliest_time", &mut breach.earliest_time)]
    {
        if let Some(time) = time {
            checker.time(field, time);
        }
    }
}
