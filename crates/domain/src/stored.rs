//! An event as the log gives it back.

use std::time::Duration;

use bytes::Bytes;
use cornjacket_proto::events as proto;
use prost::Message;

use crate::clock::Timestamp;

/// How far ahead of our clock a producer's may be before its events are marked.
pub const CLOCK_TOLERANCE: Duration = Duration::from_mins(5);

/// An event with the place and time that the log gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place in the log, from 1.
    pub position: u64,
    /// When it was stored.
    pub ingest_time: Timestamp,
    /// What happened, dotted.
    pub event_type: String,
    /// What it is about.
    pub subject: String,
    /// The protobuf bytes of the event, without position, ingest time and mark.
    pub encoded: Bytes,
}

impl StoredEvent {
    /// The event with position, ingest time and clock mark filled in.
    pub fn decode(&self) -> Result<proto::Event, prost::DecodeError> {
        let mut event = proto::Event::decode(self.encoded.clone())?;
        event.position = self.position;
        event.ingest_time = Some(self.ingest_time.to_proto());
        event.clock_ahead = event_time(&event).is_some_and(|time| time > self.ingest_time + CLOCK_TOLERANCE);
        Ok(event)
    }
}

/// The producer's time of an event, when it has one.
fn event_time(event: &proto::Event) -> Option<Timestamp> {
    event.event_time.as_ref().and_then(Timestamp::from_proto)
}

/// The time by which state and series are ordered: the producer's, but never more than five minutes ahead of ours, so
/// that a device whose clock is wrong freezes nothing.
pub fn effective_time(event: &proto::Event, ingest_time: Timestamp) -> Timestamp {
    event_time(event).map_or(ingest_time, |time| time.min(ingest_time + CLOCK_TOLERANCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(event_micros: i64, ingest_micros: i64) -> StoredEvent {
        let event = proto::Event {
            event_time: Some(Timestamp::from_micros(event_micros).to_proto()),
            ..proto::Event::default()
        };
        StoredEvent {
            position: 9,
            ingest_time: Timestamp::from_micros(ingest_micros),
            event_type: "a".into(),
            subject: "b".into(),
            encoded: event.encode_to_vec().into(),
        }
    }

    #[test]
    fn a_clock_more_than_five_minutes_ahead_is_marked_and_does_not_count() {
        const FIVE_MINUTES: i64 = 300_000_000;
        let stored = at(FIVE_MINUTES + 1, 0);
        let event = stored.decode().expect("our own bytes");
        assert!(event.clock_ahead);
        assert_eq!(event.position, 9);
        assert_eq!(effective_time(&event, stored.ingest_time).as_micros(), FIVE_MINUTES);
        assert!(!at(FIVE_MINUTES, 0).decode().expect("our own bytes").clock_ahead);
    }

    #[test]
    fn late_events_keep_their_own_time() {
        let stored = at(5, 1_000);
        let event = stored.decode().expect("our own bytes");
        assert_eq!(effective_time(&event, stored.ingest_time).as_micros(), 5);
    }
}
