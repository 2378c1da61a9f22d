//! A request message from what HTTP has of it: body, query and path.
//!
//! The path says what is asked about: it wins over the query and the body, and one of them that says otherwise is an error
//! rather than passed over.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};

use crate::field_error::FieldError;
use crate::json;
use crate::query;
use crate::route::{BodyRule, Route};
use crate::scalar;
use crate::template::Capture;

/// Makes the request of `route`. `body` is empty where the route has none.
pub fn bind(
    route: &Route,
    captures: &[Capture<'_, '_>],
    query: Option<&str>,
    body: &[u8],
) -> Result<DynamicMessage, FieldError> {
    let mut message = read(route, body)?;
    complete(&mut message, route, captures, query)?;
    Ok(message)
}

/// What the body says: most of the work, when it is large.
pub(crate) fn read(route: &Route, body: &[u8]) -> Result<DynamicMessage, FieldError> {
    match &route.body {
        _ if body.is_empty() => Ok(DynamicMessage::new(route.input.clone())),
        BodyRule::None => Ok(DynamicMessage::new(route.input.clone())),
        BodyRule::Whole => json::decode(&route.input, body, ""),
        BodyRule::Field(field) => from_field(route, field, body),
    }
}

/// What query and path say beside the body.
pub(crate) fn complete(
    message: &mut DynamicMessage,
    route: &Route,
    captures: &[Capture<'_, '_>],
    query: Option<&str>,
) -> Result<(), FieldError> {
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        query::bind(message, query, &route.body)?;
    }
    for (capture, path) in captures.iter().zip(&route.variables) {
        let wrong = |reason: &str, text: String| FieldError::new(path.json_path(), reason, text);
        let text = capture.value().ok_or_else(|| wrong("MALFORMED", "bytes that are no UTF-8".into()))?;
        let value = scalar::parse(&path.last().kind(), &text).map_err(|text| wrong("MALFORMED", text))?;
        if !path.set(message, value) {
            return Err(wrong("CONFLICT", format!("is `{text}` in the path, and something else beside it")));
        }
    }
    Ok(())
}

fn from_field(route: &Route, field: &FieldDescriptor, body: &[u8]) -> Result<DynamicMessage, FieldError> {
    match field.kind() {
        Kind::Message(descriptor) if !field.is_list() && !field.is_map() => {
            let value = json::decode(&descriptor, body, field.json_name())?;
            let mut message = DynamicMessage::new(route.input.clone());
            message.set_field(field, Value::Message(value));
            Ok(message)
        }
        _ => json::decode_field(field, body),
    }
}

#[cfg(test)]
mod tests;
