//! From a message to an event. Pure, and the same for every broker and client.
//!
//! The topic says subject and type, and with the subject the source, `mqtt:{subject}`; what a payload says of these must
//! be the same. The payload is read by its content type:
//!
//! | content type | payload |
//! | --- | --- |
//! | `application/cloudevents+json` | a CloudEvent; its `subject` may be left out |
//! | any, with a user property `specversion` | the data of a CloudEvent whose attributes are the user properties |
//! | `application/json` | an event, or its data alone, as below |
//! | `application/protobuf` | our `Event` |
//! | another | `Raw` of that type |
//! | none (MQTT 3.1.1 has none) | JSON when it is JSON, otherwise `Raw` |
//!
//! **JSON** is one of these, the first that fits:
//!
//! 1. An object with `specversion` is a CloudEvent.
//! 2. `{"id": …, "event_time": …, "sensorReading": {…}}`: an object with a payload of ours is an event in canonical protobuf
//!    JSON, or refused. (`struct`, `any` and `raw` may as well be names of a device's own: only an object that has nothing
//!    but members of an event is meant.)
//! 3. `{"measurements": […]}` under `sensor.`, perhaps with `id` and `event_time` beside them, is such an event too.
//! 4. Anything else is data, by the rules of [`cloudevents`]: a message of ours or a `Struct`. An `id` in it is a name of the
//!    device's own, and says nothing of the event.
//!
//! **User properties** of a message that is no CloudEvent are attributes, but for `id`, `traceparent` and `tracestate`.
//!
//! **The id** is that of the CloudEvent, the user property or the payload. Without one, a message that says itself when it
//! happened gets the same id whenever it comes (a `UUIDv5` of topic and payload); any other is a new event each time.

use bytes::Bytes;
use cornjacket_domain::Invalid;
use cornjacket_domain::cloudevents::{self, Mode, Unreadable};
use cornjacket_domain::violation::{Reason, Violation, brief};
use cornjacket_proto::events::attribute_value::Value;
use cornjacket_proto::events::{AttributeValue, Event};
use prost::Message as _;
use uuid::Uuid;

use super::Topics;
use super::json::{self, Meaning};

/// What the ids of messages without one are made in. A random UUID, ours.
const NAMESPACE: Uuid = Uuid::from_u128(0x3b0c_6c53_0f5e_4d0a_9a53_7d5a_6b1e_52c4);
const PROTOBUF: &str = "application/protobuf";
/// The attribute that a CloudEvent always has.
const SPEC_VERSION: &str = "specversion";

/// A message as it was published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Where.
    pub topic: String,
    /// The bytes.
    pub payload: Bytes,
    /// What they are; MQTT 5 alone.
    pub content_type: Option<String>,
    /// Names and values; MQTT 5 alone.
    pub user_properties: Vec<(String, String)>,
    /// The broker kept it from before: whoever subscribes anew gets it again.
    pub retain: bool,
}

/// Why a message is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is an old one, and is to be passed over.
    #[error("the message is a retained one")]
    Retained,
    /// The topic, here as [`brief`] tells it, means no event.
    #[error("topic {0:?} is neither cornjacket/v1/{{subject}}/{{type}} nor one of mqtt.topics")]
    Topic(String),
    /// What it carries is no event, or one of another topic; says which field.
    #[error(transparent)]
    Invalid(#[from] Invalid),
}

impl Refused {
    /// For counting.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Retained => "retained",
            Self::Topic(_) => "topic",
            Self::Invalid(_) => "content",
        }
    }
}

/// The event that a message is. Without an id, it is a new one whenever it comes.
pub fn event_of(message: &Message, topics: &Topics) -> Result<Event, Refused> {
    if message.retain {
        return Err(Refused::Retained);
    }
    let unknown = || Refused::Topic(brief(&message.topic).into_owned());
    let (subject, event_type) = topics.place(&message.topic).ok_or_else(unknown)?;
    let about = About { subject, event_type, source: source_of(subject) };
    let mut event = read(message, &about)?;
    about.claim(&mut event)?;
    if !is_cloudevent(message) {
        properties(&message.user_properties, &mut event)?;
    }
    if event.id.is_empty() && event.event_time.is_some() {
        event.id = derived_id(&message.topic, &message.payload);
    }
    Ok(event)
}

/// The source of everything that is said about `subject` by MQTT.
pub fn source_of(subject: &str) -> String {
    format!("mqtt:{subject}")
}

/// The same for the same topic and payload.
pub(super) fn derived_id(topic: &str, payload: &[u8]) -> String {
    let name = [topic.as_bytes(), b"\0", payload].concat();
    Uuid::new_v5(&NAMESPACE, &name).to_string()
}

/// What the topic says.
struct About<'a> {
    subject: &'a str,
    event_type: &'a str,
    source: String,
}

impl About<'_> {
    /// Gives the event what the topic says, and refuses one that says otherwise.
    fn claim(&self, event: &mut Event) -> Result<(), Invalid> {
        let mut violations = Vec::new();
        for (field, found, said) in [
            ("subject", &mut event.subject, self.subject),
            ("source", &mut event.source, self.source.as_str()),
            ("type", &mut event.r#type, self.event_type),
        ] {
            if found.is_empty() {
                said.clone_into(found);
            } else if found != said {
                let description = format!("is {found:?}, and the topic says {said:?}");
                violations.push(Violation::new(field, Reason::Mismatch, description));
            }
        }
        if violations.is_empty() { Ok(()) } else { Err(Invalid::Fields(violations)) }
    }
}

fn read(message: &Message, about: &About<'_>) -> Result<Event, Invalid> {
    let content_type = message.content_type.as_deref();
    match (Mode::of(content_type), content_type) {
        (Some(Mode::Structured), _) => structured(&message.payload, about),
        (Some(Mode::Binary), _) if is_cloudevent(message) => binary(message, about),
        (Some(Mode::Binary), Some(PROTOBUF)) => Event::decode(message.payload.clone())
            .map_err(|error| bad("payload", format!("is no Event in protobuf: {error}"))),
        (Some(Mode::Binary), Some(other)) if !json::is_plain(other) => data(message, Some(other), about),
        (Some(Mode::Binary), said) => match json::meaning(&message.payload, about.event_type) {
            Meaning::CloudEvent => structured(&message.payload, about),
            Meaning::Event(text) => Ok(cloudevents::from_json(text.as_bytes()).map_err(one)?),
            Meaning::Data => data(message, said.or(Some(json::JSON)), about),
            Meaning::NoJson => data(message, said, about),
        },
        (Some(Mode::Batch) | None, _) => {
            Err(bad("content_type", "is a batch or a format of CloudEvents that is not spoken here"))
        }
    }
}

fn is_cloudevent(message: &Message) -> bool {
    message.user_properties.iter().any(|(name, _)| name == SPEC_VERSION)
}

/// CloudEvents leaves the subject to whoever sends, and the topic has it.
fn structured(text: &[u8], about: &About<'_>) -> Result<Event, Invalid> {
    let with_subject = json::with_member(text, "subject", about.subject);
    Ok(cloudevents::from_structured(with_subject.as_deref().unwrap_or(text))?)
}

fn binary(message: &Message, about: &About<'_>) -> Result<Event, Invalid> {
    let mut attributes = message.user_properties.clone();
    if attributes.iter().all(|(name, _)| name != "subject") {
        attributes.push(("subject".to_owned(), about.subject.to_owned()));
    }
    let content_type = message.content_type.as_deref();
    Ok(cloudevents::from_binary(attributes, content_type, message.payload.clone())?)
}

/// The payload is the data alone: a CloudEvent whose attributes are the topic's, and whose id is yet to come.
fn data(message: &Message, content_type: Option<&str>, about: &About<'_>) -> Result<Event, Invalid> {
    let attributes = [
        (SPEC_VERSION, "1.0"),
        ("id", "-"),
        ("source", about.source.as_str()),
        ("type", about.event_type),
        ("subject", about.subject),
    ];
    let read = cloudevents::from_binary(attributes, content_type, message.payload.clone());
    Ok(read.map(|event| Event { id: String::new(), ..event })?)
}

fn properties(properties: &[(String, String)], event: &mut Event) -> Result<(), Invalid> {
    for (name, value) in properties {
        match name.as_str() {
            "id" => event.id.clone_from(value),
            "traceparent" => {
                event.trace_context.get_or_insert_default().traceparent.clone_from(value);
            }
            "tracestate" => event.trace_context.get_or_insert_default().tracestate.clone_from(value),
            _ => {
                let value = AttributeValue { value: Some(Value::String(value.clone())) };
                if event.attributes.insert(name.clone(), value).is_some() {
                    let violation =
                        Violation::new(format!("attributes[{name:?}]"), Reason::Repeated, "is there twice");
                    return Err(one(violation));
                }
            }
        }
    }
    Ok(())
}

fn bad(field: &str, description: impl Into<String>) -> Invalid {
    one(Violation::new(field, Reason::Grammar, description))
}

fn one(violation: Violation) -> Invalid {
    Unreadable::Fields(vec![violation]).into()
}

#[cfg(test)]
mod tests;
