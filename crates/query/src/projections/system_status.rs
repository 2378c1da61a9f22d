//! `system_status`: what a component last said of itself, and since when.

use cornjacket_domain::Timestamp;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::system_event::Status;
use cornjacket_store::ProjectionId;
use serde::{Deserialize, Serialize};

use super::{Before, Happening, Mark, Moment, Origin, Parameters, Projection, TypePattern};

/// The status of a component.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemStatus {
    status: Health,
    message: String,
    /// When the status became what it is.
    #[serde(with = "super::time")]
    since: Timestamp,
    /// When it was last reported.
    last_reported: Mark,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    #[default]
    Unknown,
    Ok,
    Degraded,
    Down,
}

impl Health {
    const fn of(status: Status) -> Self {
        match status {
            Status::Unspecified => Self::Unknown,
            Status::Ok => Self::Ok,
            Status::Degraded => Self::Degraded,
            Status::Down => Self::Down,
        }
    }
}

impl Projection for SystemStatus {
    const ID: ProjectionId = ProjectionId { name: "system_status", version: 1 };
    const TYPES: &'static [TypePattern] = &[TypePattern::Under("system.")];

    fn fold(&mut self, happening: &Happening<'_>, _: &Parameters) {
        let Some(Payload::SystemEvent(reported)) = &happening.event.payload else { return };
        let mark = happening.mark();
        if mark <= self.last_reported {
            return;
        }
        let status = Health::of(reported.status());
        if status != self.status {
            self.since = mark.time;
        }
        self.status = status;
        self.message.clone_from(&reported.message);
        self.last_reported = mark;
    }

    /// A status that is older than the log was there all along.
    fn before(self, log: &Origin) -> Before<Self> {
        let last_reported = Mark { time: self.since, position: 0 };
        if self.last_reported.position < log.position {
            Before::Part(self)
        } else if self.since < log.time {
            Before::Part(Self { last_reported, ..self })
        } else {
            Before::Nothing
        }
    }

    fn seen_at(self, moment: &Moment) -> Option<Self> {
        (self.last_reported.time >= moment.oldest).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::events::{Event, SystemEvent};

    use super::*;

    fn fold(events: &[(u64, i64, Status, &str)]) -> SystemStatus {
        let mut state = SystemStatus::default();
        for (position, micros, status, message) in events {
            let reported = SystemEvent {
                component: "db".into(),
                status: *status as i32,
                message: (*message).into(),
                details: None,
            };
            let payload = Some(Payload::SystemEvent(reported));
            let event = Event { position: *position, payload, ..Event::default() };
            let happening = Happening { event: &event, time: Timestamp::from_micros(*micros) };
            state.fold(&happening, &Parameters::default());
        }
        state
    }

    #[test]
    fn the_json_is_the_documented_one() {
        let state = fold(&[(1, 1_700_000_000_000_000, Status::Degraded, "slow disk")]);
        let json = serde_json::to_value(&state).expect("plain data");
        assert_eq!(
            (&json["status"], &json["message"], &json["since"]),
            (&"degraded".into(), &"slow disk".into(), &"2023-11-14T22:13:20Z".into())
        );
        assert_eq!(serde_json::from_value::<SystemStatus>(json).expect("our own JSON"), state);
    }

    #[test]
    fn since_is_when_the_status_changed_and_not_when_it_was_repeated() {
        let state = fold(&[(1, 10, Status::Ok, "a"), (2, 20, Status::Down, "b"), (3, 30, Status::Down, "c")]);
        assert_eq!((state.since.as_micros(), state.message.as_str()), (20, "c"));
    }

    #[test]
    fn a_late_report_changes_nothing() {
        let state = fold(&[(1, 20, Status::Down, "b"), (2, 10, Status::Ok, "a")]);
        assert_eq!((state.status, state.since.as_micros()), (Health::Down, 20));
    }
}
