//! An event that is valid.

use bytes::Bytes;
use cornjacket_proto::events as proto;
use cornjacket_proto::events::attribute_value::Value;
use prost::Message;
use uuid::{NoContext, Uuid};

use crate::clean::{Checker, Segment, clean_text, is_printable};
use crate::clock::Timestamp;
use crate::event_types;
use crate::key::{ContentDigest, EventKey};
use crate::limits::Limits;
use crate::violation::{Invalid, Reason};

/// An event that passed every check, with the encoding that log, bus and consumers share.
///
/// The encoding leaves `position`, `ingest_time` and `clock_ahead` unset: those are the log's to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    id: String,
    source: String,
    r#type: String,
    subject: String,
    id_generated: bool,
    key: EventKey,
    digest: ContentDigest,
    encoded: Bytes,
}

impl Event {
    /// Cleans and checks an event as a producer sent it. `now` dates the id of an event that has none.
    pub fn new(mut event: proto::Event, now: Timestamp, limits: &Limits) -> Result<Self, Invalid> {
        let violations = check(&mut event, limits);
        if !violations.is_empty() {
            return Err(Invalid::Fields(violations));
        }
        (event.position, event.ingest_time, event.clock_ahead) = (0, None, false);
        let id_generated = event.id.is_empty();
        if id_generated {
            event.id = new_id(now);
        }
        let (encoded, digest) = encode(&mut event);
        if encoded.len() > limits.event_bytes {
            return Err(Invalid::TooLarge { bytes: encoded.len(), limit: limits.event_bytes });
        }
        let key = EventKey::new(&event.source, &event.id);
        let proto::Event { id, source, r#type, subject, .. } = event;
        Ok(Self { id, source, r#type, subject, id_generated, key, digest, encoded })
    }

    /// The producer's id, or the one made for it.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who produced it.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What happened, dotted.
    pub fn event_type(&self) -> &str {
        &self.r#type
    }

    /// What it is about.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Whether the id was made here, so that sending the event again stores it again.
    pub const fn id_generated(&self) -> bool {
        self.id_generated
    }

    /// What makes it one: the hash of (source, id).
    pub const fn key(&self) -> EventKey {
        self.key
    }

    /// What a retry must have the same.
    pub const fn digest(&self) -> ContentDigest {
        self.digest
    }

    /// The protobuf bytes of the event.
    pub const fn encoded(&self) -> &Bytes {
        &self.encoded
    }
}

/// A `UUIDv7` (RFC 9562) dated `now`.
fn new_id(now: Timestamp) -> String {
    let micros = u64::try_from(now.as_micros()).unwrap_or_default();
    let nanos = u32::try_from(micros % 1_000_000 * 1_000).expect("less than 10^9");
    Uuid::new_v7(uuid::Timestamp::from_unix(NoContext, micros / 1_000_000, nanos)).to_string()
}

/// The trace context is encoded last, so that the content, which the digest is over, is a prefix of the encoding.
fn encode(event: &mut proto::Event) -> (Bytes, ContentDigest) {
    let trace = event.trace_context.take();
    let mut encoded = Vec::with_capacity(event.encoded_len() + 96);
    event.encode_raw(&mut encoded);
    let digest = ContentDigest::of(&encoded);
    proto::Event { trace_context: trace, ..proto::Event::default() }.encode_raw(&mut encoded);
    (encoded.into(), digest)
}

fn check(event: &mut proto::Event, limits: &Limits) -> Vec<crate::Violation> {
    let mut checker = Checker::default();
    check_names(event, &mut checker);
    if let Some(time) = &mut event.event_time {
        checker.time("event_time", time);
    }
    check_attributes(event, limits, &mut checker);
    if let Some(payload) = &mut event.payload {
        event_types::check(&event.r#type, payload, &mut checker);
    }
    if let Some(trace) = &event.trace_context {
        checker.within(Segment::Field("trace_context"), |checker| {
            checker.length("traceparent", &trace.traceparent, &(0..=128));
            checker.length("tracestate", &trace.tracestate, &(0..=512));
        });
    }
    checker.into_violations()
}

fn check_names(event: &proto::Event, checker: &mut Checker) {
    checker.length("id", &event.id, &(0..=128));
    checker.length("source", &event.source, &(1..=256));
    checker.length("type", &event.r#type, &(1..=255));
    checker.length("subject", &event.subject, &(1..=256));
    for (field, name) in [("id", &event.id), ("source", &event.source), ("subject", &event.subject)] {
        if !is_printable(name) {
            checker.fail(field, Reason::Grammar, "control characters are not allowed");
        }
    }
    if event.subject.contains(['+', '#']) {
        checker.fail("subject", Reason::Grammar, "`+` and `#` are not allowed");
    }
    if !is_in_grammar(&event.r#type) {
        checker.fail("type", Reason::Grammar, "only letters, digits and `.`, `_`, `-` are allowed");
    }
}

/// Whether a name has no characters but those of event types and of attributes' names.
pub fn is_in_grammar(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn check_attributes(event: &mut proto::Event, limits: &Limits, checker: &mut Checker) {
    let count = event.attributes.len();
    if count > limits.attributes {
        let description = format!("{count} attributes; at most {} fit", limits.attributes);
        checker.fail("attributes", Reason::TooMany, description);
    }
    checker.within(Segment::Field("attributes"), |checker| {
        for (name, value) in &mut event.attributes {
            checker.within(Segment::Key(name.clone()), |checker| {
                check_attribute(name, value, checker);
            });
        }
    });
}

fn check_attribute(name: &str, attribute: &mut proto::AttributeValue, checker: &mut Checker) {
    if name.is_empty() || name.len() > 128 || !is_in_grammar(name) {
        checker.fail_here(Reason::Grammar, "a name has 1 to 128 letters, digits, `.`, `_`, `-`");
    }
    match &mut attribute.value {
        None => checker.fail_here(Reason::Required, "the attribute has no value"),
        Some(Value::String(text) | Value::Uri(text) | Value::UriRef(text)) => clean_text(text),
        Some(Value::Timestamp(time)) => checker.time("timestamp", time),
        Some(Value::Boolean(_) | Value::Integer(_) | Value::Bytes(_)) => {}
    }
}

/// A payload of texts by name, for events of ours.
pub fn texts<'a>(fields: impl IntoIterator<Item = (&'a str, impl Into<String>)>) -> proto::event::Payload {
    let value = |text: String| prost_types::Value { kind: Some(prost_types::value::Kind::StringValue(text)) };
    let fields = fields.into_iter().map(|(name, text)| (name.to_owned(), value(text.into()))).collect();
    proto::event::Payload::Struct(prost_types::Struct { fields })
}

#[cfg(test)]
mod tests;
