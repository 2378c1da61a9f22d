//! The payloads that have a message of their own: which one data is, and its canonical JSON.

use bytes::Bytes;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{
    AnomalyDetected, BreachExpected, FeedbackReported, SensorReading, SystemEvent, UserAction,
};
use cornjacket_proto::{DynamicMessage, decode_dynamic, descriptor_of};
use prost::{Message, Name};

use super::error::without_place;
use super::structured::Members;
use crate::violation::{Reason, Violation};

/// The scheme makes a URI of a type URL, as CloudEvents wants it.
const SCHEME: &str = "https://";
const AUTHORITY: &str = "type.googleapis.com/";

/// A message of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SensorReading,
    UserAction,
    SystemEvent,
    AnomalyDetected,
    BreachExpected,
    FeedbackReported,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::SensorReading,
        Self::UserAction,
        Self::SystemEvent,
        Self::AnomalyDetected,
        Self::BreachExpected,
        Self::FeedbackReported,
    ];

    /// The message that a `dataschema` names, with or without the scheme.
    pub fn of_schema(schema: &str) -> Option<Self> {
        let name = schema.strip_prefix(SCHEME).unwrap_or(schema).strip_prefix(AUTHORITY)?;
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The message that untyped data of an event type may be.
    pub fn of_type(event_type: &str) -> Option<Self> {
        match event_type.split_once('.')?.0 {
            "sensor" => Some(Self::SensorReading),
            "user" => Some(Self::UserAction),
            "system" => Some(Self::SystemEvent),
            _ => None,
        }
    }

    fn name(self) -> String {
        match self {
            Self::SensorReading => SensorReading::full_name(),
            Self::UserAction => UserAction::full_name(),
            Self::SystemEvent => SystemEvent::full_name(),
            Self::AnomalyDetected => AnomalyDetected::full_name(),
            Self::BreachExpected => BreachExpected::full_name(),
            Self::FeedbackReported => FeedbackReported::full_name(),
        }
    }

    /// Reads canonical protobuf JSON.
    pub fn read_json(self, text: &[u8]) -> Result<Payload, Violation> {
        Ok(match self {
            Self::SensorReading => Payload::SensorReading(from_json(text)?),
            Self::UserAction => Payload::UserAction(from_json(text)?),
            Self::SystemEvent => Payload::SystemEvent(from_json(text)?),
            Self::AnomalyDetected => Payload::AnomalyDetected(from_json(text)?),
            Self::BreachExpected => Payload::BreachExpected(from_json(text)?),
            Self::FeedbackReported => Payload::FeedbackReported(from_json(text)?),
        })
    }

    /// Reads protobuf.
    pub fn read_protobuf(self, bytes: Bytes) -> Result<Payload, Violation> {
        let decoded = match self {
            Self::SensorReading => SensorReading::decode(bytes).map(Payload::SensorReading),
            Self::UserAction => UserAction::decode(bytes).map(Payload::UserAction),
            Self::SystemEvent => SystemEvent::decode(bytes).map(Payload::SystemEvent),
            Self::AnomalyDetected => AnomalyDetected::decode(bytes).map(Payload::AnomalyDetected),
            Self::BreachExpected => BreachExpected::decode(bytes).map(Payload::BreachExpected),
            Self::FeedbackReported => FeedbackReported::decode(bytes).map(Payload::FeedbackReported),
        };
        decoded.map_err(|error| Violation::new("data", Reason::Grammar, error.to_string()))
    }
}

/// Reads an object that does not say what it is as the message of its event type. `None` when it is not meant as one.
pub fn guess(event_type: &str, text: &[u8]) -> Option<Result<Payload, Violation>> {
    let kind = Kind::of_type(event_type)?;
    if kind == Kind::SensorReading {
        return Members::has(text, "measurements").then(|| kind.read_json(text));
    }
    kind.read_json(text).ok().filter(is_whole).map(Ok)
}

/// An object such as `{}` is every message; one that is meant as a message has what the message is about.
fn is_whole(payload: &Payload) -> bool {
    match payload {
        Payload::UserAction(action) => !action.user.is_empty() && !action.action.is_empty(),
        Payload::SystemEvent(event) => !event.component.is_empty() && event.status != 0,
        _ => true,
    }
}

/// The `dataschema` and the JSON of a payload that is a message of ours.
pub fn written(payload: &Payload) -> Option<Result<(String, String), Violation>> {
    match payload {
        Payload::SensorReading(message) => Some(with_schema("sensor_reading", message)),
        Payload::UserAction(message) => Some(with_schema("user_action", message)),
        Payload::SystemEvent(message) => Some(with_schema("system_event", message)),
        Payload::AnomalyDetected(message) => Some(with_schema("anomaly_detected", message)),
        Payload::BreachExpected(message) => Some(with_schema("breach_expected", message)),
        Payload::FeedbackReported(message) => Some(with_schema("feedback_reported", message)),
        Payload::Struct(_) | Payload::Any(_) | Payload::Raw(_) => None,
    }
}

fn with_schema<M: Message + Name>(field: &str, message: &M) -> Result<(String, String), Violation> {
    Ok((format!("{SCHEME}{AUTHORITY}{}", M::full_name()), to_json(field, message)?))
}

/// Canonical protobuf JSON, its names sorted so that equal messages are equal texts.
pub fn to_json<M: Message + Name>(field: &str, message: &M) -> Result<String, Violation> {
    // Only what no check let through has no JSON: a time outside its range, or more nesting than protobuf reads.
    let unwritable = |why: String| Violation::new(field, Reason::Range, why);
    let dynamic =
        decode_dynamic::<M>(&message.encode_to_vec()).map_err(|error| unwritable(error.to_string()))?;
    let json = serde_json::to_value(&dynamic).map_err(|error| unwritable(error.to_string()))?;
    Ok(json.to_string())
}

/// Reads canonical protobuf JSON; unknown fields are refused.
pub fn from_json<M: Message + Name + Default>(text: &[u8]) -> Result<M, Violation> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut reader, &mut track);
    let dynamic = DynamicMessage::deserialize(descriptor_of::<M>(), tracked);
    let dynamic = dynamic.map_err(|error| {
        let field = match track.path().to_string().as_str() {
            "." => "data".to_owned(),
            path => format!("data.{path}"),
        };
        Violation::new(field, Reason::Grammar, without_place(&error))
    })?;
    let refused = |why: String| Violation::new("data", Reason::Grammar, why);
    reader.end().map_err(|error| refused(without_place(&error)))?;
    dynamic.transcode_to().map_err(|error| refused(error.to_string()))
}
