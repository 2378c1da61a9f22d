//! Who calls, and what they may do and touch.

use cornjacket_proto::status::{ErrorKind, Failure};
use http::Extensions;

use crate::{Event, Timestamp};

/// What a caller may do. Its name is what a token's claim `scope` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Send events.
    Ingest,
    /// Ask for events and state.
    Query,
    /// Work with rules, endpoints and deliveries.
    Actions,
    /// Operate a running system.
    Admin,
    /// Send what a model has found: types `ai.*`. No method is for it: sending takes [`Scope::Ingest`] too.
    Insights,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 5] = [Self::Ingest, Self::Query, Self::Actions, Self::Admin, Self::Insights];

    /// As a token says it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Query => "query",
            Self::Actions => "actions",
            Self::Admin => "admin",
            Self::Insights => "insights",
        }
    }

    /// The scope of that name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// The identity behind a call, as far as the services need it. Every service takes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: Option<String>,
    scopes: Vec<Scope>,
    subjects: Patterns,
    sources: Patterns,
    expires: Option<Timestamp>,
}

/// What a claim limits: everything, or the names that one of the patterns matches, in which `*` stands for any text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Patterns {
    /// No limit.
    #[default]
    All,
    /// What one of these matches; nothing when there is none.
    Any(Vec<String>),
}

impl Caller {
    /// Who calls, by the extensions of a request: put there by the layer around every service, also where authentication
    /// is off. Where that layer is missing nobody has asked, and nobody may do anything.
    pub fn of(extensions: &Extensions) -> Result<Self, Failure> {
        extensions.get().cloned().ok_or_else(|| {
            let message = "this service does not know who calls: nothing in front of it asks";
            Failure::new(ErrorKind::Internal, message).with_reason("CALLER_UNKNOWN", [])
        })
    }

    /// A caller who may do everything: what every call is where authentication is off.
    pub fn allow_all() -> Self {
        Self { name: None, ..Self::new("", &Scope::ALL) }
    }

    /// A caller by that name who may do this, with everything that there is.
    pub fn new(name: impl Into<String>, scopes: &[Scope]) -> Self {
        Self {
            name: Some(name.into()),
            scopes: scopes.to_vec(),
            subjects: Patterns::All,
            sources: Patterns::All,
            expires: None,
        }
    }

    /// Limited to subjects and sources that match.
    #[must_use]
    pub fn limited_to(self, subjects: Patterns, sources: Patterns) -> Self {
        Self { subjects, sources, ..self }
    }

    /// Until then; a stream ends at that time.
    #[must_use]
    pub fn until(self, expires: Timestamp) -> Self {
        Self { expires: Some(expires), ..self }
    }

    /// Who it is: a token's subject, or a device. Nobody in particular where authentication is off.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// When it is no longer known; never where authentication is off.
    pub const fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// Whether the caller may do this at all.
    pub fn authorize(&self, scope: Scope) -> Result<(), Failure> {
        if self.scopes.contains(&scope) {
            return Ok(());
        }
        Err(refused("SCOPE_MISSING", format!("the token lacks the scope {:?}", scope.name())))
    }

    /// Whether the caller may send `event`. Sources `cornjacket/*` are for what we find ourselves; types `ai.*` are for
    /// that and for models beside us, which have a scope of their own.
    pub fn authorize_write(&self, event: &Event) -> Result<(), Failure> {
        if event.source().starts_with(OUR_SOURCES) {
            return Err(refused("RESERVED", format!("source {:?} is Cornjacket's own", event.source())));
        }
        // A word counts for any series, under anybody's name: `ReportFeedback` sees to that.
        if event.event_type() == FEEDBACK {
            return Err(refused("RESERVED", format!("type {FEEDBACK:?} is for ReportFeedback")));
        }
        if event.event_type().starts_with(OUR_TYPES) && self.authorize(Scope::Insights).is_err() {
            let (kind, scope) = (event.event_type(), Scope::Insights.name());
            let message =
                format!("type {kind:?} is Cornjacket's own; others need the scope {scope:?} for it");
            return Err(refused("RESERVED", message));
        }
        self.authorize_event(event.subject(), event.source())
    }

    /// Whether the caller may read an event about `subject` from `source`.
    pub fn authorize_event(&self, subject: &str, source: &str) -> Result<(), Failure> {
        if !self.sources.allow(source) {
            return Err(denied("source", source));
        }
        self.authorize_subject(subject)
    }

    /// Whether events about `subject` may be the caller's business at all, from whichever source.
    pub fn authorize_subject(&self, subject: &str) -> Result<(), Failure> {
        if self.subjects.allow(subject) { Ok(()) } else { Err(denied("subject", subject)) }
    }

    /// As [`Self::authorize_event`], where it only matters whether.
    pub fn may_read(&self, subject: &str, source: &str) -> bool {
        self.sources.allow(source) && self.subjects.allow(subject)
    }

    /// Whether the caller may read what was made of the events about `subject`: states and series. They are made of
    /// events from all sources, which is more than somebody may see who is limited to some.
    pub fn authorize_state(&self, subject: &str) -> Result<(), Failure> {
        self.authorize_states()?;
        self.authorize_subject(subject)
    }

    /// Whether the caller may read states and series of any subject.
    pub fn authorize_states(&self) -> Result<(), Failure> {
        if self.sources == Patterns::All {
            return Ok(());
        }
        let message = "the token is limited to some sources; states and series are made of all";
        Err(refused("SOURCE_DENIED", message.to_owned()))
    }

    /// Whether the caller may do what is about everything that there is, such as pausing a consumer.
    pub fn authorize_everything(&self) -> Result<(), Failure> {
        if self.subjects == Patterns::All && self.sources == Patterns::All {
            return Ok(());
        }
        let message = "the token is limited to some subjects or sources; this is about all of them";
        Err(refused("LIMITED", message.to_owned()))
    }
}

/// What the sources and types of our own findings begin with.
const OUR_SOURCES: &str = "cornjacket/";
const OUR_TYPES: &str = "ai.";
/// The source of people's words: who they are and whether they may was seen to by then.
pub const FEEDBACK_SOURCE: &str = "cornjacket/feedback";
/// What such a word is.
const FEEDBACK: &str = "ai.feedback_reported";

fn denied(field: &str, value: &str) -> Failure {
    let reason = if field == "source" { "SOURCE_DENIED" } else { "SUBJECT_DENIED" };
    refused(reason, format!("the token does not allow {field} {value:?}"))
}

fn refused(reason: &str, message: String) -> Failure {
    Failure::new(ErrorKind::PermissionDenied, message).with_reason(reason, [])
}

impl Patterns {
    /// Whether one of them matches.
    pub fn allow(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Any(patterns) => patterns.iter().any(|pattern| matches(pattern, name)),
        }
    }
}

/// Whether `pattern`, in which `*` stands for any text, matches all of `name`. Each star takes as little as it can:
/// that is enough to find a match, and no pattern takes longer than its length times that of the name.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(head) else {
        return false;
    };
    while let Some((middle, tail)) = rest.split_once('*') {
        let Some(at) = name.find(middle) else {
            return false;
        };
        name = &name[at + middle.len()..];
        rest = tail;
    }
    name.ends_with(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("plant-1/*", "plant-1/pump", true),
            ("plant-1/*", "plant-10/pump", false),
            ("*", "", true),
            ("a*c", "abc", true),
            ("a*c", "abcd", false),
            ("a*c", "abcbc", true),
            ("a*a", "a", false),
            ("*b*", "abc", true),
            ("*b*b", "b", false),
            ("a*b*c*", "a-c-b-c", true),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("*é*", "café au lait", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} ~ {name}");
        }
    }

    fn limited() -> Caller {
        let subjects = Patterns::Any(vec!["pump-*".into()]);
        Caller::new("someone", &[Scope::Query]).limited_to(subjects, Patterns::All)
    }

    #[test]
    fn a_call_that_nobody_has_looked_at_is_nobodys() {
        let mut extensions = Extensions::new();
        let refused = Caller::of(&extensions).expect_err("nobody has asked");
        assert_eq!(refused.kind(), ErrorKind::Internal);
        extensions.insert(limited());
        assert_eq!(Caller::of(&extensions), Ok(limited()));
    }

    #[test]
    fn a_limited_caller_reads_only_its_subjects() {
        assert!(limited().authorize_state("pump-7").is_ok());
        let refused = limited().authorize_state("valve-7").expect_err("valve-7 is not the caller's");
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert!(limited().authorize_everything().is_err());
        assert!(Caller::allow_all().authorize_event("valve-7", "x").is_ok());
    }

    #[test]
    fn who_is_limited_to_sources_reads_no_states() {
        let caller = Caller::allow_all().limited_to(Patterns::All, Patterns::Any(vec!["line-1".into()]));
        assert!(caller.may_read("pump-7", "line-1"));
        assert!(!caller.may_read("pump-7", "line-2"));
        assert!(caller.authorize_state("pump-7").is_err());
    }

    #[test]
    fn insights_are_for_models_and_our_sources_for_nobody() {
        let event = |source: &str, kind: &str| {
            let event = cornjacket_proto::events::Event {
                source: source.into(),
                r#type: kind.into(),
                subject: "pump-7".into(),
                ..cornjacket_proto::events::Event::default()
            };
            Event::new(event, Timestamp::from_micros(0), &Limits::default()).expect("a good event")
        };
        let (device, model) = (
            Caller::new("pump-7", &[Scope::Ingest]),
            Caller::new("model", &[Scope::Ingest, Scope::Insights]),
        );
        let insight = event("models/python", "ai.anomaly_detected");
        let refused = device.authorize_write(&insight).expect_err("a device finds nothing");
        assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
        assert!(refused.message().contains("\"insights\""), "{refused}");
        assert!(model.authorize_write(&insight).is_ok());
        assert!(model.authorize_write(&event("models/python", FEEDBACK)).is_err(), "in anybody's name");
        assert!(device.authorize_write(&event("pump-7", "sensor.reading")).is_ok());
        for kind in ["ai.anomaly_detected", "sensor.reading"] {
            let ours = event("cornjacket/inference", kind);
            assert!(
                model.authorize_write(&ours).is_err() && Caller::allow_all().authorize_write(&ours).is_err()
            );
        }
    }

    #[test]
    fn a_scope_that_the_token_lacks_is_named() {
        assert!(limited().authorize(Scope::Query).is_ok());
        let refused = limited().authorize(Scope::Admin).expect_err("it is no operator");
        assert!(refused.message().contains("\"admin\""), "{refused}");
        assert_eq!(Scope::ALL.map(|scope| Scope::by_name(scope.name())), Scope::ALL.map(Some));
    }
}
