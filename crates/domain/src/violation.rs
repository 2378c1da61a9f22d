//! What is wrong with an event, by field.

use std::borrow::Cow;

use cornjacket_proto::google::rpc::bad_request::FieldViolation;
use cornjacket_proto::status::{ErrorKind, Failure};

/// Bytes that are shown of the beginning and of the end of a text that somebody sent.
const SHOWN: (usize, usize) = (400, 100);

/// One bad field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field from the event on, such as `sensor_reading.measurements[2].value`.
    pub field: String,
    /// What is wrong, for a person.
    pub description: String,
    /// What is wrong, for a program.
    pub reason: Reason,
}

/// Why a field is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It must be there and is not.
    Required,
    /// It is longer than its limit.
    TooLong,
    /// There are more of it than its limit.
    TooMany,
    /// It has a character or form outside its grammar.
    Grammar,
    /// A number or time outside its range, NaN and the infinities included.
    Range,
    /// It does not go with another field.
    Mismatch,
    /// It repeats what must be unique.
    Repeated,
    /// It is a name that Cornjacket gives.
    Reserved,
}

impl Reason {
    const fn name(self) -> &'static str {
        match self {
            Self::Required => "REQUIRED",
            Self::TooLong => "TOO_LONG",
            Self::TooMany => "TOO_MANY",
            Self::Grammar => "GRAMMAR",
            Self::Range => "OUT_OF_RANGE",
            Self::Mismatch => "MISMATCH",
            Self::Repeated => "REPEATED",
            Self::Reserved => "RESERVED",
        }
    }
}

impl Violation {
    /// A violation of `field`. Both texts may repeat what was sent, and are kept [`brief`].
    pub fn new(field: impl Into<String>, reason: Reason, description: impl Into<String>) -> Self {
        let (field, description) = (field.into(), description.into());
        Self { field: brief(field).into_owned(), description: brief(description).into_owned(), reason }
    }
}

/// Why an event is refused. The same event would be refused again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// Fields are bad; all of those found, never none.
    #[error("{} bad field(s), first {}: {}", .0.len(), .0[0].field, .0[0].description)]
    Fields(Vec<Violation>),
    /// The event is larger than its limit.
    #[error("the event has {bytes} bytes; the limit is {limit}")]
    TooLarge {
        /// The event's encoded size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
}

impl Invalid {
    /// What the caller is told; `prefix` is the path to the event, such as `event` or `events[3]`.
    pub fn into_failure(self, prefix: &str) -> Failure {
        let message = self.to_string();
        match self {
            Self::Fields(violations) => Failure::new(ErrorKind::Invalid, message)
                .with_violations(violations.into_iter().map(|violation| at(prefix, violation)).collect()),
            Self::TooLarge { .. } => Failure::new(ErrorKind::TooLarge, message).with_violations(vec![at(
                prefix,
                Violation::new("", Reason::TooLong, "larger than the limit"),
            )]),
        }
    }
}

/// A text as it may be told: a long one without its middle. What an event is refused for goes into logs, dead letters and
/// headers of gRPC, none of which has room for all that a name or value can be.
pub fn brief<'a>(text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
    let text = text.into();
    let (head, tail) = SHOWN;
    if text.len() <= head + tail {
        return text;
    }
    let (head, tail) = (text.floor_char_boundary(head), text.ceil_char_boundary(text.len() - tail));
    format!("{}…{}", &text[..head], &text[tail..]).into()
}

fn at(prefix: &str, violation: Violation) -> FieldViolation {
    let field = match (prefix, violation.field.as_str()) {
        (prefix, "") => prefix.to_owned(),
        ("", field) => field.to_owned(),
        (prefix, field) => format!("{prefix}.{field}"),
    };
    FieldViolation { field, description: violation.description, reason: violation.reason.name().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_starts_where_the_event_is() {
        let violation = Violation::new("subject", Reason::Required, "missing");
        assert_eq!(at("events[3]", violation.clone()).field, "events[3].subject");
        assert_eq!(at("", violation).field, "subject");
    }
    #[test]
    fn what_is_told_begins_and_ends_as_it_was_sent() {
        assert_eq!(brief("pump-7"), "pump-7");
        let long = "é".repeat(100_000);
        let violation = Violation::new(
            format!("attributes[{long:?}]"),
            Reason::Mismatch,
            format!("is {long:?}, and the topic says \"pump-7\""),
        );
        for (told, begin, end) in [
            (&violation.field, "attributes[\"é", "é\"]"),
            (&violation.description, "is \"é", ", and the topic says \"pump-7\""),
        ] {
            assert!(told.starts_with(begin) && told.ends_with(end) && told.len() < 510, "{told}");
        }
    }
}
