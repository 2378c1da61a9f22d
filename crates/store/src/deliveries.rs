//! The port onto deliveries: what is told to endpoints, every attempt at it, and how the endpoints are doing.
//!
//! A delivery is `pending` until somebody claims it: whoever holds the turn chooses, and notes that an attempt has begun. What
//! came of the attempt counts if nobody has claimed the delivery since.

use std::collections::HashMap;
use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use tokio::sync::watch;

use crate::StoreError;

/// How far a delivery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits for its turn.
    Pending,
    /// It is under way.
    Sending,
    /// It has arrived.
    Delivered,
    /// It was given up.
    Dead,
    /// It is told as a part of another one.
    Gathered,
}

impl DeliveryState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Sending, Self::Delivered, Self::Dead, Self::Gathered];

    /// As it is kept.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Gathered => "gathered",
        }
    }

    /// The one that is kept so.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Something to tell to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// A digest of decision and endpoint.
    pub id: String,
    /// The endpoint's name.
    pub endpoint: String,
    /// The decision's id.
    pub decision: String,
    /// The rule's name.
    pub rule: String,
    /// Its version.
    pub rule_version: u32,
    /// The event's source.
    pub source: String,
    /// Its id.
    pub event_id: String,
    /// Deliveries of one key keep their order, where the endpoint asks for it.
    pub order_key: String,
    /// Whether this one keeps its order, whatever its endpoint asks for.
    pub ordered: bool,
    /// Whether it may be told with others of its rule to this endpoint.
    pub gathers: bool,
    /// What is smaller goes first.
    pub priority: i16,
    /// What is said.
    pub message: Vec<u8>,
    /// When it was decided, and is due.
    pub now: Timestamp,
}

/// A delivery as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its place in the order of decisions.
    pub number: i64,
    /// What was to be told. `now` is when it was decided.
    pub told: NewDelivery,
    /// How far it is.
    pub state: DeliveryState,
    /// When it may be tried.
    pub due: Timestamp,
    /// Attempts that were begun.
    pub attempts: u32,
    /// How many of them there were when it was last sent again.
    pub attempts_before: u32,
    /// How many of them, since then, were steps of the retry schedule.
    pub steps: u32,
    /// Counts claims.
    pub fence: u64,
    /// What the last attempt failed with.
    pub reason: String,
    /// When it arrived, was given up or became a part of another one.
    pub settled: Option<Timestamp>,
    /// The delivery that it is a part of.
    pub told_with: Option<String>,
}

/// An attempt as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// From 1 on.
    pub number: u32,
    /// When it began.
    pub began: Timestamp,
    /// What came of it.
    pub result: AttemptResult,
}

/// What came of an attempt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttemptResult {
    /// As `Attempt.Outcome` numbers it; 0 while it is under way.
    pub outcome: i16,
    /// How long it took.
    pub took: Option<Duration>,
    /// Of the answer; 0 without one.
    pub status: u16,
    /// Why it failed.
    pub error: String,
    /// The beginning of the answer's body.
    pub response: Vec<u8>,
    /// What was dialled.
    pub address: String,
}

/// How an endpoint is doing. The default is well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Failures in a row.
    pub failures: u32,
    /// Nothing is sent before.
    pub open_until: Option<Timestamp>,
    /// Nothing is sent before, as the endpoint asked.
    pub held_until: Option<Timestamp>,
    /// It has failed since, without an answer that was good.
    pub failing_since: Option<Timestamp>,
    /// Why nothing is sent to it any more.
    pub disabled: Option<String>,
}

/// Deliveries of an endpoint that are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The endpoint.
    pub endpoint: &'a str,
    /// How many, at the most.
    pub most: u32,
    /// Only those before which none of the same key waits or is under way.
    pub ordered: bool,
}

/// Deliveries that are sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revived<'a> {
    /// That one, whether it was given up or has arrived.
    One(&'a str),
    /// Those to an endpoint that were given up, and were decided from that time on.
    Missed(&'a str, Timestamp),
}

/// What becomes of a delivery after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settling<'a> {
    /// The delivery.
    pub id: &'a str,
    /// The claim that the attempt was made under.
    pub fence: u64,
    /// The number of the attempt.
    pub attempt: u32,
    /// What came of it.
    pub result: &'a AttemptResult,
    /// How far the delivery is now.
    pub state: DeliveryState,
    /// When it may be tried again.
    pub due: Timestamp,
    /// Steps of the retry schedule so far.
    pub steps: u32,
    /// When this is.
    pub now: Timestamp,
}

/// Deliveries, within a transaction.
#[async_trait]
pub trait DeliveriesTx: Send {
    /// Has something told. Ids are distinct; one that is there already is left as it is.
    async fn deliver(&mut self, deliveries: &[NewDelivery]) -> Result<(), StoreError>;

    /// Waits for the turn to choose what is sent next, and has it until the transaction ends.
    async fn take_turn(&mut self) -> Result<(), StoreError>;

    /// How all endpoints are doing that are not well.
    async fn health(&mut self) -> Result<HashMap<String, Health>, StoreError>;

    /// Deliveries under way to each endpoint.
    async fn under_way(&mut self) -> Result<HashMap<String, u32>, StoreError>;

    /// When the last attempts at an endpoint began, or at all of them, that began after a time: the newest first, `most` at the
    /// most.
    async fn begun_after(
        &mut self,
        endpoint: Option<&str>,
        after: Timestamp,
        most: u32,
    ) -> Result<Vec<Timestamp>, StoreError>;

    /// Deliveries that may be tried by now, by priority and number, at most `most`.
    async fn deliverable(
        &mut self,
        now: Timestamp,
        wanted: &[Wanted<'_>],
        most: u32,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// Deliveries under way whose leases have ended: whoever sent them is gone, or stands still.
    async fn abandoned(&mut self, most: u32) -> Result<Vec<Delivery>, StoreError>;

    /// Claims deliveries, for each of which an attempt begins now: its number and fence are one more than they were.
    async fn begin_attempts(
        &mut self,
        deliveries: &[Delivery],
        now: Timestamp,
        lease: Duration,
    ) -> Result<(), StoreError>;

    /// Deliveries that may be told with one that waits, of its rule and endpoint, none of which was tried yet, in order, at most
    /// `most`. None, when the one itself was tried or does not gather.
    async fn gatherable(&mut self, with: &Delivery, most: u32) -> Result<Vec<Delivery>, StoreError>;

    /// Makes deliveries parts of one, which says something else from now on.
    async fn gather(
        &mut self,
        parts: &[Delivery],
        into: &str,
        message: &[u8],
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Has deliveries that are over sent again, from the beginning of their schedule: how many.
    async fn revive(&mut self, which: &Revived<'_>, now: Timestamp) -> Result<u64, StoreError>;

    /// Gives up what waits for endpoints that are not defined: how many that were.
    async fn give_up_orphans(&mut self, now: Timestamp) -> Result<u64, StoreError>;

    /// How an endpoint is doing; nobody else changes that before the transaction ends.
    async fn lock_health(&mut self, endpoint: &str) -> Result<Health, StoreError>;

    /// Says how an endpoint is doing.
    async fn set_health(&mut self, endpoint: &str, health: &Health) -> Result<(), StoreError>;

    /// Notes what came of an attempt. False, and nothing of it, when somebody has claimed the delivery since.
    async fn settle_delivery(&mut self, settling: &Settling<'_>) -> Result<bool, StoreError>;
}

/// Which deliveries are meant. What is absent does not limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// To that endpoint.
    pub endpoint: Option<String>,
    /// By that rule.
    pub rule: Option<String>,
    /// Of that decision.
    pub decision: Option<String>,
    /// Of that state.
    pub state: Option<DeliveryState>,
}

/// Looking at deliveries.
#[async_trait]
pub trait Deliveries: Debug + Send + Sync {
    /// Those that are meant, the newest first, beginning below a number.
    async fn list(
        &self,
        filter: &DeliveryFilter,
        below: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError>;

    /// One of them with its attempts.
    async fn get(&self, id: &str) -> Result<Option<(Delivery, Vec<Attempt>)>, StoreError>;

    /// How all endpoints are doing that are not well.
    async fn health(&self) -> Result<HashMap<String, Health>, StoreError>;

    /// When the next delivery is due after a time, or something is to be told of a group.
    async fn next_due(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError>;

    /// Changes when this process has something to tell.
    fn watch(&self) -> watch::Receiver<u64>;
}
