//! From events to decisions and deliveries: one transaction with how far the consumer has come.
//!
//! An event comes once, or its effect did not happen. What is decided has ids that follow from rule and event, so that also
//! whoever decides the same again tells nobody anything new.

mod decided;
pub(crate) mod meant;
#[cfg(test)]
mod muting;
pub(crate) mod trial;

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use cornjacket_bus::{Delivered, Handler, HandlerError};
use cornjacket_domain::{Clock, Topic};
use cornjacket_store::{StoreError, Tx};

use self::decided::{Decided, Known};
use self::meant::{Meant, meant};
use crate::rule_set::RuleSet;

/// The consumer's name.
pub const NAME: &str = "actions";

/// Decides on events.
#[derive(Debug)]
pub struct Dispatcher {
    clock: Arc<dyn Clock>,
    /// As they were when last looked at.
    rules: Mutex<Option<Arc<RuleSet>>>,
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
        let known = Known::of(tx, &meant).await?;
        let mut decided = Decided::new(&rules, known, self.clock.now());
        for one in &meant {
            decided.add(one);
        }
        decided.write(tx).await
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
