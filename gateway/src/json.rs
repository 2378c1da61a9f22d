//! The canonical JSON of protobuf, both ways, with errors that say where.
//!
//! Fields are read by JSON name or proto name. They are written by JSON name; unset fields and defaults without presence
//! are left out, 64-bit integers are strings, enum values are names: the mapping's own defaults.

mod opaque;
mod unique;

use std::fmt::Write;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde::de::DeserializeSeed;
use serde_path_to_error::{Segment, Track};

use crate::field_error::FieldError;
use unique::Unique;

/// How prost-reflect and [`unique`] begin what they say of a key; the key itself stands behind it in `'`.
const UNKNOWN: &str = "unrecognized field name '";
const TWICE: &str = "duplicate key '";

/// Reads `text` as a message. `at` is the message's own path in the request, empty for the request itself.
pub fn decode(descriptor: &MessageDescriptor, text: &[u8], at: &str) -> Result<DynamicMessage, FieldError> {
    read(Unique::default(), text, at)?;
    read(descriptor.clone(), text, at)
}

/// Reads `text` as the value of a field that is no message.
pub(crate) fn decode_field(field: &FieldDescriptor, text: &[u8]) -> Result<DynamicMessage, FieldError> {
    let opening = format!("{{\"{}\":", field.json_name());
    let whole = [opening.as_bytes(), text, b"}"].concat();
    decode(field.parent_message(), &whole, "").map_err(|error| error.moved_left(opening.len()))
}

fn read<'t, S: DeserializeSeed<'t> + Clone>(
    seed: S,
    text: &'t [u8],
    at: &str,
) -> Result<S::Value, FieldError> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = seed.clone().deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    value.map_err(|error| located(seed, text, at, &error))
}

/// Reads once more, keeping track of the path: only who made a mistake pays for it.
fn located<'t, S: DeserializeSeed<'t>>(
    seed: S,
    text: &'t [u8],
    at: &str,
    error: &serde_json::Error,
) -> FieldError {
    let mut track = Track::new();
    let mut json = serde_json::Deserializer::from_slice(text);
    let tracked = seed.deserialize(serde_path_to_error::Deserializer::new(&mut json, &mut track));
    let mut field = at.to_owned();
    // What comes behind the value belongs to no field.
    if tracked.is_err() {
        track.path().iter().for_each(|segment| push(&mut field, segment));
    }
    let message = error.to_string();
    let description = message.rsplit_once(" at line ").map_or(message.as_str(), |(text, _)| text).to_owned();
    let reason = match key_of(&description) {
        Some((key, reason)) => {
            push_name(&mut field, key);
            reason
        }
        None if error.is_data() => "MALFORMED",
        None => "SYNTAX",
    };
    let (line, column) = (Some(error.line()), Some(error.column()));
    FieldError { field, reason: reason.into(), description, line, column }
}

/// The key that an error is about, where there is one, and the reason.
fn key_of(description: &str) -> Option<(&str, &'static str)> {
    let key = |prefix| description.strip_prefix(prefix)?.strip_suffix('\'');
    let unknown = key(UNKNOWN).map(|key| (key, "UNKNOWN_FIELD"));
    unknown.or_else(|| key(TWICE).map(|key| (key, "DUPLICATE_KEY")))
}

fn push(path: &mut String, segment: &Segment) {
    match segment {
        Segment::Seq { index } => {
            let _ = write!(path, "[{index}]");
        }
        Segment::Map { key } => push_name(path, key),
        Segment::Enum { variant } => push_name(path, variant),
        Segment::Unknown => {}
    }
}

fn push_name(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// Writes a message.
pub fn encode(message: &DynamicMessage) -> Result<Vec<u8>, serde_json::Error> {
    match serde_json::to_vec(message) {
        Ok(json) => Ok(json),
        Err(_) => serde_json::to_vec(&opaque::encode(message)?),
    }
}

/// Writes a field of a message; `null` where it is not set.
pub(crate) fn encode_field(
    message: &DynamicMessage,
    field: &FieldDescriptor,
) -> Result<Vec<u8>, serde_json::Error> {
    let single = matches!(field.kind(), Kind::Message(_)) && !field.is_list() && !field.is_map();
    match message.get_field(field).as_ref() {
        Value::Message(nested) if single && message.has_field(field) => encode(nested),
        _ => {
            let whole = opaque::encode(message)?;
            serde_json::to_vec(whole.get(field.json_name()).unwrap_or(&serde_json::Value::Null))
        }
    }
}

#[cfg(test)]
mod tests;
