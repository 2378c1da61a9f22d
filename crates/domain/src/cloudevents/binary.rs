//! Binary mode: the attributes beside the data, as HTTP headers or MQTT 5 user properties.

use bytes::Bytes;
use cornjacket_proto::events::Event;
use cornjacket_proto::events::attribute_value::Value;
use serde_json::value::RawValue;

use super::PAYLOAD;
use super::error::Unreadable;
use super::incoming::Incoming;
use super::media;
use super::outgoing::{Body, Outgoing, canonical};
use super::payload::{Data, Form};
use crate::violation::{Reason, Violation};

/// An event in binary mode.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Binary {
    /// Names and values as MQTT carries them, `specversion` first; [`super::http`] makes headers of them.
    pub attributes: Vec<(String, String)>,
    /// The content type of the message; absent with an event that has no payload.
    pub content_type: Option<String>,
    /// The data.
    pub body: Bytes,
}

/// Reads an event from attributes (names without prefix, values decoded), content type and body.
///
/// A body that is empty and of no type, or empty and said to be JSON, is no payload. `datacontenttype` may be among the
/// attributes, as the MQTT binding shows it, when it says the same as the content type.
pub fn from_binary<N, V>(
    attributes: impl IntoIterator<Item = (N, V)>,
    content_type: Option<&str>,
    body: Bytes,
) -> Result<Event, Unreadable>
where
    N: Into<String>,
    V: Into<String>,
{
    let mut incoming = Incoming::default();
    for (name, value) in attributes {
        incoming.attribute(name.into(), Value::String(value.into()));
    }
    if let Some(content_type) = content_type {
        let said =
            incoming.attributes.insert("datacontenttype".to_owned(), Value::String(content_type.to_owned()));
        if said.is_some_and(|said| said != Value::String(content_type.to_owned())) {
            incoming.fail("datacontenttype", Reason::Mismatch, "is not the content type of the message");
        }
    }
    incoming.data = data(&incoming, body)?;
    incoming.into_event()
}

fn data(incoming: &Incoming, body: Bytes) -> Result<Option<Data>, Unreadable> {
    let content_type = incoming.peek("datacontenttype");
    let is_json = content_type.is_some_and(media::is_json);
    if incoming.peek(PAYLOAD) == Some(Form::Raw.name()) {
        return Ok(Some(Data::Bytes(body)));
    }
    if body.is_empty() && (is_json || content_type.is_none()) {
        return Ok(None);
    }
    if !is_json {
        return Ok(Some(Data::Bytes(body)));
    }
    serde_json::from_slice::<&RawValue>(&body).map_err(|error| Unreadable::json("data", &error))?;
    Ok(Some(Data::Json(body)))
}

/// Writes an event in binary mode. Fails only for an event that no check let through.
pub fn to_binary(event: &Event) -> Result<Binary, Violation> {
    let Outgoing { attributes, content_type, data } = Outgoing::new(event)?;
    let body = match data {
        None => Bytes::new(),
        Some(Body::Json(text)) => text.into(),
        Some(Body::Bytes(bytes)) => bytes,
    };
    let attributes = attributes.into_iter().map(|(name, value)| (name, canonical(value))).collect();
    Ok(Binary { attributes, content_type, body })
}
