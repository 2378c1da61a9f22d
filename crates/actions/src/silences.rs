//! Silences: what is not told for a while.

use cornjacket_domain::violation::{Reason, Violation};
use cornjacket_domain::{Patterns, Timestamp};
use cornjacket_proto::actions::silence::Matcher;
use cornjacket_proto::actions::silence::matcher::Field;
use cornjacket_proto::actions::{self as proto, Severity};

use crate::{names, severity};

/// What must match, at the most.
const MOST_MATCHERS: usize = 16;
/// Characters of a pattern, and of why.
const LONGEST_PATTERN: usize = 256;
const LONGEST_COMMENT: usize = 1_024;

/// A silence that has been checked.
#[derive(Clone, Debug)]
pub struct Silence {
    name: String,
    matchers: Vec<(Field, Patterns, bool)>,
    /// From when, until when.
    span: (Timestamp, Timestamp),
    comment: String,
}

/// What silences look at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The rule's name.
    pub rule: &'a str,
    /// The event's type.
    pub event_type: &'a str,
    /// Its subject.
    pub subject: &'a str,
    /// Its source.
    pub source: &'a str,
    /// How much it matters.
    pub severity: Severity,
}

impl Silence {
    /// Checks a definition that begins at `now` where it does not say; what is wrong is told by field.
    pub fn try_new(definition: &proto::Silence, now: Timestamp) -> Result<Self, Vec<Violation>> {
        let mut problems: Vec<Violation> = names::check("name", &definition.name).into_iter().collect();
        let mut wrong = |field: &str, reason, description: String| {
            problems.push(Violation::new(field, reason, description));
        };
        let start = time("start_time", definition.start_time.as_ref(), &mut wrong).unwrap_or(now);
        let end = time("end_time", definition.end_time.as_ref(), &mut wrong);
        match end {
            None if definition.end_time.is_none() => {
                wrong("end_time", Reason::Required, "must be set".into());
            }
            Some(end) if end <= start => {
                wrong("end_time", Reason::Range, "must be after the silence begins".into());
            }
            None | Some(_) => {}
        }
        let characters = definition.comment.chars().count();
        if !(1..=LONGEST_COMMENT).contains(&characters) {
            wrong("comment", Reason::Range, format!("must have 1 to {LONGEST_COMMENT} characters"));
        }
        if definition.comment.contains(char::is_control) {
            wrong("comment", Reason::Grammar, "has control characters".into());
        }
        if !(1..=MOST_MATCHERS).contains(&definition.matchers.len()) {
            wrong("matchers", Reason::Range, format!("must be 1 to {MOST_MATCHERS}"));
        }
        let each = definition.matchers.iter().enumerate();
        let matchers = each.filter_map(|(index, one)| matcher(index, one, &mut wrong)).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let span = (start, end.unwrap_or(start));
        Ok(Self { name: definition.name.clone(), matchers, span, comment: definition.comment.clone() })
    }

    /// Whether it lasts at that time, and all that must match does.
    pub fn covers(&self, facts: &Facts<'_>, now: Timestamp) -> bool {
        let (start, end) = self.span;
        let matches = |(field, patterns, negated): &(Field, Patterns, bool)| {
            patterns.allow(facts.of(*field)) != *negated
        };
        start <= now && now < end && self.matchers.iter().all(matches)
    }

    /// What the ledger says of what it covers.
    pub fn reason(&self) -> String {
        format!("silenced by {} until {}: {}", self.name, self.span.1.to_proto(), self.comment)
    }
}

type Wrong<'a> = dyn FnMut(&str, Reason, String) + 'a;

fn time(field: &str, time: Option<&prost_types::Timestamp>, wrong: &mut Wrong<'_>) -> Option<Timestamp> {
    let stated = time?;
    let time = Timestamp::from_proto(stated);
    if time.is_none() {
        wrong(field, Reason::Range, "is no time".into());
    }
    time
}

fn matcher(index: usize, stated: &Matcher, wrong: &mut Wrong<'_>) -> Option<(Field, Patterns, bool)> {
    let characters = stated.pattern.chars().count();
    if !(1..=LONGEST_PATTERN).contains(&characters) {
        let description = format!("must have 1 to {LONGEST_PATTERN} characters");
        wrong(&format!("matchers[{index}].pattern"), Reason::Range, description);
    }
    if stated.pattern.contains(char::is_control) {
        wrong(&format!("matchers[{index}].pattern"), Reason::Grammar, "has control characters".into());
    }
    match Field::try_from(stated.field) {
        Ok(Field::Unspecified) | Err(_) => {
            wrong(
                &format!("matchers[{index}].field"),
                Reason::Required,
                "must be one of those there are".into(),
            );
            None
        }
        Ok(field) => Some((field, Patterns::Any(vec![stated.pattern.clone()]), stated.negated)),
    }
}

impl Facts<'_> {
    fn of(&self, field: Field) -> &str {
        match field {
            Field::Unspecified => "",
            Field::Rule => self.rule,
            Field::Type => self.event_type,
            Field::Subject => self.subject,
            Field::Source => self.source,
            Field::Severity => severity::name(self.severity),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::NOW;

    fn matcher(field: Field, pattern: &str, negated: bool) -> Matcher {
        Matcher { field: field.into(), pattern: pattern.into(), negated }
    }

    fn silence(matchers: Vec<Matcher>) -> proto::Silence {
        proto::Silence {
            name: "hall-4".into(),
            matchers,
            end_time: Some((NOW + Duration::from_mins(10)).to_proto()),
            comment: "the pumps are being cleaned".into(),
            ..proto::Silence::default()
        }
    }

    const FACTS: Facts<'_> = Facts {
        rule: "hot",
        event_type: "sensor.reading",
        subject: "pump-7",
        source: "plant",
        severity: Severity::Critical,
    };

    #[test]
    fn all_must_match_while_it_lasts() {
        let covers =
            |matchers, now| Silence::try_new(&silence(matchers), NOW).expect("valid").covers(&FACTS, now);
        let pumps = || matcher(Field::Subject, "pump-*", false);
        assert!(covers(vec![pumps()], NOW));
        assert!(!covers(vec![pumps()], NOW + Duration::from_mins(10)), "it is over");
        assert!(!covers(vec![pumps()], Timestamp::from_micros(NOW.as_micros() - 1)), "it has not begun");
        assert!(covers(vec![pumps(), matcher(Field::Rule, "cold", true)], NOW));
        assert!(!covers(vec![pumps(), matcher(Field::Severity, "critical", true)], NOW));
        assert!(!covers(vec![pumps(), matcher(Field::Type, "ai.*", false)], NOW));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = proto::Silence {
            name: "Hall".into(),
            matchers: vec![matcher(Field::Unspecified, "", false)],
            end_time: Some(NOW.to_proto()),
            ..proto::Silence::default()
        };
        let problems = Silence::try_new(&wrong, NOW).expect_err("all of it is wrong");
        let fields: Vec<_> = problems.iter().map(|one| one.field.as_str()).collect();
        assert_eq!(fields, ["name", "end_time", "comment", "matchers[0].pattern", "matchers[0].field"]);
        let endless = proto::Silence { end_time: None, ..silence(Vec::new()) };
        let problems = Silence::try_new(&endless, NOW).expect_err("no end and nothing to match");
        assert_eq!(
            problems.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(),
            ["end_time", "matchers"]
        );
    }
}
