//! What becomes of an event that a rule means. Pure: everything that a decision depends on is given.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_store::{Decision, Outcome, Window};

use crate::ids;

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
    /// Decides. `window` is the last that the rule began for the event's type and subject.
    pub fn decide(&self, event: &Happening<'_>, window: Option<&Window>, now: Timestamp) -> Decision {
        if event.depth >= DEPTH {
            let reason = format!("it comes of {} of our own doings, one out of another", event.depth);
            return self.untold(event, Outcome::Loop, reason);
        }
        if event.stored + self.max_age < now {
            let reason = format!("it was older than {:?} when it was decided on", self.max_age);
            return self.untold(event, Outcome::Stale, reason);
        }
        match window {
            Some(window) if event.stored < window.since + self.window => self.repeat(event, window),
            _ => self.sent(event),
        }
    }

    /// What becomes of an event of which it could not be found out whether the rule means it, or what to say.
    pub fn failed(&self, event: &Happening<'_>, reason: String) -> Decision {
        self.untold(event, Outcome::Failed, reason)
    }

    fn sent(&self, event: &Happening<'_>) -> Decision {
        let id = ids::decision(self.rule, event.source, event.id);
        self.decision(event, id, Outcome::Sent, String::new())
    }

    /// All repeats of one are one.
    fn repeat(&self, event: &Happening<'_>, window: &Window) -> Decision {
        let reason = format!("told within {:?} before, by {}", self.window, window.decision);
        let decision = self.decision(event, ids::repeats(&window.decision), Outcome::Deduplicated, reason);
        Decision { because: Some(window.decision.clone()), ..decision }
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
            reason,
            because: None,
            count: 1,
            first_time: event.stored,
            last_time: event.stored,
            last_position: event.position,
        }
    }
}

/// Puts a decision to those before it, of which one may be the same: that then has one event more.
pub fn fold(decisions: &mut Vec<Decision>, decision: Decision) {
    match decisions.iter_mut().find(|one| one.id == decision.id) {
        Some(known) => {
            known.count += decision.count;
            known.last_time = known.last_time.max(decision.last_time);
            known.last_position = known.last_position.max(decision.last_position);
        }
        None => decisions.push(decision),
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

    fn window(second: u64) -> Window {
        Window { decision: "dec_first".into(), since: at(second) }
    }

    #[test]
    fn what_is_new_is_told_and_repeats_are_one_decision() {
        let first = TERMS.decide(&event("1", 0), None, at(0));
        assert_eq!((first.outcome, first.count, first.because), (Outcome::Sent, 1, None));
        let repeat = TERMS.decide(&event("2", 299), Some(&window(0)), at(300));
        assert_eq!((repeat.outcome, repeat.because.as_deref()), (Outcome::Deduplicated, Some("dec_first")));
        assert!(repeat.reason.contains("dec_first"), "{}", repeat.reason);
        assert_eq!(TERMS.decide(&event("3", 1), Some(&window(0)), at(1)).id, repeat.id);
        let later = TERMS.decide(&event("4", 300), Some(&window(0)), at(300));
        assert_eq!(later.outcome, Outcome::Sent, "the window is over");
        assert_ne!(later.id, first.id);
        let open = Terms { window: Duration::ZERO, ..TERMS };
        assert_eq!(open.decide(&event("5", 0), Some(&window(0)), at(0)).outcome, Outcome::Sent);
    }

    #[test]
    fn what_is_old_or_comes_round_again_is_not_told() {
        let hour = 3_600;
        assert_eq!(TERMS.decide(&event("1", 0), None, at(hour)).outcome, Outcome::Sent);
        let stale = TERMS.decide(&event("1", 0), None, at(hour + 1));
        assert_eq!(stale.outcome, Outcome::Stale);
        let deep = |depth| TERMS.decide(&Happening { depth, ..event("1", 0) }, None, at(0)).outcome;
        assert_eq!([3, 4, 5].map(deep), [Outcome::Sent, Outcome::Loop, Outcome::Loop]);
        let failed = TERMS.failed(&event("1", 0), "no such key".into());
        assert_eq!((failed.outcome, failed.reason.as_str()), (Outcome::Failed, "no such key"));
        assert_ne!(failed.id, stale.id);
    }

    #[test]
    fn the_same_is_counted() {
        let mut decisions = Vec::new();
        for (id, second) in [("1", 5), ("2", 9), ("3", 7)] {
            fold(&mut decisions, TERMS.decide(&event(id, second), Some(&window(0)), at(9)));
        }
        fold(&mut decisions, TERMS.decide(&event("4", 9), None, at(9)));
        assert_eq!(decisions.len(), 2);
        let repeats = &decisions[0];
        assert_eq!((repeats.count, repeats.event_id.as_str(), repeats.position), (3, "1", 6));
        assert_eq!((repeats.first_time, repeats.last_time, repeats.last_position), (at(5), at(9), 10));
    }
}
