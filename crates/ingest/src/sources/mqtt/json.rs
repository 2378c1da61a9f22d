//! What a JSON text means: an event, or only what happened.

use std::collections::BTreeMap;

use cornjacket_proto::descriptor_of;
use cornjacket_proto::events::Event;
use serde_json::value::RawValue;

/// The media type of JSON that says no more.
pub(super) const JSON: &str = "application/json";
/// Payloads that carry anything: devices may well have such names of their own.
const GENERAL: [&str; 3] = ["struct", "any", "raw"];

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// What a payload is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A CloudEvent in JSON.
    CloudEvent,
    /// Our event, as this canonical protobuf JSON.
    Event(String),
    /// Other JSON.
    Data,
    /// Not JSON at all.
    NoJson,
}

/// Whether a content type says that, and no more.
pub(super) fn is_plain(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case(JSON))
}

/// What `payload` means on a topic of `event_type`.
pub(super) fn meaning(payload: &[u8], event_type: &str) -> Meaning {
    let Ok(mut members) = serde_json::from_slice::<Members<'_>>(payload) else {
        let is_json = serde_json::from_slice::<&RawValue>(payload).is_ok();
        return if is_json { Meaning::Data } else { Meaning::NoJson };
    };
    if members.contains_key("specversion") {
        return Meaning::CloudEvent;
    }
    if event_type.starts_with("sensor.")
        && let Some(measurements) = members.remove("measurements")
    {
        let reading = format!(r#"{{"measurements":{}}}"#, measurements.get());
        return Meaning::Event(text_of(&members, Some(("sensorReading", &reading))));
    }
    if is_event(&members) { Meaning::Event(text_of(&members, None)) } else { Meaning::Data }
}

/// The object in `text` with one more member, unless it has one of that name.
pub(super) fn with_member(text: &[u8], name: &str, value: &str) -> Option<Vec<u8>> {
    let members: Members<'_> = serde_json::from_slice(text).ok()?;
    if members.contains_key(name) || members.is_empty() {
        return None;
    }
    let begin = text.iter().position(|byte| *byte == b'{')? + 1;
    let member = format!("\"{name}\":{},", serde_json::Value::from(value));
    Some([&text[..begin], member.as_bytes(), &text[begin..]].concat())
}

/// Has a payload of ours; or one that carries anything, and nothing that is no member of an event.
fn is_event(members: &Members<'_>) -> bool {
    let event = descriptor_of::<Event>();
    let field = |name: &str| event.get_field_by_name(name).or_else(|| event.get_field_by_json_name(name));
    let payload = |name: &str| field(name).is_some_and(|field| field.containing_oneof().is_some());
    let mut payloads = members.iter().filter(|(name, _)| payload(name)).peekable();
    if payloads.peek().is_none() {
        return false;
    }
    payloads.clone().any(|(name, _)| !GENERAL.contains(&name.as_str()))
        || (members.keys().all(|name| field(name).is_some())
            && payloads.all(|(_, value)| value.get().starts_with('{')))
}

fn text_of(members: &Members<'_>, more: Option<(&str, &str)>) -> String {
    let members = members.iter().map(|(name, value)| (name.as_str(), value.get())).chain(more);
    let members = members.map(|(name, value)| format!("{}:{value}", serde_json::Value::from(name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_a_payload_of_ours_is_an_event() {
        for text in [
            r#"{"sensorReading":{},"foo":1}"#,
            r#"{"id":"1","sensor_reading":{}}"#,
            r#"{"id":"1","raw":{"data":""}}"#,
            r#"{"measurements":[],"id":"1"}"#,
        ] {
            assert!(matches!(meaning(text.as_bytes(), "sensor.x"), Meaning::Event(_)), "{text}");
        }
    }

    #[test]
    fn names_of_a_devices_own_are_data() {
        for text in
            [r#"{"raw":512}"#, r#"{"raw":{},"foo":1}"#, r#"{"id":"door-3","open":true}"#, "{}", "[1]", "1"]
        {
            assert_eq!(meaning(text.as_bytes(), "door.state"), Meaning::Data, "{text}");
        }
        assert_eq!(meaning(br#"{"measurements":[]}"#, "door.state"), Meaning::Data);
        assert_eq!(meaning(b"\xff", "door.state"), Meaning::NoJson);
        assert_eq!(meaning(br#"{"specversion":1}"#, "door.state"), Meaning::CloudEvent);
    }

    #[test]
    fn a_member_is_added_where_it_is_missing() {
        let added = with_member(b" {\"a\":1}", "b", "x\"").expect("it is missing");
        assert_eq!(added, b" {\"b\":\"x\\\"\",\"a\":1}");
        assert_eq!(with_member(b"{\"b\":1}", "b", "x"), None);
        assert_eq!(with_member(b"{}", "b", "x"), None);
    }
}
