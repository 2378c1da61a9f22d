//! The messages of `google.protobuf` that have a JSON of their own.

use prost_reflect::{Kind, MessageDescriptor};
use serde_json::{Value, json};

use super::scalars;

/// A duration in seconds, with up to nine decimals.
const DURATION: &str = r"^-?[0-9]{1,12}(?:\.[0-9]{1,9})?s$";

/// The schema of `message` if it has a JSON of its own; none for every other message.
pub(super) fn schema(message: &MessageDescriptor) -> Option<Value> {
    let name = message.full_name().strip_prefix("google.protobuf.")?;
    Some(match name {
        "Timestamp" => json!({ "type": "string", "format": "date-time" }),
        "Duration" => json!({ "type": "string", "pattern": DURATION, "examples": ["1.5s"] }),
        "FieldMask" => json!({ "type": "string", "examples": ["name,labels.color"] }),
        "Struct" => json!({ "type": "object", "additionalProperties": true }),
        "ListValue" => json!({ "type": "array", "items": {} }),
        "Value" => json!({}),
        "Empty" => json!({ "type": "object", "additionalProperties": false }),
        "Any" => any(),
        _ => wrapped(message, name)?,
    })
}

/// Whether a text says all of `message`, so that it can be a parameter.
pub(super) fn is_text(message: &MessageDescriptor) -> bool {
    let Some(name) = message.full_name().strip_prefix("google.protobuf.") else { return false };
    matches!(name, "Timestamp" | "Duration" | "FieldMask") || wrapped(message, name).is_some()
}

/// `Int64Value` and its like are what they wrap.
fn wrapped(message: &MessageDescriptor, name: &str) -> Option<Value> {
    let of_wrapper = name.ends_with("Value") && !matches!(name, "Value" | "ListValue");
    let kind: Kind = message.get_field_by_name("value").filter(|_| of_wrapper)?.kind();
    scalars::schema(&kind)
}

/// A message of any type.
pub(super) fn any() -> Value {
    json!({
        "type": "object",
        "description": "A message of the type that `@type` names, with its fields beside that, or with its JSON as \
            `value` where it has one of its own.",
        "properties": {
            "@type": { "type": "string", "examples": ["type.googleapis.com/google.rpc.BadRequest"] },
        },
        "additionalProperties": true,
    })
}
