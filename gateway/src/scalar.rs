//! Values as texts: path variables and query parameters.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{DynamicMessage, EnumDescriptor, Kind, MessageDescriptor, Value};
use serde::de::IntoDeserializer;
use serde::de::value::{BoolDeserializer, Error, StrDeserializer};

/// Both alphabets of base64, with padding or without.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// Messages whose JSON is a string or another single value.
const SINGLE: [&str; 12] = [
    "Timestamp",
    "Duration",
    "FieldMask",
    "DoubleValue",
    "FloatValue",
    "Int64Value",
    "UInt64Value",
    "Int32Value",
    "UInt32Value",
    "BoolValue",
    "StringValue",
    "BytesValue",
];

/// The value that `text` is for one value of `kind`; what is wrong with it otherwise.
pub(crate) fn parse(kind: &Kind, text: &str) -> Result<Value, String> {
    match kind {
        Kind::String => Ok(Value::String(text.to_owned())),
        Kind::Bool => number(text, "neither `true` nor `false`").map(Value::Bool),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => number(text, "no 32-bit integer").map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => number(text, "no 64-bit integer").map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => number(text, "no unsigned 32-bit integer").map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => number(text, "no unsigned 64-bit integer").map(Value::U64),
        Kind::Double => number(text, "no number").map(Value::F64),
        Kind::Float => number(text, "no number").map(Value::F32),
        Kind::Bytes => bytes(text).map(Value::Bytes),
        Kind::Enum(descriptor) => enumerated(descriptor, text).map(Value::EnumNumber),
        Kind::Message(descriptor) => message(descriptor, text).map(Value::Message),
    }
}

/// Whether a message is one value in JSON.
pub(crate) fn is_single(message: &MessageDescriptor) -> bool {
    message.full_name().strip_prefix("google.protobuf.").is_some_and(|name| SINGLE.contains(&name))
}

fn number<T: std::str::FromStr>(text: &str, otherwise: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("`{text}` is {otherwise}"))
}

fn bytes(text: &str) -> Result<bytes::Bytes, String> {
    let decoded = BASE64.decode(text).or_else(|_| BASE64_URL.decode(text));
    decoded.map(Into::into).map_err(|_| format!("`{text}` is no base64"))
}

fn enumerated(descriptor: &EnumDescriptor, text: &str) -> Result<i32, String> {
    let by_name = descriptor.get_value_by_name(text).map(|value| value.number());
    by_name.or_else(|| text.parse().ok()).ok_or_else(|| format!("`{text}` is no {}", descriptor.name()))
}

fn message(descriptor: &MessageDescriptor, text: &str) -> Result<DynamicMessage, String> {
    if !is_single(descriptor) {
        return Err(format!("a {} is no single value: name its fields", descriptor.name()));
    }
    let read = if descriptor.name() == "BoolValue" {
        let value: BoolDeserializer<Error> =
            number::<bool>(text, "neither `true` nor `false`")?.into_deserializer();
        DynamicMessage::deserialize(descriptor.clone(), value)
    } else {
        let value: StrDeserializer<'_, Error> = text.into_deserializer();
        DynamicMessage::deserialize(descriptor.clone(), value)
    };
    read.map_err(|error| format!("`{text}`: {error}"))
}
