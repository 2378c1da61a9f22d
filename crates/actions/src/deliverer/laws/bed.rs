//! Desks on one store, and the time and the receivers around them.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::{Delivered, Handler as _};
use cornjacket_domain::clock::ManualClock;
use cornjacket_domain::{Clock, Partitions, Timestamp};
use cornjacket_proto::actions::{Endpoint, Rule, Silence, Webhook, attempt, endpoint};
use cornjacket_proto::events::Event;
use cornjacket_store::{
    Attempt, AttemptResult, DecidedEvent, Decision, DefinitionKind, Delivery, NewDelivery, Redefined,
    Redefinition, Store,
};
use prost::Message as _;

use crate::breaker::Answer;
use crate::deliverer::desk::Chosen;
use crate::deliverer::{Desk, Options, Ports};
use crate::endpoint::Makers;
use crate::limits::Rate;
use crate::secrets::Secrets;
use crate::settle::{Finished, outcome};
use crate::{Dispatcher, Message, testing};

pub const SECOND: Duration = Duration::from_secs(1);
pub const MINUTE: Duration = Duration::from_mins(1);
/// What secrets are kept under.
const KEY: &str = "YSBrZXkgdGhhdCBpcyBnb29kIGZvciB0ZXN0cyAhISE=";
/// What the settings say where nobody says anything else.
pub const DEFAULT_RATE: Option<Rate> = Some(Rate { count: 10, per: MINUTE });

/// What was sent, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub at: Timestamp,
    pub id: String,
    pub priority: i16,
}

pub struct Bed {
    url: String,
    pub store: Store,
    pub clock: Arc<ManualClock>,
    /// Goes with the law.
    _folder: Option<tempfile::TempDir>,
}

impl Bed {
    pub async fn sqlite() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
        Self::on(url, Some(folder)).await
    }

    pub async fn postgres() -> anyhow::Result<Self> {
        Self::on(cornjacket_testkit::fresh_database().await?, None).await
    }

    async fn on(url: String, folder: Option<tempfile::TempDir>) -> anyhow::Result<Self> {
        let clock = Arc::new(ManualClock::at(testing::NOW));
        Ok(Self { store: open(&url, &clock).await?, url, clock, _folder: folder })
    }

    /// Everything ends and begins anew: what is known is what is stored. Desks of before are no more.
    pub async fn restart(self) -> anyhow::Result<Self> {
        drop(self.store);
        Ok(Self { store: open(&self.url, &self.clock).await?, ..self })
    }

    /// What a process has.
    pub fn desk(&self, rate: Option<Rate>) -> anyhow::Result<Desk> {
        Ok(Desk::new(self.ports()?, Options { rate, in_flight: 1_000 }))
    }

    /// What it works on. Receivers may be on this machine.
    pub fn ports(&self) -> anyhow::Result<Ports> {
        let secrets = Some(Secrets::new(&[KEY.to_owned().into()])?);
        let makers = Makers { secrets, outside: crate::outside::tests::outside(&["127.0.0.1"])? };
        Ok(Ports {
            offsets: self.store.offsets.clone(),
            defining: self.store.defining.clone(),
            deliveries: self.store.deliveries.clone(),
            makers: Arc::new(makers),
            clock: self.clock.clone(),
        })
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Defines an endpoint, anew where it is there; as one that nothing is known of.
    pub async fn define(&self, endpoint: &Endpoint) -> anyhow::Result<()> {
        self.redefine(DefinitionKind::Endpoint, &endpoint.name, Some(&endpoint.encode_to_vec())).await
    }

    /// Makes a rule, or changes it.
    pub async fn rule(&self, rule: &Rule) -> anyhow::Result<()> {
        self.redefine(DefinitionKind::Rule, &rule.name, Some(&rule.encode_to_vec())).await
    }

    pub async fn end(&self, endpoint: &str) -> anyhow::Result<()> {
        self.redefine(DefinitionKind::Endpoint, endpoint, None).await
    }

    pub async fn silence(&self, silence: &Silence) -> anyhow::Result<()> {
        self.redefine(DefinitionKind::Silence, &silence.name, Some(&silence.encode_to_vec())).await
    }

    pub async fn redefine(
        &self,
        kind: DefinitionKind,
        name: &str,
        bytes: Option<&[u8]>,
    ) -> anyhow::Result<()> {
        let change = Redefinition {
            revision: self.store.defining.read().await?.revision,
            kind,
            name,
            bytes,
            secret: None,
            forgives: true,
            by: Some("ann"),
            now: self.now(),
        };
        assert_eq!(self.store.defining.redefine(&change).await?, Redefined::Done);
        Ok(())
    }

    /// Has these told now: ids, with what is more urgent and what is less.
    pub async fn tell(&self, endpoint: &str, ids: &[String], priority: i16) -> anyhow::Result<()> {
        let event = Event { id: "7".into(), source: "sensors".into(), ..Event::default() };
        let message = Message { event: Some(event), ..Message::default() }.encode_to_vec();
        let told = |id: &String| NewDelivery {
            id: id.clone(),
            priority,
            message: message.clone(),
            order_key: id.clone(),
            now: self.now(),
            ..testing::delivery(id, endpoint).told
        };
        let all: Vec<NewDelivery> = ids.iter().map(told).collect();
        let mut tx = self.store.offsets.begin_apart().await?;
        tx.deliver(&all).await?;
        Ok(tx.commit().await?)
    }

    /// Has rules decide on events, all stored now.
    pub async fn decide(&self, events: &[Event]) -> anyhow::Result<()> {
        let delivered =
            |event: &Event| Delivered { offset: 0, ingest_time: self.now(), event: event.clone() };
        let events: Vec<Delivered> = events.iter().map(delivered).collect();
        let mut tx = self.store.offsets.begin_apart().await?;
        Dispatcher::new(self.clock.clone()).handle(&mut tx, &events, ()).await?;
        Ok(tx.commit().await?)
    }

    /// What was decided on an event, by rule.
    pub async fn decisions(&self, event: &Event) -> anyhow::Result<Vec<Decision>> {
        let Event { source, id, r#type: event_type, subject, position, .. } = event;
        let event = DecidedEvent { source, id, event_type, subject, position: *position };
        Ok(self.store.ledger.of_event(&event).await?)
    }

    pub async fn get(&self, id: &str) -> anyhow::Result<(Delivery, Vec<Attempt>)> {
        Ok(self.store.deliveries.get(id).await?.expect("it is told"))
    }

    /// How long after one attempt at it the next began.
    pub async fn delays(&self, id: &str) -> anyhow::Result<Vec<Duration>> {
        let began: Vec<i64> = self.get(id).await?.1.iter().map(|one| one.began.as_micros()).collect();
        let delay = |pair: &[i64]| Duration::from_micros(pair[1].abs_diff(pair[0]));
        Ok(began.windows(2).map(delay).collect())
    }

    /// The types of the events that were said, in order.
    pub async fn said(&self) -> anyhow::Result<Vec<String>> {
        let waiting = self.store.outbox.waiting(1_000).await?;
        waiting.iter().map(|(_, event)| Ok(Event::decode(event.as_slice())?.r#type)).collect()
    }

    /// One desk after the other has its turn, and receivers answer at once, until nothing is to be done before `until`. The clock
    /// is then there. What was sent.
    pub async fn run(
        &self,
        desks: &mut [Desk],
        until: Timestamp,
        mut answer: impl FnMut(&Delivery) -> Answer,
    ) -> anyhow::Result<Vec<Sent>> {
        let mut sent = Vec::new();
        loop {
            let mut next = until;
            let mut is_quiet = true;
            for desk in desks.iter_mut() {
                let chosen = desk.round(0).await?;
                next = chosen.next.map_or(next, |time| time.min(next));
                for (_, delivery) in &chosen.deliveries {
                    sent.push(self.sent(delivery));
                }
                is_quiet &= chosen.deliveries.is_empty();
                finish(desk, chosen, &mut answer);
            }
            if is_quiet && self.now() >= until {
                return Ok(sent);
            }
            if is_quiet {
                assert!(next > self.now(), "what is due is sent");
                self.clock.set(next.min(until));
            }
        }
    }

    pub fn sent(&self, delivery: &Delivery) -> Sent {
        Sent { at: self.now(), id: delivery.told.id.clone(), priority: delivery.told.priority }
    }
}

async fn open(url: &str, clock: &Arc<ManualClock>) -> anyhow::Result<Store> {
    let options = cornjacket_store::Options::new(url.to_owned(), Partitions::ONE);
    Ok(Store::open(&options, clock.clone()).await?)
}

/// Attempts end, each with the answer that it is given.
pub fn finish(desk: &mut Desk, chosen: Chosen, mut answer: impl FnMut(&Delivery) -> Answer) {
    for (receiver, delivery) in chosen.deliveries {
        let answer = answer(&delivery);
        let (kept, is_final) = match answer {
            Answer::Good => (attempt::Outcome::Delivered, false),
            Answer::Bad | Answer::NotAsked => (attempt::Outcome::Failed, false),
            Answer::Hold(_) => (attempt::Outcome::Held, false),
            Answer::Gone | Answer::Refused | Answer::Nothing => (attempt::Outcome::Refused, true),
        };
        let result =
            AttemptResult { outcome: outcome(kept), took: Some(Duration::ZERO), ..AttemptResult::default() };
        desk.put(Finished { delivery, result, answer, is_final, schedule: receiver.terms.schedule });
    }
}

/// An endpoint with all defaults.
pub fn endpoint(name: &str) -> Endpoint {
    let webhook = Webhook { url: "https://example.com/".into(), ..Webhook::default() };
    Endpoint { name: name.into(), channel: Some(endpoint::Channel::Webhook(webhook)), ..Endpoint::default() }
}

pub fn ids(prefix: &str, count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{prefix}-{number:03}")).collect()
}
