//! What is told together, and when.

use std::time::Duration;

use cornjacket_domain::violation::{Reason, Violation};
use cornjacket_proto::actions as proto;

use super::template::Template;
use crate::span::span;

/// How long the first of a group waits, when nothing is said and at the most.
const WAIT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_hours(1));
/// How long more of it waits, likewise.
const INTERVAL: (Duration, Duration) = (Duration::from_mins(5), Duration::from_hours(24));
/// Bounds of after how long what lasts is told again.
const REPEAT: (Duration, Duration) = (Duration::from_mins(1), Duration::from_hours(7 * 24));

/// When a group is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How long its first waits for others.
    pub wait: Duration,
    /// How long after it was told more of it waits.
    pub interval: Duration,
    /// How long after it was told it is told again, while an alarm of it lasts; never, when there is none.
    pub repeat: Option<Duration>,
}

/// The grouping of a rule.
#[derive(Debug)]
pub(super) struct Grouping {
    /// What becomes the key is its title. Nothing: all is one group.
    pub key: Option<Template>,
    /// When a group is told.
    pub pace: Pace,
}

impl Grouping {
    /// Compiles; what is wrong is told by field.
    pub fn new(stated: &proto::Grouping, has_alarm: bool) -> Result<Self, Vec<Violation>> {
        let mut problems = Vec::new();
        let title = stated.key.clone();
        let key =
            (!title.is_empty()).then(|| Template::new(Some(&proto::Template { title, text: String::new() })));
        let key = key.transpose().unwrap_or_else(|faults| {
            let told = |(_, fault): (_, super::checker::Fault)| {
                Violation::new("key", fault.reason, fault.description)
            };
            problems.extend(faults.into_iter().map(told));
            None
        });
        let wait = span(stated.wait.as_ref(), "wait", (Duration::ZERO, WAIT.1), &mut problems);
        let interval =
            span(stated.interval.as_ref(), "interval", (Duration::ZERO, INTERVAL.1), &mut problems);
        let repeat = span(stated.repeat.as_ref(), "repeat", REPEAT, &mut problems);
        if repeat.is_some() && !has_alarm {
            let said = "is only of a rule with an alarm: nothing else lasts";
            problems.push(Violation::new("repeat", Reason::Mismatch, said));
        }
        let pace = Pace { wait: wait.unwrap_or(WAIT.0), interval: interval.unwrap_or(INTERVAL.0), repeat };
        if problems.is_empty() { Ok(Self { key, pace }) } else { Err(problems) }
    }
}
