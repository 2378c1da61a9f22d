//! Messages of MQTT: what is taken is the event that its topic says, and what is refused is told in few words.
//!
//! A message is its topic in the first line, then lines such as `id: 7`, its user properties, of which `content-type` is
//! none, and behind an empty line the payload.

use std::sync::LazyLock;

use bytes::Bytes;
use cornjacket_domain::{Event, Invalid, Limits, Timestamp};
use cornjacket_ingest::sources::mqtt::{Message, PREFIX, Topics, event_of};
use prost::Message as _;

/// Bytes of a reason: it is logged, and kept with every letter.
const MOST_REASON: usize = 4 << 10;

static TOPICS: LazyLock<Topics> = LazyLock::new(|| {
    let mapped = ["plants/{subject}/telemetry = sensor.reading", "old/{type}/of/{subject}"];
    Topics::new(mapped).expect("good templates")
});

/// Runs the target once.
pub fn run(data: &[u8]) {
    let Some(message) = message(data) else { return };
    let taken = take(&message);
    assert_eq!(taken, take(&message), "the same message is the same event");
    match taken {
        Ok(event) => is_what_the_topic_says(&event, &message.topic),
        Err(reason) => assert!(!reason.is_empty() && reason.len() <= MOST_REASON, "{} bytes", reason.len()),
    }
}

fn message(data: &[u8]) -> Option<Message> {
    let end = data.windows(2).position(|bytes| bytes == b"\n\n");
    let (head, payload) = end.map_or((data, &b""[..]), |end| (&data[..end], &data[end + 2..]));
    let mut lines = std::str::from_utf8(head).ok()?.split('\n');
    let (topic, payload) = (lines.next()?.to_owned(), Bytes::copy_from_slice(payload));
    let mut message = Message { topic, payload, ..Message::default() };
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        if name == "content-type" {
            message.content_type = Some(value.to_owned());
        } else {
            message.user_properties.push((name.to_owned(), value.to_owned()));
        }
    }
    Some(message)
}

/// As the intake does, but that an event without an id gets the same each time.
fn take(message: &Message) -> Result<Event, String> {
    let mut event = event_of(message, &TOPICS).map_err(|refused| refused.to_string())?;
    if event.id.is_empty() {
        "made".clone_into(&mut event.id);
    }
    let valid = Event::new(event, Timestamp::default(), &Limits::default());
    valid.map_err(|invalid: Invalid| invalid.to_string())
}

/// Says it in the other direction than [`Topics::place`] does: what the event says makes the topic.
fn is_what_the_topic_says(event: &Event, topic: &str) {
    let (subject, event_type) = (event.subject(), event.event_type());
    let is_mapped = event_type == "sensor.reading" && topic == format!("plants/{subject}/telemetry");
    let topics = [format!("{PREFIX}{subject}/{event_type}"), format!("old/{event_type}/of/{subject}")];
    assert!(is_mapped || topics.iter().any(|one| one == topic), "{event:?} is not of {topic}");
    assert_eq!(event.source(), format!("mqtt:{subject}"));
    let stored = cornjacket_proto::events::Event::decode(event.encoded().clone());
    let stored = stored.expect("what is stored can be read again");
    assert_eq!((stored.id.as_str(), stored.subject.as_str()), (event.id(), subject));
}
