//! What becomes of an event that a rule means. Pure: everything that a decision depends on is given.

use std::collections::HashMap;
use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_store::{Alarm, Decision, Outcome, Window};

use crate::ids;
use crate::printable::printable;

/// Our own doings out of which an event may have come, one out of another.
const DEPTH: u32 = 4;
/// Events that are not told, of one kind and for one reason, are one row of the ledger within each such span.
const SPAN: Duration = Duration::from_mins(5);

/// What a rule says of time.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The rule's name.
    pub rule: &'a str,
    /// Its version.
    pub version: u32,
    /// More of the same is not told for so long.
    pub window: Duration,
    /// What was stored longer ago is not told.
    pub max_age: Duration,
}

/// An event, in as far as a decision needs it.
#[derive(Clone, Copy, Debug)]
pub struct Happening<'a> {
    /// Its source.
    pub source: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Its type.
    pub event_type: &'a str,
    /// Its subject.
    pub subject: &'a str,
    /// Its position.
    pub position: u64,
    /// When it was stored.
    pub stored: Timestamp,
    /// Our own doings out of which it has come.
    pub depth: u32,
}

impl Terms<'_> {
    /// What becomes of an event that is not told for what it is itself; nothing when it may be told.
    pub fn refuses(&self, event: &Happening<'_>, now: Timestamp) -> Option<Decision> {
        if event.depth >= DEPTH {
            let reason = format!("it comes of {} of our own doings, one out of another", event.depth);
            return Some(self.untold(event, Outcome::Loop, reason));
        }
        if event.stored + self.max_age < now {
            let reason = format!("it was older than {:?} when it was decided on", self.max_age);
            return Some(self.untold(event, Outcome::Stale, reason));
        }
        None
    }

    /// What becomes of an event when the same was told shortly before; nothing when it was not. `window` is the last that the rule
    /// began for the event's type and subject.
    pub fn by_window(&self, event: &Happening<'_>, window: Option<&Window>) -> Option<Decision> {
        let window = window.filter(|window| event.stored < window.since + self.window)?;
        let reason = format!("told within {:?} before, by {}", self.window, window.decision);
        Some(self.repeat(event, &window.decision, reason))
    }

    /// It says no more of an alarm than is known.
    pub fn by_alarm(&self, event: &Happening<'_>, alarm: &Alarm) -> Decision {
        let reason = format!("the alarm {:?} lasts, and was told of by {}", alarm.key, alarm.decision);
        self.repeat(event, &alarm.decision, reason)
    }

    /// The alarm has seen what came after it.
    pub fn overtaken(&self, event: &Happening<'_>, alarm: &Alarm) -> Decision {
        let reason = format!("the alarm {:?} knows of later events already", alarm.key);
        self.repeat(event, &alarm.decision, reason)
    }

    /// It falls into a silence, which says why.
    pub fn silenced(&self, event: &Happening<'_>, reason: String) -> Decision {
        self.untold(event, Outcome::Silenced, reason)
    }

    /// It is not told at this time, for that reason.
    pub fn muted(&self, event: &Happening<'_>, reason: String) -> Decision {
        self.untold(event, Outcome::Muted, reason)
    }

    /// It ends what nobody had been told of.
    pub fn ends_unseen(&self, event: &Happening<'_>, alarm: &Alarm) -> Decision {
        let reason = format!("nobody had been told of the alarm {:?}, which is over", alarm.key);
        self.untold(event, Outcome::Untold, reason)
    }

    /// What becomes of an event of which it could not be found out whether the rule means it, or what to say.
    pub fn failed(&self, event: &Happening<'_>, reason: String) -> Decision {
        self.untold(event, Outcome::Failed, reason)
    }

    /// It is told.
    pub fn sent(&self, event: &Happening<'_>) -> Decision {
        let id = ids::decision(self.rule, event.source, event.id);
        self.decision(event, id, Outcome::Sent, String::new())
    }

    /// It is told with others, under that id, for that reason.
    pub fn grouped(&self, event: &Happening<'_>, telling: String, reason: String) -> Decision {
        Decision {
            because: Some(telling),
            ..self.decision(event, self.sent(event).id, Outcome::Grouped, reason)
        }
    }

    /// All repeats of one are one, by type and subject: so they are found by an event.
    fn repeat(&self, event: &Happening<'_>, of: &str, reason: String) -> Decision {
        let id = ids::repeats(of, self.rule, event.event_type, event.subject);
        let decision = self.decision(event, id, Outcome::Deduplicated, reason);
        Decision { because: Some(of.to_owned()), ..decision }
    }

    fn untold(&self, event: &Happening<'_>, outcome: Outcome, reason: String) -> Decision {
        let span = event.stored.as_micros().div_euclid(i64::try_from(SPAN.as_micros()).unwrap_or(i64::MAX));
        let id = ids::untold(outcome.name(), self.rule, event.event_type, event.subject, span);
        self.decision(event, id, outcome, reason)
    }

    fn decision(&self, event: &Happening<'_>, id: String, outcome: Outcome, reason: String) -> Decision {
        Decision {
            id,
            rule: self.rule.to_owned(),
            rule_version: self.version,
            source: event.source.to_owned(),
            event_id: event.id.to_owned(),
            position: event.position,
            event_type: event.event_type.to_owned(),
            subject: event.subject.to_owned(),
            outcome,
            // Parts of it may be anybody's words.
            reason: printable(reason),
            because: None,
            count: 1,
            first_time: event.stored,
            last_time: event.stored,
            last_position: event.position,
        }
    }
}

/// Decisions of a batch, in which repeats of one are one.
#[derive(Debug, Default)]
pub struct Decisions {
    all: Vec<Decision>,
    places: HashMap<String, usize>,
}

impl Decisions {
    /// Takes one more; where it is there already, that has one event more.
    pub fn add(&mut self, decision: Decision) {
        if let Some(place) = self.places.get(&decision.id) {
            let known = &mut self.all[*place];
            known.count += decision.count;
            known.last_time = known.last_time.max(decision.last_time);
            known.last_position = known.last_position.max(decision.last_position);
        } else {
            self.places.insert(decision.id.clone(), self.all.len());
            self.all.push(decision);
        }
    }

    /// All of them, in the order in which they came.
    pub fn all(&self) -> &[Decision] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERMS: Terms<'_> =
        Terms { rule: "hot", version: 3, window: Duration::from_mins(5), max_age: Duration::from_hours(1) };

    fn at(second: u64) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000) + Duration::from_secs(second)
    }

    fn event(id: &str, second: u64) -> Happening<'_> {
        Happening {
            source: "sensors",
            id,
            event_type: "sensor.reading",
            subject: "pump-7",
            position: second + 1,
            stored: at(second),
            depth: 0,
        }
    }

    fn decide(event: &Happening<'_>, window: Option<&Window>, now: Timestamp) -> Decision {
        let refused = TERMS.refuses(event, now).or_else(|| TERMS.by_window(event, window));
        refused.unwrap_or_else(|| TERMS.sent(event))
    }

    fn window(second: u64) -> Window {
        Window { decision: "dec_first".into(), since: at(second) }
    }

    #[test]
    fn what_is_new_is_told_and_repeats_are_one_decision() {
        let first = decide(&event("1", 0), None, at(0));
        assert_eq!((first.outcome, first.count, first.because), (Outcome::Sent, 1, None));
        let repeat = decide(&event("2", 299), Some(&window(0)), at(300));
        assert_eq!((repeat.outcome, repeat.because.as_deref()), (Outcome::Deduplicated, Some("dec_first")));
        assert!(repeat.reason.contains("dec_first"), "{}", repeat.reason);
        assert_eq!(decide(&event("3", 1), Some(&window(0)), at(1)).id, repeat.id);
        let later = decide(&event("4", 300), Some(&window(0)), at(300));
        assert_eq!(later.outcome, Outcome::Sent, "the window is over");
        assert_ne!(later.id, first.id);
        let open = Terms { window: Duration::ZERO, ..TERMS };
        assert_eq!(open.by_window(&event("5", 0), Some(&window(0))), None);
    }

    #[test]
    fn what_is_old_or_comes_round_again_is_not_told() {
        let hour = 3_600;
        assert_eq!(decide(&event("1", 0), None, at(hour)).outcome, Outcome::Sent);
        let stale = decide(&event("1", 0), None, at(hour + 1));
        assert_eq!(stale.outcome, Outcome::Stale);
        let deep = |depth| decide(&Happening { depth, ..event("1", 0) }, None, at(0)).outcome;
        assert_eq!([3, 4, 5].map(deep), [Outcome::Sent, Outcome::Loop, Outcome::Loop]);
        let failed = TERMS.failed(&event("1", 0), "no such\0key".into());
        assert_eq!((failed.outcome, failed.reason.as_str()), (Outcome::Failed, "no such key"));
        assert_ne!(failed.id, stale.id);
    }

    #[test]
    fn the_same_is_counted() {
        let mut decisions = Decisions::default();
        for (id, second) in [("1", 5), ("2", 9), ("3", 7)] {
            decisions.add(decide(&event(id, second), Some(&window(0)), at(9)));
        }
        decisions.add(decide(&event("4", 9), None, at(9)));
        let [repeats, _] = decisions.all() else { panic!("{decisions:?}") };
        assert_eq!((repeats.count, repeats.event_id.as_str(), repeats.position), (3, "1", 6));
        assert_eq!((repeats.first_time, repeats.last_time, repeats.last_position), (at(5), at(9), 10));
    }
}
