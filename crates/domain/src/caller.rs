//! Who calls, and what they may touch.

use cornjacket_proto::status::{ErrorKind, Failure};

use crate::Event;

/// The identity behind a call, as far as the services need it. Every service takes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    subjects: Patterns,
    sources: Patterns,
}

/// What a claim limits: everything, or the names that one of the patterns matches.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Patterns {
    All,
    Any(Vec<String>),
}

impl Caller {
    /// A caller who may do everything: what every call is until authentication is on.
    pub const fn allow_all() -> Self {
        Self { subjects: Patterns::All, sources: Patterns::All }
    }

    /// A caller limited to subjects and sources that match one of the patterns (`*` stands for any text).
    pub fn limited_to(subjects: Vec<String>, sources: Vec<String>) -> Self {
        Self { subjects: Patterns::Any(subjects), sources: Patterns::Any(sources) }
    }

    /// Whether the caller may write `event`.
    pub fn authorize_write(&self, event: &Event) -> Result<(), Failure> {
        if !self.sources.allow(event.source()) {
            return Err(denied("source", event.source()));
        }
        self.authorize_subject(event.subject())
    }

    /// Whether the caller may read what is about `subject`.
    pub fn authorize_subject(&self, subject: &str) -> Result<(), Failure> {
        if self.subjects.allow(subject) { Ok(()) } else { Err(denied("subject", subject)) }
    }
}

fn denied(field: &str, value: &str) -> Failure {
    Failure::new(ErrorKind::PermissionDenied, format!("the token does not allow {field} {value:?}"))
}

impl Patterns {
    fn allow(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Any(patterns) => patterns.iter().any(|pattern| matches(pattern, name)),
        }
    }
}

/// Whether `pattern`, in which `*` stands for any text, matches all of `name`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(rest) = name.strip_prefix(head) else {
        return false;
    };
    (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| matches(tail, &rest[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("plant-1/*", "plant-1/pump", true),
            ("plant-1/*", "plant-10/pump", false),
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("*é*", "café au lait", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} ~ {name}");
        }
    }

    #[test]
    fn a_limited_caller_reads_only_its_subjects() {
        let caller = Caller::limited_to(vec!["pump-*".into()], vec![]);
        assert!(caller.authorize_subject("pump-7").is_ok());
        let refused = caller.authorize_subject("valve-7").expect_err("valve-7 is not the caller's");
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert!(Caller::allow_all().authorize_subject("valve-7").is_ok());
    }
}
