//! The mapping as the specification's examples show it, and as generated events prove it.

mod examples;
mod payloads;
mod refusals;
mod round_trips;

use bytes::Bytes;
use cornjacket_proto::events::attribute_value::Value;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AttributeValue, Event, Raw};

use super::*;

fn text(text: &str) -> AttributeValue {
    AttributeValue { value: Some(Value::String(text.into())) }
}

fn raw(content_type: &str, data: impl Into<Bytes>) -> Payload {
    Payload::Raw(Raw { content_type: content_type.into(), data: data.into() })
}

/// The JSON of an event of `event_type` with `more` members.
fn envelope(event_type: &str, more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    format!(
        r#"{{"specversion":"1.0","id":"1","source":"/s","type":"{event_type}","subject":"x"{comma}{more}}}"#
    )
}

fn payload(event_type: &str, more: &str) -> Option<Payload> {
    let event = from_structured(envelope(event_type, more).as_bytes());
    event.unwrap_or_else(|refused| panic!("{more}: {refused}")).payload
}

fn fields(unreadable: Unreadable) -> Vec<String> {
    match unreadable {
        Unreadable::Fields(violations) => violations.into_iter().map(|violation| violation.field).collect(),
        Unreadable::Json { field, line, column, .. } => vec![format!("{field}@{line}:{column}")],
    }
}
