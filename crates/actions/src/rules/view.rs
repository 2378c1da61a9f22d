//! An event as conditions and templates see it: made once, when it is first looked at, for all rules.
//!
//! Fields have their names in the contract. Of a message that is there, fields have their defaults; what may be absent (the payloads
//! that the event does not have, messages, `optional` fields) is absent. Names stand for the values of enums. A `Struct` is a map, and
//! all of its numbers are doubles. Conditions have times and durations as such and bytes as bytes; templates have times as RFC 3339,
//! durations in seconds, bytes in base64, and of a text no more than can be told.

use std::sync::OnceLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cornjacket_domain::Timestamp;
use cornjacket_proto::events::Event;
use cornjacket_proto::{DynamicMessage, decode_dynamic};
use minijinja::Value as Written;
use prost::Message;
use prost_reflect::{FieldDescriptor, Kind, MapKey, ReflectMessage, Value};

use super::template::LONGEST_TEXT;

/// An event, seen by rules.
pub struct View<'e> {
    event: &'e Event,
    message: OnceLock<Result<DynamicMessage, prost::DecodeError>>,
    written: OnceLock<Written>,
}

impl<'e> View<'e> {
    /// Nothing is done before a rule looks.
    pub const fn new(event: &'e Event) -> Self {
        Self { event, message: OnceLock::new(), written: OnceLock::new() }
    }

    /// The event.
    pub const fn event(&self) -> &'e Event {
        self.event
    }

    /// The event for conditions. An error says that it is nested deeper than protobuf allows.
    pub(super) fn message(&self) -> Result<&DynamicMessage, &prost::DecodeError> {
        self.message.get_or_init(|| decode_dynamic::<Event>(&self.event.encode_to_vec())).as_ref()
    }

    /// The event for templates.
    pub(crate) fn written(&self) -> Result<Written, &prost::DecodeError> {
        let message = self.message()?;
        Ok(self.written.get_or_init(|| write_message(message)).clone())
    }
}

/// The seconds and nanoseconds of a `Timestamp` or `Duration`.
pub(super) fn parts(message: &DynamicMessage) -> (i64, i32) {
    let field = |name| message.get_field_by_name(name);
    let seconds = field("seconds").and_then(|value| value.as_i64()).unwrap_or_default();
    (seconds, field("nanos").and_then(|value| value.as_i32()).unwrap_or_default())
}

/// Whether the field has a value: its own, or the default that it has where it cannot be absent.
pub(super) fn is_there(message: &DynamicMessage, field: &FieldDescriptor) -> bool {
    !field.supports_presence() || message.has_field(field)
}

/// The name of the value of an enum; its number where this version does not know it.
pub(super) fn name_of(kind: &Kind, number: i32) -> String {
    let known = kind.as_enum().and_then(|of| of.get_value(number));
    known.map_or_else(|| number.to_string(), |value| value.name().to_owned())
}

fn write_message(message: &DynamicMessage) -> Written {
    let field = |name| message.get_field_by_name(name);
    match message.descriptor().full_name() {
        "google.protobuf.Timestamp" => write_time(message),
        "google.protobuf.Duration" => {
            let (seconds, nanos) = parts(message);
            #[allow(clippy::cast_precision_loss, reason = "it is read by people")]
            write_number(seconds as f64 + f64::from(nanos) / 1e9)
        }
        "google.protobuf.Struct" => {
            field("fields").map_or_else(Written::default, |fields| write(&fields, &Kind::Bool))
        }
        "google.protobuf.ListValue" => {
            field("values").map_or_else(Written::default, |values| write(&values, &Kind::Bool))
        }
        "google.protobuf.Value" => message.fields().next().map_or(Written::from(()), |(field, value)| {
            if field.name() == "null_value" { Written::from(()) } else { write(value, &field.kind()) }
        }),
        _ => {
            let descriptor = message.descriptor();
            let there = descriptor.fields().filter(|field| is_there(message, field));
            there
                .map(|field| (field.name().to_owned(), write(&message.get_field(&field), &field.kind())))
                .collect()
        }
    }
}

fn write(value: &Value, kind: &Kind) -> Written {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::I32(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::U32(value) => (*value).into(),
        Value::U64(value) => (*value).into(),
        Value::F32(value) => write_number(f64::from(*value)),
        Value::F64(value) => write_number(*value),
        Value::String(value) => shortened(value).into(),
        Value::Bytes(value) => BASE64_STANDARD.encode(&value[..value.len().min(LONGEST_TEXT)]).into(),
        Value::EnumNumber(number) => name_of(kind, *number).into(),
        Value::Message(message) => write_message(message),
        Value::List(values) => values.iter().map(|value| write(value, kind)).collect(),
        Value::Map(entries) => {
            let entry = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
            let kind = entry.as_ref().unwrap_or(kind);
            entries.iter().map(|(key, value)| (key_text(key), write(value, kind))).collect()
        }
    }
}

fn key_text(key: &MapKey) -> String {
    key.as_str().map_or_else(|| format!("{key:?}"), |key| shortened(key).to_owned())
}

/// Whole numbers without a fraction: people write 99, not 99.0.
fn write_number(number: f64) -> Written {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() < EXACT {
        #[allow(clippy::cast_possible_truncation, reason = "it is whole, and within the bound")]
        return (number as i64).into();
    }
    number.into()
}

fn write_time(message: &DynamicMessage) -> Written {
    let (seconds, nanos) = parts(message);
    let time = cornjacket_proto::Timestamp { seconds, nanos };
    // What is outside the years 1 to 9999 has no such form.
    Timestamp::from_proto(&time).map_or_else(Written::default, |_| time.to_string().into())
}

fn shortened(text: &str) -> &str {
    &text[..text.floor_char_boundary(4 * LONGEST_TEXT)]
}
