//! `Idempotency-Key`: the event's id stands in for it.
//!
//! On a POST whose request has an event, the key becomes the event's id when that has none: the log stores an id once, so that
//! the same call again gets the first receipt. On one with a list of events the i-th, from 0, gets `{key}/{i}`, and events
//! with an id of their own keep it: the same batch again has the same ids. A key in double quotes, as the IETF's draft writes
//! it, is what is between them.

use http::HeaderMap;
use prost_reflect::{DynamicMessage, Value};

use crate::field_error::FieldError;
use crate::route::Keyed;

const HEADER: &str = "idempotency-key";

/// Gives the request's events their ids, when there is a key.
pub(crate) fn apply(
    message: &mut DynamicMessage,
    keyed: &Keyed,
    headers: &HeaderMap,
) -> Result<(), FieldError> {
    let Some(key) = key(headers)? else { return Ok(()) };
    if !message.has_field(&keyed.events) {
        return Ok(());
    }
    match message.get_field_mut(&keyed.events) {
        Value::Message(event) => single(event, keyed, key),
        Value::List(events) => {
            each(events, keyed, key);
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The key of a request, if it has one.
pub(crate) fn key(headers: &HeaderMap) -> Result<Option<&str>, FieldError> {
    let Some(header) = headers.get(HEADER) else { return Ok(None) };
    let key = header.to_str().unwrap_or_default().trim();
    let key = key.strip_prefix('"').and_then(|key| key.strip_suffix('"')).unwrap_or(key);
    if key.is_empty() {
        return Err(FieldError::new(HEADER, "MALFORMED", "is no printable ASCII"));
    }
    Ok(Some(key))
}

fn single(event: &mut DynamicMessage, keyed: &Keyed, key: &str) -> Result<(), FieldError> {
    let Value::String(id) = event.get_field_mut(&keyed.id) else { return Ok(()) };
    if id.is_empty() {
        key.clone_into(id);
    }
    if id == key {
        return Ok(());
    }
    let field = format!("{}.{}", keyed.events.json_name(), keyed.id.json_name());
    Err(FieldError::new(field, "CONFLICT", format!("is `{id}`, and the Idempotency-Key is `{key}`")))
}

fn each(events: &mut [Value], keyed: &Keyed, key: &str) {
    for (index, event) in events.iter_mut().enumerate() {
        let id = event.as_message_mut().map(|event| event.get_field_mut(&keyed.id));
        if let Some(Value::String(id)) = id.filter(|id| id.as_str().is_some_and(str::is_empty)) {
            *id = format!("{key}/{index}");
        }
    }
}
