//! A rule that is tried: what it would decide, by the same code that decides. Pure: there is no store, and nothing to be written.

use cornjacket_bus::Delivered;
use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::Severity;
use cornjacket_store::Decision;
use prost::Message as _;

use super::decided::{Decided, Known};
use super::meant::meant;
use crate::Message;
use crate::rule_set::RuleSet;

/// Goes over events in order, and knows of what it has decided before.
pub struct Trial<'a> {
    rules: &'a RuleSet,
    decided: Decided<'a>,
}

/// What the rule would decide on an event.
#[derive(Debug)]
pub struct Tried {
    /// As the ledger would have it by itself.
    pub decision: Decision,
    /// How much it matters.
    pub severity: Severity,
    /// The alarm that it is about.
    pub alarm_key: Option<String>,
    /// Endpoints by name, and what they would be told.
    pub told: Vec<(String, Message)>,
}

impl<'a> Trial<'a> {
    /// Of a set of one rule ([`RuleSet::trial`]), which has decided nothing.
    pub fn new(rules: &'a RuleSet) -> Self {
        // Each event brings the time that it is decided at.
        let decided = Decided::new(rules, Known::default(), Timestamp::default());
        Self { rules, decided }
    }

    /// What becomes of the next event, decided on at that time; nothing when the rule does not mean it.
    pub fn event(&mut self, event: &Delivered, now: Timestamp) -> Option<Tried> {
        let meant = meant(self.rules, event);
        let meant = meant.first()?;
        let (decision, deliveries) = self.decided.tried(meant, now)?;
        let told = deliveries.into_iter().map(|delivery| {
            let message = Message::decode(delivery.message.as_slice()).expect("it was encoded just now");
            (delivery.endpoint, message)
        });
        Some(Tried {
            decision,
            severity: meant.facts().severity,
            alarm_key: meant.alarm().cloned(),
            told: told.collect(),
        })
    }
}

#[cfg(test)]
mod laws;
