//! Spans of time that somebody states.

use std::time::Duration;

use cornjacket_domain::Violation;
use cornjacket_domain::violation::Reason;

/// A duration within bounds, where one is set.
pub fn span(
    wanted: Option<&prost_types::Duration>,
    field: &str,
    (least, most): (Duration, Duration),
    problems: &mut Vec<Violation>,
) -> Option<Duration> {
    let wanted = wanted?;
    let span = Duration::try_from(*wanted).ok().filter(|span| (least..=most).contains(span));
    if span.is_none() {
        problems.push(Violation::new(field, Reason::Range, format!("must be {least:?} to {most:?}")));
    }
    span
}
