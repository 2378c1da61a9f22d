//! Attributes and data → event, whatever they were carried in.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use cornjacket_proto::Timestamp;
use cornjacket_proto::events::attribute_value::Value;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AttributeValue, Event, TraceContext};

use super::error::Unreadable;
use super::payload::{self, About, Data, Form};
use super::{ATTRIBUTES, PAYLOAD, messages, names};
use crate::violation::{Reason, Violation};

/// More than so many faults of one event are not told.
const MOST_FAULTS: usize = 100;

/// An event on its way in, and what is wrong with it.
#[derive(Debug, Default)]
pub struct Incoming {
    pub attributes: BTreeMap<String, Value>,
    pub data: Option<Data>,
    pub violations: Vec<Violation>,
}

impl Incoming {
    /// Takes in one attribute.
    pub fn attribute(&mut self, name: String, value: Value) {
        match self.attributes.entry(name) {
            Entry::Vacant(entry) => {
                entry.insert(value);
            }
            Entry::Occupied(entry) => {
                let name = entry.key().clone();
                self.fail(&name, Reason::Repeated, "the attribute is there twice");
            }
        }
    }

    /// Notes that a field is wrong.
    pub fn fail(&mut self, field: &str, reason: Reason, description: impl Into<String>) {
        if self.violations.len() < MOST_FAULTS {
            self.violations.push(Violation::new(field, reason, description));
        }
    }

    /// The attribute, if it is there and a string.
    pub fn peek(&self, name: &str) -> Option<&str> {
        match self.attributes.get(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// The event, or all that is wrong.
    pub fn into_event(mut self) -> Result<Event, Unreadable> {
        for name in names::OF_THE_LOG {
            self.attributes.remove(name);
        }
        self.spec_version();
        let [id, source, r#type, subject] =
            ["id", "source", "type", "subject"].map(|name| self.required(name));
        let event_time = self.time();
        let trace_context = self.trace_context();
        let payload = self.payload(&r#type);
        let attributes = self.rest();
        if !self.violations.is_empty() {
            return Err(Unreadable::Fields(self.violations));
        }
        let event =
            Event { id, source, r#type, subject, event_time, trace_context, payload, ..Event::default() };
        Ok(Event { attributes, ..event })
    }

    fn text(&mut self, name: &str) -> Option<String> {
        if let Value::String(text) = self.attributes.remove(name)? {
            return Some(text);
        }
        self.fail(name, Reason::Grammar, "must be a string");
        None
    }

    fn required(&mut self, name: &str) -> String {
        let is_there = self.attributes.contains_key(name);
        let text = self.text(name);
        if !is_there || text.as_ref().is_some_and(String::is_empty) {
            self.fail(name, Reason::Required, "is required and must not be empty");
        }
        text.unwrap_or_default()
    }

    fn spec_version(&mut self) {
        let version = self.required("specversion");
        if !version.is_empty() && version != names::SPEC_VERSION {
            self.fail("specversion", Reason::Mismatch, format!("only {} is spoken", names::SPEC_VERSION));
        }
    }

    fn time(&mut self) -> Option<Timestamp> {
        let text = self.text("time")?;
        let time = text.parse().ok().filter(|_| is_rfc_3339(&text));
        if time.is_none() {
            self.fail("time", Reason::Grammar, "is no RFC 3339 time such as 2018-04-05T17:31:00Z");
        }
        time
    }

    fn trace_context(&mut self) -> Option<TraceContext> {
        let mut part = |name| self.text(name).unwrap_or_default();
        let (traceparent, tracestate) = (part("traceparent"), part("tracestate"));
        let is_empty = traceparent.is_empty() && tracestate.is_empty();
        (!is_empty).then_some(TraceContext { traceparent, tracestate })
    }

    fn payload(&mut self, event_type: &str) -> Option<Payload> {
        let content_type = self.text("datacontenttype");
        let schema = self.text("dataschema");
        let form = self.form();
        let (content_type_ref, schema_ref) = (content_type.as_deref(), schema.as_deref());
        let about = About { event_type, content_type: content_type_ref, schema: schema_ref, form };
        let read = self.data.take().map(|data| payload::read(data, about));
        let (payload, keeps_schema, keeps_content_type) = match read {
            None => (None, true, true),
            Some(Ok(read)) => (Some(read.payload), read.keeps_schema, read.keeps_content_type),
            Some(Err(violation)) => {
                self.violations.push(violation);
                return None;
            }
        };
        for (name, value, is_kept) in
            [("datacontenttype", content_type, keeps_content_type), ("dataschema", schema, keeps_schema)]
        {
            self.attributes
                .extend(value.filter(|_| is_kept).map(|text| (name.to_owned(), Value::String(text))));
        }
        payload
    }

    fn form(&mut self) -> Option<Form> {
        let name = self.text(PAYLOAD)?;
        let form = Form::of_name(&name);
        if form.is_none() {
            self.fail(PAYLOAD, Reason::Grammar, "must be `struct`, `any` or `raw`");
        }
        form
    }

    fn rest(&mut self) -> BTreeMap<String, AttributeValue> {
        let mut attributes = self.escaped();
        for (name, value) in std::mem::take(&mut self.attributes) {
            if attributes.insert(name.clone(), AttributeValue { value: Some(value) }).is_some() {
                self.fail(&name, Reason::Repeated, format!("the attribute is in `{ATTRIBUTES}` too"));
            }
        }
        attributes
    }

    /// The attributes that CloudEvents has no place for.
    fn escaped(&mut self) -> BTreeMap<String, AttributeValue> {
        let Some(text) = self.text(ATTRIBUTES) else { return BTreeMap::new() };
        match messages::from_json::<Event>(text.as_bytes()) {
            Ok(event) => event.attributes,
            Err(violation) => {
                self.fail(ATTRIBUTES, Reason::Grammar, violation.description);
                BTreeMap::new()
            }
        }
    }
}

/// The parser takes more than RFC 3339: a date alone, or a time of no zone.
fn is_rfc_3339(text: &str) -> bool {
    let bytes = text.as_bytes();
    let zone = |at: usize| bytes.len().checked_sub(at).map(|at| bytes[at]);
    let has_zone = matches!(zone(1), Some(b'Z' | b'z'))
        || (matches!(zone(6), Some(b'+' | b'-')) && matches!(zone(3), Some(b':')));
    has_zone && bytes.len() >= 20 && bytes[4] == b'-' && matches!(bytes[10], b'T' | b't')
}
