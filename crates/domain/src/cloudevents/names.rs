//! The names of attributes, and which of ours CloudEvents has a place for.

use cornjacket_proto::events::attribute_value::Value;

/// The only version that is spoken.
pub const SPEC_VERSION: &str = "1.0";
/// The position of the event in the log, decimal: what the header `cornjacket-position` is on the bus.
pub const POSITION: &str = "cornjacketposition";
/// When the event was stored, RFC 3339.
pub const INGEST_TIME: &str = "cornjacketingesttime";
/// `true` when the producer's clock was ahead; absent otherwise.
pub const CLOCK_AHEAD: &str = "cornjacketclockahead";
/// Attributes that CloudEvents has no place for, as the canonical JSON of an `Event` that has nothing else.
pub const ATTRIBUTES: &str = "cornjacketattributes";
/// What the data is to be read as: `struct`, `any` or `raw`.
pub const PAYLOAD: &str = "cornjacketpayload";

/// What the log says, and no producer.
pub const OF_THE_LOG: [&str; 3] = [POSITION, INGEST_TIME, CLOCK_AHEAD];

/// Names that mean something else than an attribute of ours.
const TAKEN: [&str; 15] = [
    "specversion",
    "id",
    "source",
    "type",
    "subject",
    "time",
    "datacontenttype",
    "data",
    "traceparent",
    "tracestate",
    POSITION,
    INGEST_TIME,
    CLOCK_AHEAD,
    ATTRIBUTES,
    PAYLOAD,
];

/// Whether an attribute of ours can leave under its own name and come back from it.
pub fn fits(name: &str, value: Option<&Value>) -> bool {
    let in_grammar = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !name.is_empty()
        && name.bytes().all(in_grammar)
        && !TAKEN.contains(&name)
        && value.is_some_and(is_carried)
}

/// CloudEvents' strings have no control characters and no noncharacters.
fn is_carried(value: &Value) -> bool {
    match value {
        Value::String(text) | Value::Uri(text) | Value::UriRef(text) => !text.chars().any(is_outside),
        Value::Boolean(_) | Value::Integer(_) | Value::Bytes(_) | Value::Timestamp(_) => true,
    }
}

/// Whether a character is one that CloudEvents' strings do not have.
pub fn is_outside(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}
