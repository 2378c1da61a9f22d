//! A service: a heartbeat every fifteen seconds, and word when its status changes.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_proto::events::SystemEvent;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::system_event::Status;

use crate::actor::Happening;
use crate::envelope::event;
use crate::random::Random;

const SOURCE: &str = "simulator/platform";
const PERIOD: Duration = Duration::from_secs(15);
/// How long one that is down says nothing.
const DOWN: [Duration; 2] = [Duration::from_secs(30), Duration::from_mins(5)];
const NAMES: [&str; 5] = ["gateway", "billing", "search", "mailer", "auth"];

/// How likely a heartbeat brings another status, which, and why.
type Change = (f64, Status, &'static str);

const WHEN_OK: [Change; 2] =
    [(0.004, Status::Degraded, "answers slowly"), (0.001, Status::Down, "out of memory")];
const WHEN_DEGRADED: [Change; 2] = [(0.05, Status::Ok, "recovered"), (0.01, Status::Down, "does not answer")];
const WHEN_DOWN: [Change; 1] = [(1.0, Status::Ok, "restarted")];

/// A service.
#[derive(Debug)]
pub struct Service {
    name: String,
    random: Random,
    status: Status,
    message: &'static str,
    at: Timestamp,
}

impl Service {
    /// Well, with a heartbeat within its first period.
    pub fn new(number: u32, mut random: Random, start: Timestamp) -> Self {
        let at = start + random.span(Duration::ZERO, PERIOD);
        let kind = NAMES[number as usize % NAMES.len()];
        let name = format!("{kind}-{}", number as usize / NAMES.len() + 1);
        Self { name, random, status: Status::Ok, message: "", at }
    }

    /// A heartbeat, or a change of status in its place.
    pub fn next(&mut self) -> Happening {
        let at = self.at;
        let changed = self.change();
        if let Some((status, message)) = changed {
            (self.status, self.message) = (status, message);
        }
        let pause = if self.status == Status::Down { self.random.span(DOWN[0], DOWN[1]) } else { PERIOD };
        self.at = at + pause;
        let event_type = if changed.is_some() { "system.status" } else { "system.heartbeat" };
        let payload = Payload::SystemEvent(SystemEvent {
            component: self.name.clone(),
            status: self.status.into(),
            message: self.message.into(),
            details: None,
        });
        Happening { at, event: event((SOURCE, &self.name), event_type, at, payload, &mut self.random) }
    }

    fn change(&mut self) -> Option<(Status, &'static str)> {
        let drawn = self.random.unit();
        let changes: &[Change] = match self.status {
            Status::Ok | Status::Unspecified => &WHEN_OK,
            Status::Degraded => &WHEN_DEGRADED,
            Status::Down => &WHEN_DOWN,
        };
        let mut sum = 0.0;
        let hit = changes.iter().find(|(share, ..)| {
            sum += share;
            drawn < sum
        });
        hit.map(|(_, status, message)| (*status, *message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heartbeats_repeat_the_status_and_changes_change_it() {
        let mut service = Service::new(6, Random::new(1, 6), Timestamp::from_day(20_000));
        assert_eq!(service.name, "billing-2");
        let mut known = Status::Ok;
        let mut seen = std::collections::BTreeMap::<_, u32>::new();
        for _ in 0..20_000 {
            let event = service.next().event;
            let Some(Payload::SystemEvent(reported)) = &event.payload else { panic!("{event:?}") };
            let changed = event.r#type == "system.status";
            assert_eq!(changed, reported.status() != known);
            assert!(changed || known != Status::Down, "one that is down has no heartbeat");
            known = reported.status();
            *seen.entry(known).or_default() += 1;
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(seen[&Status::Ok] > 15_000, "{seen:?}");
    }
}
