//! The envelope that all simulated events share.

use cornjacket_domain::Timestamp;
use cornjacket_proto::events::Event;
use cornjacket_proto::events::event::Payload;

use crate::random::Random;

/// An event of that time, with an id of its own.
pub fn event(
    (source, subject): (&str, &str),
    event_type: &str,
    at: Timestamp,
    payload: Payload,
    random: &mut Random,
) -> Event {
    Event {
        id: random.id(at),
        source: source.into(),
        r#type: event_type.into(),
        subject: subject.into(),
        event_time: Some(at.to_proto()),
        payload: Some(payload),
        ..Event::default()
    }
}
