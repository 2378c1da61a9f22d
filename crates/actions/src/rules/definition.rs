//! What may be a rule: everything that `rule.proto` says of its fields.

use std::collections::HashSet;
use std::time::Duration;

use cornjacket_domain::Violation;
use cornjacket_domain::violation::Reason;
use cornjacket_proto::actions::{self as proto, Severity};

use super::Rule;
use super::active::ActiveTimes;
use super::alarm::Alarm;
use super::condition::Condition;
use super::grouping::Grouping;
use super::matching::Matching;
use super::template::Template;
use crate::names;

/// Patterns of types, patterns of subjects, and endpoints of one rule.
const MOST_PATTERNS: usize = 64;
const MOST_ENDPOINTS: usize = 16;
/// Characters of a type and a subject, as events have them.
const TYPE_LENGTH: usize = 255;
const SUBJECT_LENGTH: usize = 256;
/// What holds where nothing is stated.
const WINDOW: Duration = Duration::from_mins(5);
const MAX_AGE: Duration = Duration::from_hours(1);
const WEEK: Duration = Duration::from_hours(7 * 24);
/// No window is longer.
pub const LONGEST_WINDOW: Duration = WEEK;

impl Rule {
    /// Checks and compiles a definition; what is wrong is told by field, all of it. A definition is kept as it was sent: when it was
    /// made before a limit was tightened, it is refused here as a new one would be, and who loads it says so of the rule, which
    /// decides nothing until it is changed.
    pub fn try_new(definition: &proto::Rule) -> Result<Self, Vec<Violation>> {
        let mut problems = Problems::default();
        problems.name("name", &definition.name);
        problems.patterns("types", &definition.types, is_type_pattern, TYPE_LENGTH);
        if definition.types.is_empty() {
            problems.add("types", Reason::Required, "needs at least one pattern");
        }
        problems.patterns("subjects", &definition.subjects, is_subject_pattern, SUBJECT_LENGTH);
        problems.endpoints(&definition.endpoints);
        let severity = problems.severity(definition.severity);
        let window = problems.duration(
            "deduplication_window",
            definition.deduplication_window.as_ref(),
            Duration::ZERO,
            WINDOW,
        );
        let max_age =
            problems.duration("max_age", definition.max_age.as_ref(), Duration::from_secs(1), MAX_AGE);
        let condition = problems.condition(&definition.condition);
        let template = problems.template(definition.template.as_ref());
        let alarm = definition.alarm.as_ref().and_then(|alarm| problems.alarm(alarm));
        let grouping =
            definition.grouping.as_ref().and_then(|one| problems.grouping(one, definition.alarm.is_some()));
        if definition.digest && definition.alarm.is_some() {
            problems.add("digest", Reason::Mismatch, "is not for alarms, which are told as they change");
        }
        let active_times = definition.active_times.as_ref().and_then(|times| problems.active_times(times));
        match template {
            Some(template) if problems.0.is_empty() => Ok(Self {
                name: definition.name.clone(),
                version: definition.version,
                matching: Matching::new(&definition.types, &definition.subjects),
                condition,
                severity,
                template,
                alarm,
                grouping,
                digest: definition.digest,
                endpoints: definition.endpoints.clone(),
                deduplication_window: window,
                max_age,
                active_times,
                disabled: definition.disabled,
            }),
            _ => Err(problems.0),
        }
    }
}

#[derive(Default)]
struct Problems(Vec<Violation>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, reason: Reason, description: impl Into<String>) {
        self.0.push(Violation::new(field, reason, description));
    }

    fn name(&mut self, field: &str, name: &str) {
        self.0.extend(names::check(field, name));
    }

    fn at_most(&mut self, field: &str, items: &[String], most: usize) {
        if items.len() > most {
            self.add(field, Reason::TooMany, format!("has {} entries; the limit is {most}", items.len()));
        }
        let mut seen = HashSet::new();
        for (index, item) in items.iter().enumerate() {
            if !seen.insert(item) {
                self.add(format!("{field}[{index}]"), Reason::Repeated, format!("repeats {item:?}"));
            }
        }
    }

    fn patterns(&mut self, field: &str, patterns: &[String], is_good: fn(char) -> bool, longest: usize) {
        self.at_most(field, patterns, MOST_PATTERNS);
        for (index, pattern) in patterns.iter().enumerate() {
            let field = format!("{field}[{index}]");
            let length = pattern.chars().count();
            if length == 0 {
                self.add(field, Reason::Required, "is empty");
            } else if length > longest {
                self.add(field, Reason::TooLong, format!("has {length} characters; the limit is {longest}"));
            } else if let Some(bad) = pattern.chars().find(|character| !is_good(*character)) {
                self.add(field, Reason::Grammar, format!("has {bad:?}, so that it matches nothing"));
            }
        }
    }

    fn endpoints(&mut self, endpoints: &[String]) {
        if endpoints.is_empty() {
            self.add("endpoints", Reason::Required, "needs at least one endpoint");
        }
        self.at_most("endpoints", endpoints, MOST_ENDPOINTS);
        for (index, endpoint) in endpoints.iter().enumerate() {
            self.name(&format!("endpoints[{index}]"), endpoint);
        }
    }

    fn severity(&mut self, severity: i32) -> Option<Severity> {
        match Severity::try_from(severity) {
            Ok(Severity::Unspecified) => None,
            Ok(stated) => Some(stated),
            Err(_) => {
                self.add("severity", Reason::Grammar, format!("{severity} is no severity"));
                None
            }
        }
    }

    fn duration(
        &mut self,
        field: &str,
        stated: Option<&prost_types::Duration>,
        shortest: Duration,
        default: Duration,
    ) -> Duration {
        let Some(stated) = stated else {
            return default;
        };
        match Duration::try_from(*stated) {
            Ok(duration) if (shortest..=WEEK).contains(&duration) => duration,
            _ => {
                let description = format!("is not between {} seconds and 7 days", shortest.as_secs());
                self.add(field, Reason::Range, description);
                default
            }
        }
    }

    fn condition(&mut self, source: &str) -> Option<Condition> {
        if source.trim().is_empty() {
            return None;
        }
        match Condition::new(source) {
            Ok(condition) => Some(condition),
            Err(fault) => {
                self.add("condition", fault.reason, fault.description);
                None
            }
        }
    }

    fn alarm(&mut self, stated: &proto::AlarmRule) -> Option<Alarm> {
        let faults = match Alarm::new(stated) {
            Ok(alarm) => return Some(alarm),
            Err(faults) => faults,
        };
        for (field, fault) in faults {
            self.add(format!("alarm.{field}"), fault.reason, fault.description);
        }
        None
    }

    fn grouping(&mut self, stated: &proto::Grouping, has_alarm: bool) -> Option<Grouping> {
        let faults = match Grouping::new(stated, has_alarm) {
            Ok(grouping) => return Some(grouping),
            Err(faults) => faults,
        };
        for fault in faults {
            self.add(format!("grouping.{}", fault.field), fault.reason, fault.description);
        }
        None
    }

    fn active_times(&mut self, stated: &proto::ActiveTimes) -> Option<ActiveTimes> {
        match ActiveTimes::try_new(stated) {
            Ok(times) => Some(times),
            Err(faults) => {
                for (field, fault) in faults {
                    self.add(format!("active_times.{field}"), fault.reason, fault.description);
                }
                None
            }
        }
    }

    fn template(&mut self, template: Option<&proto::Template>) -> Option<Template> {
        match Template::new(template) {
            Ok(template) => Some(template),
            Err(faults) => {
                for (field, fault) in faults {
                    self.add(format!("template.{field}"), fault.reason, fault.description);
                }
                None
            }
        }
    }
}

fn is_type_pattern(character: char) -> bool {
    character.is_ascii_alphanumeric() || ".-_*".contains(character)
}

fn is_subject_pattern(character: char) -> bool {
    !character.is_control() && !"+#".contains(character)
}
