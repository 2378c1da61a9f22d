//! Which events a rule looks at, by what they say of themselves.

use cornjacket_domain::Patterns;
use cornjacket_proto::events::Event;

// A rule on our own doings could set itself off again.
use crate::said::SOURCE as OWN_SOURCE;

/// Patterns of types and subjects, in which `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Matching {
    types: Patterns,
    named: Vec<String>,
    subjects: Patterns,
}

impl Matching {
    /// Of these types, about these subjects; about all subjects when there is none.
    pub(super) fn new(types: &[String], subjects: &[String]) -> Self {
        let named = types.iter().filter(|pattern| !pattern.contains('*')).cloned().collect();
        let subjects = if subjects.is_empty() { Patterns::All } else { Patterns::Any(subjects.to_vec()) };
        Self { types: Patterns::Any(types.to_vec()), named, subjects }
    }

    /// The one type that it names in full, and the one subject, where it matches nothing else.
    pub(super) fn only(&self) -> (Option<&str>, Option<&str>) {
        (only(&self.types), only(&self.subjects))
    }

    /// Whether the rule looks at `event`. Our own doings must be named in full.
    pub(super) fn matches(&self, event: &Event) -> bool {
        let of_type = if event.source == OWN_SOURCE {
            self.named.contains(&event.r#type)
        } else {
            self.types.allow(&event.r#type)
        };
        of_type && self.subjects.allow(&event.subject)
    }
}

fn only(patterns: &Patterns) -> Option<&str> {
    match patterns {
        Patterns::Any(patterns) => match patterns.as_slice() {
            [one] if !one.contains('*') => Some(one),
            _ => None,
        },
        Patterns::All => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matches_one_thing_only_says_so() {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (types, subjects, expected) in [
            (&["a.b"][..], &[][..], (Some("a.b"), None)),
            (&["a.*"], &["pump-7"], (None, Some("pump-7"))),
            (&["a.b", "a.c"], &["pump-*"], (None, None)),
        ] {
            assert_eq!(
                Matching::new(&owned(types), &owned(subjects)).only(),
                expected,
                "{types:?} {subjects:?}"
            );
        }
    }

    #[test]
    fn our_own_doings_are_matched_by_their_full_type_only() {
        for (types, subjects, source, expected) in [
            (&["sensor.*"][..], &[][..], "plant", true),
            (&["*"], &["pump-*"], "plant", true),
            (&["*"], &["valve-*"], "plant", false),
            (&["sensor.*", "ai.*"], &["valve-*", "pump-7"], "plant", true),
            (&["ai.*"], &[], "plant", false),
            (&["*"], &[], OWN_SOURCE, false),
            (&["sensor.*"], &[], OWN_SOURCE, false),
            (&["*", "sensor.reading"], &[], OWN_SOURCE, true),
            (&["sensor.reading"], &["valve-*"], OWN_SOURCE, false),
        ] {
            let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
            let event = Event {
                source: source.into(),
                r#type: "sensor.reading".into(),
                subject: "pump-7".into(),
                ..Event::default()
            };
            let matching = Matching::new(&owned(types), &owned(subjects));
            assert_eq!(matching.matches(&event), expected, "{types:?} {subjects:?} {source}");
        }
    }
}
