//! Messages with an `Any` of a type that is not in the contract: the canonical JSON has no form for these.
//!
//! Events may carry them. Each is written as `{"@type": …, "value": …}` with its bytes in base64, the form that the
//! canonical mapping has for types with JSON of their own.

use cornjacket_proto::Any;
use cornjacket_proto::google::rpc::RetryInfo;
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage, Value};

use crate::any;

/// An `Any` that was taken out, and its place as a JSON pointer (RFC 6901).
type Taken = (String, Any);

/// Writes a message that [`super::encode`] cannot.
pub(super) fn encode(message: &DynamicMessage) -> Result<serde_json::Value, serde_json::Error> {
    let mut rest = message.clone();
    let mut taken = Vec::new();
    take_from(&mut rest, "", &mut taken);
    let mut json = serde_json::to_value(&rest)?;
    for (pointer, opaque) in &taken {
        if let Some(place) = json.pointer_mut(pointer) {
            *place = any::to_json(opaque);
        }
    }
    Ok(json)
}

/// Puts something known in the place of every `Any` below `message` that is not.
fn take_from(message: &mut DynamicMessage, at: &str, taken: &mut Vec<Taken>) {
    if message.descriptor().full_name() == "google.protobuf.Any" {
        if serde_json::to_value(&*message).is_ok() {
            return;
        }
        if let Ok(opaque) = message.transcode_to() {
            taken.push((at.to_owned(), opaque));
        }
        *message = DynamicMessage::new(message.descriptor());
        // Both are the same type: this cannot fail, and if it did, writing the message would say so.
        let _ = message.transcode_from(&any::pack(&RetryInfo::default()));
        return;
    }
    // What else is of Google has JSON of its own, without fields.
    if !message.descriptor().full_name().starts_with("google.protobuf.") {
        for (field, value) in message.fields_mut() {
            take_within(value, &format!("{at}/{}", field.json_name()), taken);
        }
    }
}

fn take_within(value: &mut Value, at: &str, taken: &mut Vec<Taken>) {
    match value {
        Value::Message(message) => take_from(message, at, taken),
        Value::List(list) => {
            for (index, element) in list.iter_mut().enumerate() {
                take_within(element, &format!("{at}/{index}"), taken);
            }
        }
        Value::Map(map) => {
            for (key, element) in map {
                take_within(element, &format!("{at}/{}", escaped(key)), taken);
            }
        }
        _ => {}
    }
}

fn escaped(key: &MapKey) -> String {
    match key {
        MapKey::Bool(key) => key.to_string(),
        MapKey::I32(key) => key.to_string(),
        MapKey::I64(key) => key.to_string(),
        MapKey::U32(key) => key.to_string(),
        MapKey::U64(key) => key.to_string(),
        MapKey::String(key) => key.replace('~', "~0").replace('/', "~1"),
    }
}
