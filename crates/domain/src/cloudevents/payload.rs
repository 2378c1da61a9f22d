//! What the data of an event is. The rules are those of the module's head.

use bytes::Bytes;
use cornjacket_proto::Any;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{Event, Raw};
use prost::Message;

use super::messages::{self, Kind};
use super::{json, media};
use crate::violation::{Reason, Violation};

/// Data that came in.
#[derive(Clone, Debug)]
pub enum Data {
    /// JSON, well-formed.
    Json(Bytes),
    /// Anything else, or JSON that is to be kept as it is.
    Bytes(Bytes),
}

/// What [`super::PAYLOAD`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Struct,
    Any,
    Raw,
}

impl Form {
    const ALL: [Self; 3] = [Self::Struct, Self::Any, Self::Raw];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Struct => "struct",
            Self::Any => "any",
            Self::Raw => "raw",
        }
    }

    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.name() == name)
    }
}

/// What is said about the data.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub event_type: &'a str,
    pub content_type: Option<&'a str>,
    pub schema: Option<&'a str>,
    pub form: Option<Form>,
}

/// A payload, and what of [`About`] it does not say itself.
#[derive(Debug)]
pub struct Read {
    pub payload: Payload,
    /// The schema is an attribute.
    pub keeps_schema: bool,
    /// The content type is an attribute.
    pub keeps_content_type: bool,
}

/// Reads data by what is said about it.
pub fn read(data: Data, about: About<'_>) -> Result<Read, Violation> {
    match data {
        Data::Json(text) if about.form != Some(Form::Raw) => json(text, about),
        Data::Json(text) => Ok(raw(about.content_type.unwrap_or(media::JSON), text)),
        Data::Bytes(bytes) => protobuf(bytes, about),
    }
}

fn json(text: Bytes, about: About<'_>) -> Result<Read, Violation> {
    let keeps_content_type =
        about.content_type.is_some_and(|content_type| !media::is_plain_json(content_type));
    let untyped = about.form == Some(Form::Struct);
    if !untyped && let Some(kind) = about.schema.and_then(Kind::of_schema) {
        let payload = readable(kind.read_json(&text)?, &text)?;
        return Ok(Read { payload, keeps_schema: false, keeps_content_type });
    }
    if text.trim_ascii_start().first() == Some(&b'{') {
        if !untyped && let Some(guessed) = messages::guess(about.event_type, &text) {
            let payload = readable(guessed?, &text)?;
            return Ok(Read { payload, keeps_schema: true, keeps_content_type });
        }
        if let Some(payload) = structure(&text) {
            return Ok(Read { payload, keeps_schema: true, keeps_content_type });
        }
    }
    Ok(raw(about.content_type.unwrap_or(media::JSON), text))
}

fn structure(text: &[u8]) -> Option<Payload> {
    let payload = json::shape(text).exact.then(|| json::to_struct(text)).flatten().map(Payload::Struct)?;
    readable(payload, text).ok()
}

/// Refuses a payload that could be stored and never read again: protobuf reads only so many levels.
fn readable(payload: Payload, text: &[u8]) -> Result<Payload, Violation> {
    /// A level of JSON is at most three of protobuf, which reads a hundred; most data need no try.
    const CERTAIN: usize = 16;
    if json::shape(text).depth <= CERTAIN {
        return Ok(payload);
    }
    let event = Event { payload: Some(payload), ..Event::default() };
    let too_deep = |_| Violation::new("data", Reason::TooMany, "is nested too deeply");
    Event::decode(event.encode_to_vec().as_slice()).map_err(too_deep)?;
    event.payload.ok_or_else(|| Violation::new("data", Reason::Required, "is missing"))
}

fn protobuf(bytes: Bytes, about: About<'_>) -> Result<Read, Violation> {
    let content_type = about.content_type.unwrap_or(media::OCTETS);
    let schema = about.schema.filter(|_| media::is_protobuf(content_type) && about.form != Some(Form::Raw));
    let Some(schema) = schema else { return Ok(raw(content_type, bytes)) };
    let payload = match Kind::of_schema(schema) {
        Some(kind) if about.form != Some(Form::Any) => kind.read_protobuf(bytes)?,
        _ => Payload::Any(Any { type_url: schema.to_owned(), value: bytes.into() }),
    };
    Ok(Read { payload, keeps_schema: false, keeps_content_type: false })
}

fn raw(content_type: &str, data: Bytes) -> Read {
    let payload = Payload::Raw(Raw { content_type: content_type.to_owned(), data });
    Read { payload, keeps_schema: true, keeps_content_type: false }
}
