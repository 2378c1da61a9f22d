//! What each payload must be. A new event type is one `.proto`, one file here, and one line in [`check`].

mod anomaly_detected;
mod breach_expected;
mod feedback_reported;
mod sensor_reading;
mod system_event;
mod user_action;

use cornjacket_proto::events::event::Payload;

use crate::clean::{Checker, Segment};
use crate::violation::Reason;

/// Cleans and checks the payload of an event of type `event_type`.
pub fn check(event_type: &str, payload: &mut Payload, checker: &mut Checker) {
    match payload {
        Payload::SensorReading(reading) => within(checker, "sensor_reading", |checker| {
            sensor_reading::check(event_type, reading, checker);
        }),
        Payload::UserAction(action) => {
            within(checker, "user_action", |checker| {
                user_action::check(action, checker);
            });
        }
        Payload::SystemEvent(event) => {
            within(checker, "system_event", |checker| {
                system_event::check(event, checker);
            });
        }
        Payload::AnomalyDetected(anomaly) => {
            within(checker, "anomaly_detected", |checker| {
                anomaly_detected::check(anomaly, checker);
            });
        }
        Payload::BreachExpected(breach) => {
            within(checker, "breach_expected", |checker| {
                breach_expected::check(breach, checker);
            });
        }
        Payload::FeedbackReported(feedback) => {
            within(checker, "feedback_reported", |checker| {
                feedback_reported::check(feedback, checker);
            });
        }
        Payload::Struct(structure) => checker.structure("struct", structure),
        Payload::Any(any) => within(checker, "any", |checker| {
            checker.length("type_url", &any.type_url, &(1..=1024));
        }),
        Payload::Raw(raw) => within(checker, "raw", |checker| {
            checker.text("content_type", &mut raw.content_type, &(1..=256));
            if !crate::clean::is_printable(&raw.content_type) {
                checker.fail("content_type", Reason::Grammar, "must be a media type");
            }
        }),
    }
}

fn within(checker: &mut Checker, field: &'static str, check: impl FnOnce(&mut Checker)) {
    checker.within(Segment::Field(field), check);
}
