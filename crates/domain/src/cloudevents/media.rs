//! Media types, as far as they say how an event is carried and how its data is read.

/// The media type of one event in JSON.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of a batch of events in JSON.
pub const BATCH: &str = "application/cloudevents-batch+json";

pub const JSON: &str = "application/json";
pub const PROTOBUF: &str = "application/protobuf";
pub const OCTETS: &str = "application/octet-stream";

/// How a message carries events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The attributes are beside the data: [`from_binary`](super::from_binary).
    Binary,
    /// One event in JSON: [`from_structured`](super::from_structured).
    Structured,
    /// A batch in JSON: [`from_batch`](super::from_batch). MQTT has none.
    Batch,
}

impl Mode {
    /// The mode that a content type stands for. `None` is an event format that is not spoken, such as Avro.
    pub fn of(content_type: Option<&str>) -> Option<Self> {
        let essence = content_type.map(essence).unwrap_or_default();
        match essence.as_str() {
            BATCH => Some(Self::Batch),
            // The specification has the bare type stand for "a format", and JSON is the one that everybody must know.
            STRUCTURED | "application/cloudevents" => Some(Self::Structured),
            other if other.starts_with("application/cloudevents") => None,
            _ => Some(Self::Binary),
        }
    }
}

/// The type without its parameters.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Whether data of this type is JSON: `*/json` or `*/*+json`.
pub fn is_json(content_type: &str) -> bool {
    essence(content_type)
        .split_once('/')
        .is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

/// Whether the type says no more than that it is JSON.
pub fn is_plain_json(content_type: &str) -> bool {
    let parameters = content_type.split_once(';').map_or("", |(_, parameters)| parameters).trim();
    essence(content_type) == JSON
        && (parameters.is_empty()
            || parameters.eq_ignore_ascii_case("charset=utf-8")
            || parameters.eq_ignore_ascii_case("charset=\"utf-8\""))
}

/// Parameters may say how to read the bytes; then they are not ours to take apart.
pub fn is_protobuf(content_type: &str) -> bool {
    content_type.eq_ignore_ascii_case(PROTOBUF)
}

/// Whether data of this type, when it is UTF-8, is better shown as text.
pub fn is_text(content_type: &str) -> bool {
    essence(content_type)
        .split_once('/')
        .is_some_and(|(kind, subtype)| kind == "text" || subtype == "xml" || subtype.ends_with("+xml"))
}
