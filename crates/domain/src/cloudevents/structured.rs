//! Structured mode: an event as one JSON object, and batches as an array of them.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use cornjacket_proto::events::Event;
use cornjacket_proto::events::attribute_value::Value;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::error::Unreadable;
use super::incoming::Incoming;
use super::media;
use super::outgoing::{Body, Outgoing, canonical};
use super::payload::Data;
use crate::violation::{Reason, Violation};

/// Reads an event in `application/cloudevents+json`.
pub fn from_structured(json: &[u8]) -> Result<Event, Unreadable> {
    let members: Members<'_> = serde_json::from_slice(json).map_err(|error| Unreadable::json("", &error))?;
    members.into_event()
}

/// So many bad events spoil a batch: what is said of each takes more memory than two bytes of JSON do.
const MOST_UNREADABLE: usize = 5_000;

/// Reads a batch in `application/cloudevents-batch+json`. One bad event does not spoil the others, but thousands do; what
/// is wrong with it is named from the batch on: `[3].source`. A batch that is not JSON has no events.
pub fn from_batch(json: &[u8]) -> Result<Vec<Result<Event, Unreadable>>, Unreadable> {
    let items: Vec<&RawValue> = serde_json::from_slice(json).map_err(|error| Unreadable::json("", &error))?;
    let read = |item: &RawValue| match serde_json::from_str::<Members<'_>>(item.get()) {
        Ok(members) => members.into_event(),
        Err(_) => Err(Unreadable::field("", Reason::Grammar, "must be an object whose names are Unicode")),
    };
    let (mut events, mut unreadable) = (Vec::new(), 0);
    for (at, item) in items.into_iter().enumerate() {
        let event = read(item).map_err(|error| error.in_item(at));
        unreadable += usize::from(event.is_err());
        if unreadable > MOST_UNREADABLE {
            let description = format!("more than {MOST_UNREADABLE} events of the batch cannot be read");
            return Err(Unreadable::field("", Reason::TooMany, description));
        }
        events.push(event);
    }
    Ok(events)
}

/// Writes an event as JSON text. It is text and not a `serde_json::Value`, which would round the numbers of JSON that is
/// kept as it came. Fails only for an event that no check let through.
pub fn to_structured(event: &Event) -> Result<String, Violation> {
    let Outgoing { attributes, content_type, data } = Outgoing::new(event)?;
    let mut text = String::from("{");
    for (name, value) in attributes {
        member(&mut text, &name, &attribute_json(value));
    }
    let is_json = content_type.as_deref().is_some_and(media::is_json);
    let is_text = content_type.as_deref().is_some_and(media::is_text);
    if let Some(content_type) = content_type {
        member(&mut text, "datacontenttype", &string(content_type));
    }
    match data {
        None => {}
        Some(Body::Json(json)) => member(&mut text, "data", &json),
        Some(Body::Bytes(bytes)) => match std::str::from_utf8(&bytes) {
            Ok(json) if is_json && is_bare_json(json) => member(&mut text, "data", json),
            Ok(plain) if is_text && !is_json => member(&mut text, "data", &string(plain)),
            _ => member(&mut text, "data_base64", &string(STANDARD.encode(&bytes))),
        },
    }
    text.push('}');
    Ok(text)
}

/// Writes a batch as JSON text; fails as [`to_structured`] does.
pub fn to_batch<'a>(events: impl IntoIterator<Item = &'a Event>) -> Result<String, Violation> {
    let events = events.into_iter().map(to_structured).collect::<Result<Vec<_>, _>>()?;
    Ok(format!("[{}]", events.join(",")))
}

/// Appends a member whose name needs no escapes: all that leave are CloudEvents' or fit its grammar.
fn member(text: &mut String, name: &str, json: &str) {
    if text.len() > 1 {
        text.push(',');
    }
    text.extend(["\"", name, "\":", json]);
}

fn string(text: impl Into<String>) -> String {
    serde_json::Value::String(text.into()).to_string()
}

fn attribute_json(value: Value) -> String {
    match value {
        Value::Boolean(_) | Value::Integer(_) => canonical(value),
        _ => string(canonical(value)),
    }
}

/// Whether the text is JSON and begins and ends with it, so that a reader of the envelope gets the same bytes.
fn is_bare_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|json| json.get().len() == text.len())
}

/// The members of an object, their values as they are written.
pub(super) struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Self)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

impl Members<'_> {
    /// Whether `json` is an object with a member of this name.
    pub(super) fn has(json: &[u8], name: &str) -> bool {
        serde_json::from_slice::<Members<'_>>(json)
            .is_ok_and(|members| members.0.iter().any(|(member, _)| member == name))
    }

    fn into_event(self) -> Result<Event, Unreadable> {
        let mut incoming = Incoming::default();
        let (mut data, mut base64) = (None, None);
        for (name, json) in self.0 {
            let slot = match name.as_str() {
                "data" => &mut data,
                "data_base64" => &mut base64,
                _ => {
                    attribute(&mut incoming, name, json.get());
                    continue;
                }
            };
            if slot.replace(json.get()).is_some() {
                incoming.fail(&name, Reason::Repeated, "is there twice");
            }
        }
        incoming.data = match (data, base64.filter(|json| *json != "null")) {
            (data, None) => data.and_then(|json| read_data(&mut incoming, json)),
            (None, Some(json)) => read_base64(&mut incoming, json),
            (Some(_), Some(_)) => {
                incoming.fail("data_base64", Reason::Mismatch, "must not be beside `data`");
                None
            }
        };
        incoming.into_event()
    }
}

/// Takes in an attribute; `null` is none.
fn attribute(incoming: &mut Incoming, name: String, json: &str) {
    match json.as_bytes() {
        b"null" => {}
        b"true" => incoming.attribute(name, Value::Boolean(true)),
        b"false" => incoming.attribute(name, Value::Boolean(false)),
        [b'"', ..] => match serde_json::from_str(json) {
            Ok(text) => incoming.attribute(name, Value::String(text)),
            Err(_) => incoming.fail(&name, Reason::Grammar, "is not Unicode"),
        },
        [b'-' | b'0'..=b'9', ..] => match json.parse() {
            Ok(number) => incoming.attribute(name, Value::Integer(number)),
            Err(_) if json.contains(['.', 'e', 'E']) => {
                incoming.fail(&name, Reason::Grammar, "a number must be whole, and written so");
            }
            Err(_) => incoming.fail(&name, Reason::Range, "a number must fit into 32 bits"),
        },
        _ => incoming.fail(&name, Reason::Grammar, "must be a string, a whole number or a boolean"),
    }
}

fn read_data(incoming: &mut Incoming, json: &str) -> Option<Data> {
    if incoming.peek("datacontenttype").is_none_or(media::is_json) {
        return Some(Data::Json(Bytes::copy_from_slice(json.as_bytes())));
    }
    let text = serde_json::from_str::<String>(json);
    if text.is_err() {
        incoming.fail("data", Reason::Mismatch, "must be a string, as `datacontenttype` is not JSON");
    }
    text.ok().map(|text| Data::Bytes(text.into()))
}

fn read_base64(incoming: &mut Incoming, json: &str) -> Option<Data> {
    let text = serde_json::from_str::<String>(json).ok();
    let bytes = text.and_then(|text| STANDARD.decode(text).ok());
    if bytes.is_none() {
        incoming.fail("data_base64", Reason::Grammar, "is not base64");
    }
    bytes.map(|bytes| Data::Bytes(bytes.into()))
}
