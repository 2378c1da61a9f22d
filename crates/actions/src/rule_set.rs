//! The rules that decide, as they are at one revision.

use std::collections::HashMap;

use cornjacket_bus::Delivered;
use cornjacket_domain::Timestamp;
use cornjacket_proto::actions;
use cornjacket_store::{Definition, DefinitionKind, Definitions};
use prost::Message as _;

use crate::channels;
use crate::rules::{Escape, Rule, View};

/// Rules that are not disabled, and how the endpoints that they name read texts.
#[derive(Debug)]
pub struct RuleSet {
    /// Of the definitions that they were made of.
    pub revision: u64,
    rules: Vec<Known>,
    escapes: HashMap<String, Escape>,
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
        let escape = |one: &Definition| {
            let endpoint = actions::Endpoint::decode(one.bytes.as_slice()).ok()?;
            Some((one.name.clone(), channels::escape(&endpoint)))
        };
        let escapes = definitions.of(DefinitionKind::Endpoint).filter_map(escape).collect();
        Self { revision: definitions.revision, rules, escapes }
    }

    /// The rules that look at an event: those that there were when it was stored.
    pub fn looking_at<'a>(&'a self, event: &'a Delivered) -> impl Iterator<Item = &'a Rule> {
        let was_there = |known: &&Known| event.ingest_time >= known.since;
        let looking = self.rules.iter().filter(was_there).filter(|known| known.rule.matches(&event.event));
        looking.map(|known| &known.rule)
    }

    /// How an endpoint reads texts; nothing when there is none.
    pub fn escape(&self, endpoint: &str) -> Option<Escape> {
        self.escapes.get(endpoint).copied()
    }
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
    (!rule.is_disabled()).then_some(Known { rule, since: definition.made.at })
}

/// Whether a condition is true of an event; or why that cannot be said.
pub fn holds(rule: &Rule, view: &View<'_>) -> Result<bool, String> {
    rule.holds(view).map_err(|error| format!("its condition could not be evaluated: {error}"))
}
