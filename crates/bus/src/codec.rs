//! What a record looks like, on Kafka's side and on ours.
//!
//! A record's key is the subject and its value the event. Its headers are those of the CloudEvents Kafka binding in
//! binary mode, the trace, and four of ours: position, ingest time and epoch, which the value leaves out so that log and
//! bus carry the same bytes, and the position before which nothing is missing. A record of a replay says nothing of what
//! is missing, and which replay it is of instead.

use bytes::Bytes;
use cornjacket_domain::{StoredEvent, Timestamp};
use cornjacket_proto::decode_dynamic;
use cornjacket_proto::events::{Event, TraceContext};
use prost::Message;

use crate::TopicPartition;

/// The position of the event in the log, decimal.
pub const POSITION: &str = "cornjacket-position";
/// A position at or above that of the event before it in the partition, decimal: in between the log has none of the
/// partition. So a reader that has come this far misses nothing, on whatever topic it finds the record.
pub const PREVIOUS: &str = "cornjacket-previous";
/// When the event was stored: microseconds since 1970, decimal.
pub const INGEST_TIME: &str = "cornjacket-ingest-time";
/// The epoch of the log, decimal.
pub const EPOCH: &str = "cornjacket-epoch";
/// Marks a record of a replay, which is not for our own consumers: the replay's id.
pub const REPLAY: &str = "cornjacket-replay";
/// The media type of the value.
pub const CONTENT_TYPE: &str = "content-type";

const PROTOBUF: &str = "application/protobuf";
const JSON: &str = "application/json";

/// What the value of a record is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The bytes as they are in the log.
    #[default]
    Protobuf,
    /// The canonical JSON of the same message.
    Json,
}

impl Format {
    /// The media type of the value.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => PROTOBUF,
            Self::Json => JSON,
        }
    }
}

/// Why an event is put on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sending<'a> {
    /// It was stored.
    Relayed {
        /// What [`PREVIOUS`] says.
        previous: u64,
    },
    /// An operator wants it there once more. Events are left out of a replay: it cannot say what came before.
    Replayed {
        /// What [`REPLAY`] says.
        id: &'a str,
    },
}

/// A record on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The value.
    pub value: Bytes,
    /// The headers, in a fixed order.
    pub headers: Vec<(&'static str, String)>,
    /// What caused the event; it is among the headers too.
    pub trace_context: TraceContext,
}

/// A record as it came off the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it was.
    pub at: TopicPartition,
    /// Its offset there.
    pub offset: u64,
    /// The key: the subject, for records of ours.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// What the headers say.
    pub envelope: Envelope,
}

/// What the headers of a record say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// The position in the log.
    pub position: Option<u64>,
    /// Between here and `position` the log has no event of the partition.
    pub previous: Option<u64>,
    /// When the event was stored.
    pub ingest_time: Option<Timestamp>,
    /// The epoch of the log.
    pub epoch: Option<u32>,
    /// How the value is to be read; protobuf when not said.
    pub format: Format,
    /// The replay that it is a record of, if any.
    pub replay: Option<String>,
}

/// An event as a consumer gets it.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivered {
    /// The offset of its record.
    pub offset: u64,
    /// When it was stored.
    pub ingest_time: Timestamp,
    /// The event, with position, ingest time and clock mark filled in.
    pub event: Event,
}

/// Why a record is not an event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// A header that every record of ours has is missing or is no number.
    #[error("the header {0} is missing or not a number")]
    Header(&'static str),
    /// The value is not what its content type says.
    #[error("the value is not a {format:?} event: {why}")]
    Value {
        /// What it should be.
        format: Format,
        /// What the decoder says.
        why: String,
    },
}

/// Writes the record of an event.
pub fn encode(
    stored: &StoredEvent,
    sending: Sending<'_>,
    epoch: u32,
    format: Format,
) -> Result<Outgoing, Undecodable> {
    let undecodable = |why: String| Undecodable::Value { format, why };
    let event = Event::decode(stored.encoded.clone()).map_err(|error| undecodable(error.to_string()))?;
    let value = match format {
        Format::Protobuf => stored.encoded.clone(),
        Format::Json => {
            let dynamic =
                decode_dynamic::<Event>(&stored.encoded).map_err(|error| undecodable(error.to_string()))?;
            serde_json::to_vec(&dynamic).map_err(|error| undecodable(error.to_string()))?.into()
        }
    };
    let mut headers = vec![
        (CONTENT_TYPE, format.content_type().to_owned()),
        ("ce_specversion", "1.0".to_owned()),
        ("ce_id", event.id),
        ("ce_source", event.source),
        ("ce_type", event.r#type),
        ("ce_subject", event.subject),
        (POSITION, stored.position.to_string()),
        sending.header(),
        (INGEST_TIME, stored.ingest_time.as_micros().to_string()),
        (EPOCH, epoch.to_string()),
    ];
    headers.extend(event.event_time.map(|time| ("ce_time", time.to_string())));
    let trace = event.trace_context.unwrap_or_default();
    for (name, value) in [("traceparent", &trace.traceparent), ("tracestate", &trace.tracestate)] {
        headers.extend((!value.is_empty()).then(|| (name, value.clone())));
    }
    Ok(Outgoing { value, headers, trace_context: trace })
}

impl Sending<'_> {
    fn header(self) -> (&'static str, String) {
        match self {
            Self::Relayed { previous } => (PREVIOUS, previous.to_string()),
            Self::Replayed { id } => (REPLAY, id.to_owned()),
        }
    }
}

impl Envelope {
    /// Takes in one header; those that are not ours to read are passed over.
    pub fn read(&mut self, name: &str, value: &[u8]) {
        let text = || std::str::from_utf8(value).ok();
        match name {
            // What no log of ours could have given is as good as missing.
            POSITION => {
                let position: Option<i64> = text().and_then(|text| text.parse().ok());
                self.position = position.filter(|position| *position > 0).map(i64::cast_unsigned);
            }
            PREVIOUS => self.previous = text().and_then(|text| text.parse().ok()),
            INGEST_TIME => {
                let time = text().and_then(|text| text.parse().ok()).map(Timestamp::from_micros);
                self.ingest_time = time.filter(|time| Timestamp::from_proto(&time.to_proto()).is_some());
            }
            EPOCH => self.epoch = text().and_then(|text| text.parse().ok()),
            CONTENT_TYPE if value.starts_with(JSON.as_bytes()) => self.format = Format::Json,
            REPLAY => self.replay = Some(String::from_utf8_lossy(value).into_owned()),
            _ => {}
        }
    }
}

impl Record {
    /// The event in the record.
    pub fn decode(&self) -> Result<Delivered, Undecodable> {
        let Envelope { position, ingest_time, format, .. } = self.envelope;
        let encoded = match format {
            Format::Protobuf => self.value.clone(),
            Format::Json => protobuf_of(&self.value)?,
        };
        let ingest_time = ingest_time.ok_or(Undecodable::Header(INGEST_TIME))?;
        let stored = StoredEvent {
            position: position.ok_or(Undecodable::Header(POSITION))?,
            ingest_time,
            event_type: String::new(),
            subject: String::new(),
            encoded,
        };
        let event = stored.decode().map_err(|error| Undecodable::Value { format, why: error.to_string() })?;
        Ok(Delivered { offset: self.offset, ingest_time, event })
    }
}

fn protobuf_of(json: &[u8]) -> Result<Bytes, Undecodable> {
    let undecodable =
        |error: serde_json::Error| Undecodable::Value { format: Format::Json, why: error.to_string() };
    let mut reader = serde_json::Deserializer::from_slice(json);
    let descriptor = cornjacket_proto::descriptor_of::<Event>();
    let event =
        cornjacket_proto::DynamicMessage::deserialize(descriptor, &mut reader).map_err(undecodable)?;
    reader.end().map_err(undecodable)?;
    Ok(event.encode_to_vec().into())
}

#[cfg(test)]
mod tests {
    use cornjacket_domain::Topic;
    use cornjacket_proto::events::Raw;
    use cornjacket_proto::events::event::Payload;

    use super::*;

    const RELAYED: Sending<'_> = Sending::Relayed { previous: 40 };

    fn stored() -> StoredEvent {
        let event = Event {
            id: "e-1".into(),
            source: "plant/1".into(),
            r#type: "sensor.picture".into(),
            subject: "pump-7".into(),
            event_time: Some(prost_time()),
            payload: Some(Payload::Raw(Raw { content_type: "image/png".into(), data: vec![0, 255].into() })),
            trace_context: Some(TraceContext { traceparent: "00-1-2-01".into(), tracestate: String::new() }),
            ..Event::default()
        };
        StoredEvent {
            position: 42,
            ingest_time: Timestamp::from_micros(1_700_000_000_123_456),
            event_type: event.r#type.clone(),
            subject: event.subject.clone(),
            encoded: event.encode_to_vec().into(),
        }
    }

    fn prost_time() -> cornjacket_proto::Timestamp {
        Timestamp::from_micros(1_600_000_000_500_000).to_proto()
    }

    fn received(outgoing: &Outgoing) -> Record {
        let mut envelope = Envelope::default();
        for (name, value) in &outgoing.headers {
            envelope.read(name, value.as_bytes());
        }
        let at = TopicPartition { topic: Topic::SensorEvents, partition: 0 };
        Record { at, offset: 7, key: Bytes::new(), value: outgoing.value.clone(), envelope }
    }

    #[test]
    fn the_headers_are_those_of_the_cloudevents_binding_and_ours() {
        let headers = encode(&stored(), RELAYED, 3, Format::Protobuf).expect("our own bytes").headers;
        let expected = [
            ("content-type", "application/protobuf"),
            ("ce_specversion", "1.0"),
            ("ce_id", "e-1"),
            ("ce_source", "plant/1"),
            ("ce_type", "sensor.picture"),
            ("ce_subject", "pump-7"),
            ("cornjacket-position", "42"),
            ("cornjacket-previous", "40"),
            ("cornjacket-ingest-time", "1700000000123456"),
            ("cornjacket-epoch", "3"),
            ("ce_time", "2020-09-13T12:26:40.500Z"),
            ("traceparent", "00-1-2-01"),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn both_formats_lead_back_to_the_stored_event() {
        for format in [Format::Protobuf, Format::Json] {
            let record = received(&encode(&stored(), RELAYED, 3, format).expect("our own bytes"));
            assert_eq!((record.envelope.epoch, record.envelope.previous), (Some(3), Some(40)));
            let delivered = record.decode().expect("our own record");
            assert_eq!(delivered.event, stored().decode().expect("our own bytes"), "{format:?}");
            assert_eq!((delivered.offset, delivered.event.position), (7, 42));
        }
    }

    #[test]
    fn a_record_of_a_replay_names_it_and_does_not_say_what_came_before() {
        let again = encode(&stored(), Sending::Replayed { id: "r-1" }, 3, Format::Protobuf);
        let record = received(&again.expect("our own bytes"));
        assert_eq!((record.envelope.replay.as_deref(), record.envelope.previous), (Some("r-1"), None));
        let event = record.decode().expect("our own record").event;
        assert_eq!(event, stored().decode().expect("our own bytes"));
    }

    #[test]
    fn what_is_not_an_event_says_why() {
        let good = received(&encode(&stored(), RELAYED, 3, Format::Protobuf).expect("our own bytes"));
        let garbage = Record { value: Bytes::from_static(b"\xff\xff"), ..good.clone() };
        assert!(matches!(garbage.decode(), Err(Undecodable::Value { format: Format::Protobuf, .. })));
        let mut not_json = good.clone();
        not_json.envelope.format = Format::Json;
        assert!(matches!(not_json.decode(), Err(Undecodable::Value { format: Format::Json, .. })));
        for (header, name) in [
            (b"18446744073709551615".as_slice(), POSITION),
            (b"0", POSITION),
            (b"9223372036854775807", INGEST_TIME),
            (b"soon", INGEST_TIME),
        ] {
            let mut foreign = good.clone();
            foreign.envelope.read(name, header);
            assert_eq!(foreign.decode(), Err(Undecodable::Header(name)));
        }
    }
}
