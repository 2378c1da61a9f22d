//! Event → attributes and data, whatever they are to be carried in.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use cornjacket_proto::Timestamp;
use cornjacket_proto::events::attribute_value::Value;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AttributeValue, Event};

use super::messages::{self, Kind};
use super::payload::Form;
use super::{ATTRIBUTES, CLOCK_AHEAD, INGEST_TIME, PAYLOAD, POSITION, json, media, names};
use crate::violation::{Reason, Violation};

/// An event on its way out.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// In a fixed order, without `datacontenttype`.
    pub attributes: Vec<(String, Value)>,
    pub content_type: Option<String>,
    pub data: Option<Body>,
}

/// Data that goes out.
#[derive(Debug)]
pub enum Body {
    /// JSON.
    Json(String),
    /// Anything, perhaps JSON.
    Bytes(Bytes),
}

/// A payload as data, and what must be said about it.
#[derive(Debug, Default)]
struct Carried {
    content_type: Option<String>,
    schema: Option<String>,
    form: Option<Form>,
    data: Option<Body>,
}

impl Outgoing {
    /// Fails only for an event that no check let through.
    pub fn new(event: &Event) -> Result<Self, Violation> {
        let Carried { content_type, schema, form, data } = carried(event)?;
        let mut outgoing = Self { attributes: context(event), content_type, data };
        let mut escaped = BTreeMap::new();
        let has_schema = schema.is_some();
        outgoing.extend("dataschema", schema);
        for (name, attribute) in &event.attributes {
            match (name.as_str(), &attribute.value) {
                ("datacontenttype", _) if says_content_type(event) => {}
                ("dataschema", Some(Value::Boolean(_) | Value::Integer(_))) => {
                    escape(&mut escaped, name, attribute);
                }
                ("dataschema", _) if has_schema => escape(&mut escaped, name, attribute),
                (_, Some(value)) if names::fits(name, Some(value)) => {
                    outgoing.attributes.push((name.clone(), value.clone()));
                }
                _ => escape(&mut escaped, name, attribute),
            }
        }
        if !escaped.is_empty() {
            outgoing.extend(ATTRIBUTES, Some(escaped_text(escaped)?));
        }
        outgoing.extend(PAYLOAD, form.map(Form::name));
        outgoing.of_the_log(event);
        Ok(outgoing)
    }

    fn extend(&mut self, name: &str, text: Option<impl Into<String>>) {
        self.attributes.extend(text.map(|text| (name.to_owned(), Value::String(text.into()))));
    }

    /// A position is a string: CloudEvents' integers have 32 bits.
    fn of_the_log(&mut self, event: &Event) {
        self.extend(POSITION, (event.position > 0).then(|| event.position.to_string()));
        self.extend(INGEST_TIME, event.ingest_time.as_ref().map(Timestamp::to_string));
        if event.clock_ahead {
            self.attributes.push((CLOCK_AHEAD.to_owned(), Value::Boolean(true)));
        }
    }
}

fn context(event: &Event) -> Vec<(String, Value)> {
    let time = event.event_time.as_ref().map(Timestamp::to_string);
    let trace = event.trace_context.clone().unwrap_or_default();
    let there = |text: String| Some(text).filter(|text| !text.is_empty());
    [
        ("specversion", Some(names::SPEC_VERSION.to_owned())),
        ("id", Some(event.id.clone())),
        ("source", Some(event.source.clone())),
        ("type", Some(event.r#type.clone())),
        ("subject", Some(event.subject.clone())),
        ("time", time),
        ("traceparent", there(trace.traceparent)),
        ("tracestate", there(trace.tracestate)),
    ]
    .into_iter()
    .filter_map(|(name, text)| Some((name.to_owned(), Value::String(text?))))
    .collect()
}

fn carried(event: &Event) -> Result<Carried, Violation> {
    let Some(payload) = &event.payload else { return Ok(Carried::default()) };
    let has_schema = event.attributes.contains_key("dataschema");
    if let Some(written) = messages::written(payload) {
        let (schema, text) = written?;
        return Ok(Carried { schema: Some(schema), ..json_of(event, text) });
    }
    Ok(match payload {
        Payload::Struct(object) => {
            let text = json::from_struct(object)
                .map_err(|error| Violation::new("struct", Reason::Range, error.to_string()))?;
            let is_ambiguous = has_schema || Kind::of_type(&event.r#type).is_some();
            Carried { form: is_ambiguous.then_some(Form::Struct), ..json_of(event, text) }
        }
        Payload::Any(any) => Carried {
            content_type: Some(media::PROTOBUF.to_owned()),
            schema: Some(any.type_url.clone()),
            form: Kind::of_schema(&any.type_url).map(|_| Form::Any),
            data: Some(Body::Bytes(any.value.clone().into())),
        },
        Payload::Raw(raw) => {
            let is_protobuf = media::is_protobuf(&raw.content_type) && has_schema;
            let is_ambiguous = is_protobuf || media::is_json(&raw.content_type);
            Carried {
                content_type: Some(raw.content_type.clone()),
                schema: None,
                form: is_ambiguous.then_some(Form::Raw),
                data: Some(Body::Bytes(raw.data.clone())),
            }
        }
        _ => Carried::default(),
    })
}

/// JSON of the type that the event's attribute says, if it does.
fn json_of(event: &Event, text: String) -> Carried {
    let said = says_content_type(event).then(|| event.attributes.get("datacontenttype")).flatten();
    let content_type = match said.and_then(|attribute| attribute.value.as_ref()) {
        Some(Value::String(said)) => said.clone(),
        _ => media::JSON.to_owned(),
    };
    Carried { content_type: Some(content_type), data: Some(Body::Json(text)), ..Carried::default() }
}

/// Whether the attribute `datacontenttype` is what coming back makes of the content type.
fn says_content_type(event: &Event) -> bool {
    let is_json = !matches!(event.payload, None | Some(Payload::Any(_) | Payload::Raw(_)));
    let said = event.attributes.get("datacontenttype").and_then(|attribute| attribute.value.as_ref());
    let Some(Value::String(said)) = said else { return false };
    let is_carried = !said.chars().any(names::is_outside);
    is_json && is_carried && media::is_json(said) && !media::is_plain_json(said)
}

fn escape(escaped: &mut BTreeMap<String, AttributeValue>, name: &str, attribute: &AttributeValue) {
    escaped.insert(name.to_owned(), attribute.clone());
}

/// JSON in which even strings have no character that CloudEvents' strings do not have.
fn escaped_text(attributes: BTreeMap<String, AttributeValue>) -> Result<String, Violation> {
    let json = messages::to_json("attributes", &Event { attributes, ..Event::default() })?;
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if names::is_outside(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(text, "\\u{unit:04x}").expect("a String takes all");
            }
        } else {
            text.push(character);
        }
    }
    Ok(text)
}

/// The canonical string of a value (CloudEvents, "Type System").
pub fn canonical(value: Value) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    match value {
        Value::Boolean(value) => value.to_string(),
        Value::Integer(value) => value.to_string(),
        Value::String(text) | Value::Uri(text) | Value::UriRef(text) => text,
        Value::Bytes(bytes) => STANDARD.encode(bytes),
        Value::Timestamp(time) => time.to_string(),
    }
}
