//! What a deliverer knows between its rounds, and the transaction of a round.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::{Endpoint, RetrySchedule};
use cornjacket_store::{Definition, DefinitionKind, Definitions, Delivery, StoreError, Tx};
use prost::Message as _;

use super::{Options, Ports};
use crate::claim::{self, Bounds, Claimed};
use crate::endpoint::Terms;
use crate::groups;
use crate::rule_set::RuleSet;
use crate::settle::{Finished, settle};

/// How often it is looked for deliveries whose endpoints are no more.
const LOOK_FOR_ORPHANS: Duration = Duration::from_mins(1);
/// Deliveries that are taken over at once.
const ABANDONED: u32 = 256;

/// An endpoint that can be told something.
#[derive(Debug)]
pub struct Receiver {
    /// As it is defined.
    pub endpoint: Endpoint,
    /// From 1 on.
    pub version: u32,
    /// How it is sent to.
    pub terms: Terms,
}

/// What a round has chosen.
#[derive(Debug, Default)]
pub struct Chosen {
    /// Deliveries as they were before, each with whom it is for.
    pub deliveries: Vec<(Arc<Receiver>, Delivery)>,
    /// When there is more to do by itself.
    pub next: Option<Timestamp>,
}

/// Where attempts come back to, and new ones are chosen.
#[derive(Debug)]
pub struct Desk {
    ports: Ports,
    options: Options,
    /// Of the definitions that the receivers are made of; nothing before the first look.
    revision: Option<u64>,
    receivers: BTreeMap<String, Arc<Receiver>>,
    /// What says whether something is told again.
    rules: RuleSet,
    /// When it was last looked for deliveries whose endpoints are no more.
    orphans: Option<Timestamp>,
    /// Attempts of which it is not noted yet what came of them.
    finished: Vec<Finished>,
}

impl Desk {
    /// With nothing on it.
    pub fn new(ports: Ports, options: Options) -> Self {
        let (receivers, rules) = (BTreeMap::new(), RuleSet::new(&Definitions::default()));
        Self { ports, options, revision: None, receivers, rules, orphans: None, finished: Vec::new() }
    }

    /// An attempt has ended.
    pub fn put(&mut self, finished: Finished) {
        self.finished.push(finished);
    }

    /// Notes what came of attempts, and chooses what is sent next while so many are under way. After an error it is not known
    /// whether that has happened: the next round finds out.
    pub async fn round(&mut self, under_way: usize) -> Result<Chosen, StoreError> {
        let now = self.ports.clock.now();
        let mut tx = self.ports.offsets.begin_apart().await?;
        tx.take_turn().await?;
        self.look(tx.as_mut(), now).await?;
        self.note(tx.as_mut(), now).await?;
        groups::tell_due(tx.as_mut(), &self.rules, now).await?;
        let claimed = self.claim(tx.as_mut(), under_way, now).await?;
        tx.commit().await?;
        self.finished.clear();
        let next = match claimed.next {
            None if claimed.deliveries.is_empty() => self.ports.deliveries.next_due(now).await?,
            next => next,
        };
        let receiver = |delivery: Delivery| {
            let receiver = self.receivers.get(&delivery.told.endpoint);
            receiver.map(|receiver| (receiver.clone(), delivery))
        };
        Ok(Chosen { deliveries: claimed.deliveries.into_iter().filter_map(receiver).collect(), next })
    }

    /// Notes what came of attempts, and chooses nothing.
    pub async fn close(&mut self) -> Result<(), StoreError> {
        if self.finished.is_empty() {
            return Ok(());
        }
        let mut tx = self.ports.offsets.begin_apart().await?;
        tx.take_turn().await?;
        self.note(tx.as_mut(), self.ports.clock.now()).await?;
        tx.commit().await?;
        self.finished.clear();
        Ok(())
    }

    /// Sees endpoints as they are. What waits for one that is no more is given up.
    async fn look(&mut self, tx: &mut dyn Tx, now: Timestamp) -> Result<(), StoreError> {
        if self.revision == Some(tx.revision().await?) {
            // Whoever decided before the last change may have written since.
            return match self.orphans.filter(|last| now < *last + LOOK_FOR_ORPHANS) {
                Some(_) => Ok(()),
                None => self.give_up_orphans(tx, now).await,
            };
        }
        let definitions: Definitions = tx.definitions().await?;
        let receivers = definitions.of(DefinitionKind::Endpoint).filter_map(receiver);
        self.receivers = receivers.map(|one| (one.endpoint.name.clone(), Arc::new(one))).collect();
        self.rules = RuleSet::new(&definitions);
        self.revision = Some(definitions.revision);
        self.give_up_orphans(tx, now).await
    }

    async fn give_up_orphans(&mut self, tx: &mut dyn Tx, now: Timestamp) -> Result<(), StoreError> {
        self.orphans = Some(now);
        give_up_orphans(tx, now).await
    }

    async fn note(&self, tx: &mut dyn Tx, now: Timestamp) -> Result<(), StoreError> {
        for finished in &self.finished {
            if !settle(tx, finished, now).await? {
                let (delivery, endpoint) = (&finished.delivery.told.id, &finished.delivery.told.endpoint);
                tracing::warn!(delivery, endpoint, "an attempt ended after somebody else had taken it over");
            }
        }
        let abandoned = tx.abandoned(ABANDONED).await?;
        let finished = self.finished.iter().map(|finished| &finished.delivery);
        // They were under way when their endpoint ended: those that have not arrived wait for nobody.
        let has_orphans =
            finished.chain(&abandoned).any(|delivery| !self.receivers.contains_key(&delivery.told.endpoint));
        for delivery in abandoned {
            let receiver = self.receivers.get(&delivery.told.endpoint);
            let schedule = receiver.map_or(RetrySchedule::Unspecified, |receiver| receiver.terms.schedule);
            settle(tx, &Finished::abandoned(delivery, schedule), now).await?;
        }
        if has_orphans { give_up_orphans(tx, now).await } else { Ok(()) }
    }

    async fn claim(&self, tx: &mut dyn Tx, under_way: usize, now: Timestamp) -> Result<Claimed, StoreError> {
        let under_way = u32::try_from(under_way).unwrap_or(u32::MAX);
        let most = self.options.in_flight.saturating_sub(under_way);
        let bounds = Bounds { rate: self.options.rate, most };
        let enabled = self.receivers.iter().filter(|(_, receiver)| !receiver.terms.disabled);
        let terms: Vec<_> = enabled
            .map(|(name, receiver)| claim::Terms {
                endpoint: name,
                slots: receiver.terms.slots,
                ordered: receiver.terms.ordered,
                rate: receiver.terms.rate,
                timeout: receiver.terms.timeout,
            })
            .collect();
        claim::claim(tx, &terms, &bounds, now).await
    }
}

async fn give_up_orphans(tx: &mut dyn Tx, now: Timestamp) -> Result<(), StoreError> {
    let given_up = tx.give_up_orphans(now).await?;
    if given_up > 0 {
        tracing::warn!(deliveries = given_up, "deliveries to endpoints that are no more were given up");
    }
    Ok(())
}

fn receiver(definition: &Definition) -> Option<Receiver> {
    let endpoint = Endpoint::decode(definition.bytes.as_slice()).map_err(|error| error.to_string());
    let receiver = endpoint.and_then(|endpoint| {
        let terms = Terms::try_new(&endpoint).map_err(|problems| format!("{problems:?}"))?;
        Ok(Receiver { endpoint, version: definition.version, terms })
    });
    let refused = |error: &String| {
        tracing::error!(
            endpoint = definition.name,
            error,
            "an endpoint that is kept is none any more: it waits"
        );
    };
    receiver.inspect_err(refused).ok()
}
