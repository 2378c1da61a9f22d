//! A stand-in for `sources::mqtt::message`, with its signature: a payload is an event's canonical JSON, or its content.

use bytes::Bytes;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{Event, Measurement, Raw, SensorReading};
use serde_json::Value;

/// What our own topics begin with: `cornjacket/v1/{subject}/{type}`.
pub const PREFIX: &str = "cornjacket/v1/";

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

/// Which event a topic means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics(());

impl Topics {
    /// The subject and the type that a topic means; nothing when it means no event.
    pub fn place<'a>(&'a self, topic: &'a str) -> Option<(&'a str, &'a str)> {
        let (subject, name) = topic.strip_prefix(PREFIX)?.rsplit_once('/')?;
        Some((subject, name)).filter(|_| !subject.is_empty() && !name.is_empty())
    }
}

/// Why a message is no event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is an old one, and is to be passed over.
    #[error("the message is a retained one")]
    Retained,
    /// The topic means no event.
    #[error("topic {0:?} means no event")]
    Topic(String),
}

/// The event that a message is.
pub fn event_of(message: &Message, topics: &Topics) -> Result<Event, Refused> {
    if message.retain {
        return Err(Refused::Retained);
    }
    let place = topics.place(&message.topic).ok_or_else(|| Refused::Topic(message.topic.clone()));
    let (subject, name) = place?;
    let json: Option<Value> = serde_json::from_slice(&message.payload).ok();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    Ok(Event {
        id: json.as_ref().map(|json| text(json, "id")).unwrap_or_default(),
        source: format!("mqtt:{subject}"),
        r#type: name.to_owned(),
        subject: subject.to_owned(),
        payload: Some(json.as_ref().and_then(reading).unwrap_or_else(|| raw(message))),
        ..Event::default()
    })
}

fn reading(json: &Value) -> Option<Payload> {
    let measurement = |item: &Value| {
        Some(Measurement {
            metric: item["metric"].as_str()?.to_owned(),
            value: item["value"].as_f64()?,
            unit: item["unit"].as_str().unwrap_or_default().to_owned(),
        })
    };
    let list = json["sensorReading"]["measurements"].as_array()?;
    let measurements = list.iter().map(measurement).collect::<Option<_>>()?;
    Some(Payload::SensorReading(SensorReading { measurements }))
}

fn raw(message: &Message) -> Payload {
    let content_type = message.content_type.clone();
    let content_type = content_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    Payload::Raw(Raw { content_type, data: message.payload.clone() })
}
