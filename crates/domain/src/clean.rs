//! Cleaning and checking field by field, remembering where each field is.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::RangeInclusive;

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::clock::Timestamp;
use crate::violation::{Reason, Violation};

/// Faults of one event that are told: they travel in headers, which have bounds, and whoever sent more is told enough.
const MOST_FAULTS: usize = 20;

/// Walks an event, cleans what may be cleaned, and collects what is wrong, each with the path of its field.
#[derive(Debug, Default)]
pub struct Checker {
    path: Vec<Segment>,
    violations: Vec<Violation>,
}

/// One step from a message to what is in it.
#[derive(Debug)]
pub enum Segment {
    /// A field by its protobuf name.
    Field(&'static str),
    /// An item of a repeated field.
    Index(usize),
    /// An entry of a map.
    Key(String),
}

impl Checker {
    /// What was found wrong, in the order of the walk: the first twenty.
    pub fn into_violations(self) -> Vec<Violation> {
        self.violations
    }

    /// Runs `check` with the path one step deeper.
    pub fn within(&mut self, segment: Segment, check: impl FnOnce(&mut Self)) {
        self.path.push(segment);
        check(self);
        self.path.pop();
    }

    /// Notes that what the path points at is wrong.
    pub fn fail_here(&mut self, reason: Reason, description: impl Into<String>) {
        if self.violations.len() == MOST_FAULTS {
            return;
        }
        let field = self.path.iter().fold(String::new(), |mut path, segment| {
            match segment {
                Segment::Field(name) if path.is_empty() => path.push_str(name),
                Segment::Field(name) => write!(path, ".{name}").expect("a String takes all"),
                Segment::Index(index) => write!(path, "[{index}]").expect("a String takes all"),
                Segment::Key(key) => write!(path, "[{key:?}]").expect("a String takes all"),
            }
            path
        });
        self.violations.push(Violation::new(field, reason, description));
    }

    /// Notes that `field` is wrong.
    pub fn fail(&mut self, field: &'static str, reason: Reason, description: impl Into<String>) {
        self.within(Segment::Field(field), |checker| {
            checker.fail_here(reason, description);
        });
    }

    /// Checks the length of `value` in characters; an empty value is missing when the length does not allow it.
    pub fn length(&mut self, field: &'static str, value: &str, allowed: &RangeInclusive<usize>) {
        let length = value.chars().count();
        if length == 0 && *allowed.start() > 0 {
            self.fail(field, Reason::Required, "must not be empty");
        } else if length > *allowed.end() {
            self.fail(field, Reason::TooLong, format!("{length} characters; at most {} fit", allowed.end()));
        }
    }

    /// Cleans a text and checks its length in characters.
    pub fn text(&mut self, field: &'static str, value: &mut String, allowed: &RangeInclusive<usize>) {
        clean_text(value);
        self.length(field, value, allowed);
    }

    /// Refuses NaN and the infinities.
    pub fn finite(&mut self, field: &'static str, value: f64) {
        self.within(Segment::Field(field), |checker| checker.finite_here(value));
    }

    fn finite_here(&mut self, value: f64) {
        if !value.is_finite() {
            self.fail_here(Reason::Range, format!("{value} is not a finite number"));
        }
    }

    /// Cuts a time to microseconds and refuses one outside the years 1 to 9999.
    pub fn time(&mut self, field: &'static str, time: &mut prost_types::Timestamp) {
        match Timestamp::from_proto(time) {
            Some(cut) => *time = cut.to_proto(),
            None => self.fail(field, Reason::Range, "outside 0001-01-01 to 9999-12-31"),
        }
    }

    /// Cleans every text in a `Struct`, keys included, and refuses values that JSON cannot carry.
    pub fn structure(&mut self, field: &'static str, structure: &mut Struct) {
        self.within(Segment::Field(field), |checker| checker.structure_here(structure));
    }

    fn structure_here(&mut self, structure: &mut Struct) {
        let mut cleaned = BTreeMap::new();
        for (mut key, mut value) in std::mem::take(&mut structure.fields) {
            clean_text(&mut key);
            self.within(Segment::Key(key.clone()), |checker| {
                checker.value_here(&mut value);
                if cleaned.insert(key, value).is_some() {
                    checker.fail_here(Reason::Repeated, "two keys are the same once cleaned");
                }
            });
        }
        structure.fields = cleaned;
    }

    fn value_here(&mut self, value: &mut Value) {
        match &mut value.kind {
            None => self.fail_here(Reason::Required, "a value without a kind; null is null_value"),
            Some(Kind::NumberValue(number)) => self.finite_here(*number),
            Some(Kind::StringValue(text)) => clean_text(text),
            Some(Kind::StructValue(structure)) => self.structure_here(structure),
            Some(Kind::ListValue(list)) => {
                for (index, item) in list.values.iter_mut().enumerate() {
                    self.within(Segment::Index(index), |checker| checker.value_here(item));
                }
            }
            Some(Kind::NullValue(_) | Kind::BoolValue(_)) => {}
        }
    }
}

/// Trims white space and brings the text to Unicode Normalization Form C (UAX #15).
pub fn clean_text(text: &mut String) {
    let trimmed = text.trim();
    if is_nfc_quick(trimmed.chars()) != IsNormalized::Yes {
        *text = trimmed.nfc().collect();
    } else if trimmed.len() != text.len() {
        *text = trimmed.to_owned();
    }
}

/// Whether every character can be shown: no control characters, line or paragraph separators.
pub fn is_printable(text: &str) -> bool {
    !text.chars().any(|character| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_trimmed_and_composed() {
        for (given, cleaned) in [(" a ", "a"), ("e\u{301}", "é"), ("\u{3000}x\t", "x"), ("plain", "plain")] {
            let mut text = given.to_owned();
            clean_text(&mut text);
            assert_eq!(text, cleaned);
        }
    }

    #[test]
    fn of_thousands_of_faults_the_first_are_told() {
        let mut checker = Checker::default();
        for index in 0..5_000 {
            checker.within(Segment::Index(index), |checker| checker.finite_here(f64::NAN));
        }
        let violations = checker.into_violations();
        assert_eq!((violations.len(), violations[19].field.as_str()), (MOST_FAULTS, "[19]"));
    }

    #[test]
    fn keys_that_become_the_same_are_refused() {
        let value = || Value { kind: Some(Kind::BoolValue(true)) };
        let mut structure = Struct { fields: [("a".into(), value()), (" a".into(), value())].into() };
        let mut checker = Checker::default();
        checker.structure("details", &mut structure);
        let violations = checker.into_violations();
        assert_eq!(
            (violations[0].field.as_str(), violations[0].reason),
            ("details[\"a\"]", Reason::Repeated)
        );
    }

    #[test]
    fn the_path_leads_into_lists_and_structs() {
        let nan = Value { kind: Some(Kind::NumberValue(f64::NAN)) };
        let list = Value { kind: Some(Kind::ListValue(prost_types::ListValue { values: vec![nan] })) };
        let mut structure = Struct { fields: [("xs".into(), list)].into() };
        let mut checker = Checker::default();
        checker.structure("struct", &mut structure);
        assert_eq!(checker.into_violations()[0].field, "struct[\"xs\"][0]");
    }
}
