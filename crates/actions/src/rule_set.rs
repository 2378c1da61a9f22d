//! The rules that decide, as they are at one revision.

use std::collections::HashMap;

use cornjacket_bus::Delivered;
use cornjacket_domain::Timestamp;
use cornjacket_proto::actions;
use cornjacket_store::{Definition, DefinitionKind, Definitions};
use prost::Message as _;

use crate::channels;
use crate::rules::{Escape, Rule};
use crate::silences::{Facts, Silence};

/// The rules, how the endpoints that they name read texts, and what is not told for a while.
#[derive(Debug)]
pub struct RuleSet {
    /// Of the definitions that they were made of.
    pub revision: u64,
    rules: Vec<Known>,
    escapes: HashMap<String, Escape>,
    silences: Vec<Silence>,
}

/// A rule, and since when it decides.
#[derive(Debug)]
struct Known {
    rule: Rule,
    since: Timestamp,
}

impl RuleSet {
    /// Of what is defined. A rule that is kept and is none any more decides nothing, and our log says so.
    pub fn new(definitions: &Definitions) -> Self {
        let rules = definitions.of(DefinitionKind::Rule).filter_map(known).collect();
        Self { rules, ..Self::around(definitions) }
    }

    /// One rule alone, whenever it was made. Endpoints that there are not read texts as they are.
    pub fn trial(rule: Rule, definitions: &Definitions) -> Self {
        let mut around = Self::around(definitions);
        for endpoint in rule.endpoints() {
            around.escapes.entry(endpoint.clone()).or_insert(Escape::Plain);
        }
        let rules = vec![Known { rule, since: Timestamp::from_micros(i64::MIN) }];
        Self { rules, ..around }
    }

    /// What rules decide with, and no rule.
    fn around(definitions: &Definitions) -> Self {
        let escape = |one: &Definition| {
            let endpoint = actions::Endpoint::decode(one.bytes.as_slice()).ok()?;
            Some((one.name.clone(), channels::escape(&endpoint)))
        };
        let escapes = definitions.of(DefinitionKind::Endpoint).filter_map(escape).collect();
        let silences = definitions.of(DefinitionKind::Silence).filter_map(silence).collect();
        Self { revision: definitions.revision, rules: Vec::new(), escapes, silences }
    }

    /// The rules that look at an event: those that there were when it was stored.
    pub fn looking_at<'a>(&'a self, event: &'a Delivered) -> impl Iterator<Item = &'a Rule> {
        let decides = |known: &&Known| !known.rule.is_disabled() && event.ingest_time >= known.since;
        let looking = self.rules.iter().filter(decides).filter(|known| known.rule.matches(&event.event));
        looking.map(|known| &known.rule)
    }

    /// A silence into which an event falls at that time.
    pub fn silence(&self, facts: &Facts<'_>, now: Timestamp) -> Option<&Silence> {
        self.silences.iter().find(|silence| silence.covers(facts, now))
    }

    /// The rule of that name, also when it is disabled.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().map(|known| &known.rule).find(|rule| rule.name() == name)
    }

    /// How an endpoint reads texts; nothing when there is none.
    pub fn escape(&self, endpoint: &str) -> Option<Escape> {
        self.escapes.get(endpoint).copied()
    }
}

fn silence(definition: &Definition) -> Option<Silence> {
    let silence = actions::Silence::decode(definition.bytes.as_slice()).map_err(|error| error.to_string());
    let silence = silence.and_then(|silence| {
        Silence::try_new(&silence, definition.made.at).map_err(|problems| format!("{problems:?}"))
    });
    let refused = |error: &String| {
        tracing::error!(
            silence = definition.name,
            error,
            "a silence that is kept is none any more: it covers nothing"
        );
    };
    silence.inspect_err(refused).ok()
}

fn known(definition: &Definition) -> Option<Known> {
    let rule = actions::Rule::decode(definition.bytes.as_slice()).map_err(|error| error.to_string());
    let rule = rule.and_then(|rule| {
        let rule = actions::Rule { version: definition.version, ..rule };
        Rule::try_new(&rule).map_err(|problems| format!("{problems:?}"))
    });
    let refused = |error: &String| {
        tracing::error!(
            rule = definition.name,
            error,
            "a rule that is kept is none any more, and decides nothing"
        );
    };
    let rule = rule.inspect_err(refused).ok()?;
    Some(Known { rule, since: definition.made.at })
}
