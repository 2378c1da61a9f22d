//! From events to decisions and deliveries: one transaction with how far the consumer has come.
//!
//! An event comes once, or its effect did not happen. What is decided has ids that follow from rule and event, so that also
//! whoever decides the same again tells nobody anything new.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use cornjacket_bus::{Delivered, Handler, HandlerError};
use cornjacket_domain::{Clock, Timestamp, Topic};
use cornjacket_proto::actions::Severity;
use cornjacket_store::{Decision, NewDelivery, Outcome, StoreError, Tx, Window, WindowKey};
use prost::Message as _;

use crate::decide::{Happening, Terms, fold};
use crate::rule_set::{RuleSet, holds};
use crate::rules::{Rule, View};
use crate::{Message, ids, said};

/// The consumer's name.
pub const NAME: &str = "actions";

/// Decides on events.
#[derive(Debug)]
pub struct Dispatcher {
    clock: Arc<dyn Clock>,
    /// As they were when last looked at.
    rules: Mutex<Option<Arc<RuleSet>>>,
}

/// An event that a rule looks at and means, or of which that could not be found out.
struct Meant<'a> {
    event: &'a Delivered,
    rule: &'a Rule,
    trouble: Option<String>,
}

/// What is decided of a batch.
#[derive(Default)]
struct Decided {
    decisions: Vec<Decision>,
    deliveries: Vec<NewDelivery>,
}

impl Dispatcher {
    /// One that dates its decisions by a clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, rules: Mutex::default() }
    }

    /// The rules as they are in the transaction.
    async fn rules(&self, tx: &mut dyn Tx) -> Result<Arc<RuleSet>, StoreError> {
        let revision = tx.revision().await?;
        let known = self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.revision == revision) {
            return Ok(known);
        }
        let rules = Arc::new(RuleSet::new(&tx.definitions().await?));
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Some(rules.clone());
        Ok(rules)
    }

    async fn decide(&self, tx: &mut dyn Tx, events: &[Delivered]) -> Result<(), StoreError> {
        let rules = self.rules(tx).await?;
        let meant: Vec<Meant<'_>> = events.iter().flat_map(|event| meant(&rules, event)).collect();
        if meant.is_empty() {
            return Ok(());
        }
        let mut keys: Vec<WindowKey> = meant.iter().map(Meant::key).collect();
        keys.sort_unstable();
        keys.dedup();
        let mut windows = tx.windows(&keys).await?;
        let (mut decided, now) = (Decided::default(), self.clock.now());
        for one in &meant {
            decided.add(one, &rules, &mut windows, now);
        }
        count(&decided);
        tx.decide(&decided.decisions).await?;
        if !decided.deliveries.is_empty() {
            tx.deliver(&decided.deliveries).await?;
        }
        Ok(())
    }
}

/// The rules that mean an event.
fn meant<'a>(rules: &'a RuleSet, event: &'a Delivered) -> Vec<Meant<'a>> {
    let view = View::new(&event.event);
    let meant = |rule: &'a Rule| match holds(rule, &view) {
        Ok(true) => Some(Meant { event, rule, trouble: None }),
        Ok(false) => None,
        Err(trouble) => Some(Meant { event, rule, trouble: Some(trouble) }),
    };
    rules.looking_at(event).filter_map(meant).collect()
}

impl Meant<'_> {
    fn key(&self) -> WindowKey {
        WindowKey {
            rule: self.rule.name().to_owned(),
            event_type: self.event.event.r#type.clone(),
            subject: self.event.event.subject.clone(),
        }
    }

    fn terms(&self) -> Terms<'_> {
        Terms {
            rule: self.rule.name(),
            version: self.rule.version(),
            window: self.rule.deduplication_window(),
            max_age: self.rule.max_age(),
        }
    }

    fn happening(&self) -> Happening<'_> {
        let event = &self.event.event;
        Happening {
            source: &event.source,
            id: &event.id,
            event_type: &event.r#type,
            subject: &event.subject,
            position: event.position,
            stored: self.event.ingest_time,
            depth: if event.source == said::SOURCE { said::depth(event) } else { 0 },
        }
    }

    /// What is told to every endpoint of the rule.
    fn deliveries(
        &self,
        decision: &str,
        rules: &RuleSet,
        now: Timestamp,
    ) -> Result<Vec<NewDelivery>, String> {
        let (event, rule) = (&self.event.event, self.rule);
        let (view, severity) = (View::new(event), rule.severity(event));
        let delivery = |endpoint: &String| {
            let escape =
                rules.escape(endpoint).ok_or_else(|| format!("there is no endpoint {endpoint:?}"))?;
            let said = rule.render(&view, escape).map_err(|error| error.to_string())?;
            let message = Message {
                rule: rule.name().to_owned(),
                rule_version: rule.version(),
                severity: severity.into(),
                title: said.title,
                text: said.text,
                event: Some(event.clone()),
                ..Message::default()
            };
            Ok(NewDelivery {
                id: ids::delivery(decision, endpoint),
                endpoint: endpoint.clone(),
                decision: decision.to_owned(),
                rule: rule.name().to_owned(),
                rule_version: rule.version(),
                source: event.source.clone(),
                event_id: event.id.clone(),
                order_key: event.subject.clone(),
                priority: priority(severity),
                message: message.encode_to_vec(),
                now,
            })
        };
        rule.endpoints().iter().map(delivery).collect()
    }
}

impl Decided {
    fn add(
        &mut self,
        meant: &Meant<'_>,
        rules: &RuleSet,
        windows: &mut HashMap<WindowKey, Window>,
        now: Timestamp,
    ) {
        let (terms, happening) = (meant.terms(), meant.happening());
        if let Some(trouble) = &meant.trouble {
            return fold(&mut self.decisions, terms.failed(&happening, trouble.clone()));
        }
        let decision = terms.decide(&happening, windows.get(&meant.key()), now);
        if decision.outcome == Outcome::Sent {
            match meant.deliveries(&decision.id, rules, now) {
                Ok(deliveries) => self.deliveries.extend(deliveries),
                Err(trouble) => return fold(&mut self.decisions, terms.failed(&happening, trouble)),
            }
            let window = Window { decision: decision.id.clone(), since: happening.stored };
            windows.insert(meant.key(), window);
        }
        fold(&mut self.decisions, decision);
    }
}

/// What matters more goes first.
const fn priority(severity: Severity) -> i16 {
    match severity {
        Severity::Critical | Severity::Error => 0,
        Severity::Warning | Severity::Unspecified => 1,
        Severity::Info => 2,
    }
}

fn count(decided: &Decided) {
    for decision in &decided.decisions {
        let outcome = decision.outcome.name();
        metrics::counter!("cornjacket_actions_decisions_total", "outcome" => outcome)
            .increment(decision.count);
    }
}

#[async_trait]
impl Handler<Box<dyn Tx>> for Dispatcher {
    type Prepared = ();

    fn name(&self) -> &str {
        NAME
    }

    fn topics(&self) -> &[Topic] {
        &Topic::ALL
    }

    async fn handle(&self, tx: &mut Box<dyn Tx>, events: &[Delivered], (): ()) -> Result<(), HandlerError> {
        let decided = self.decide(tx.as_mut(), events).await;
        decided.map_err(|error| HandlerError::of_store(error.is_unfit(), error))
    }
}
