//! The only consume loop.
//!
//! The bus hands a [`Consumer`] records by partition. The consumer leaves out what it has had before, decodes the rest, and
//! hands it to its [`Handler`], each partition's inside a transaction of its [`Checkpoint`] that begins by moving the
//! offset; several partitions are worked on at once. What can go wrong has three outcomes, chosen by whoever raises it:
//! done; an outage, which is waited for with nothing skipped; and poison, which parks its key: the record and what follows
//! it in its key are kept as dead letters in the same transaction, while other keys flow. When the bus has forgotten what comes next, the consumer reads
//! it from the log until it meets the bus again (`way_back.rs`). Once a second the consumer tells operators how it is doing
//! and hears what they want: a pause, or a key to be tried again.

mod batch;
mod effect;
mod health;
mod outcome;
mod owned;
mod redrive;
mod told;
mod way_back;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::Topic;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

pub use self::effect::SIDE_BY_SIDE;
pub use self::health::State;
pub use self::outcome::{AnyError, HandlerError};
pub use self::owned::ParkLimits;
use self::owned::{Owned, Partitions, Reads, state_of_all};
pub use self::told::Told;
use crate::checkpoint::{Orders, Report};
use crate::consumer::way_back::WayBack;
use crate::{Assigned, Assignment, Begin, Bus, BusError, Checkpoint, CheckpointError, Delivered, Delivery};
use crate::{PartitionedLog, Records, Subscription, TopicPartition};

/// Waits between tries grow from the first to the second.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How often operators are heard, and told what is new.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// How long redriving may keep new records waiting.
const REDRIVE_SLICE: Duration = Duration::from_millis(200);

/// What happens with events.
#[async_trait]
pub trait Handler<Tx: Send>: Send + Sync + 'static {
    /// What it finds out before the transaction and needs in it; `()` for most.
    type Prepared: Default + Send;

    /// The consumer's name: its group on the bus, and what its progress is kept under.
    fn name(&self) -> &str;

    /// The topics it reads.
    fn topics(&self) -> &[Topic];

    /// Finds out what may take a while, before the transaction begins: one that waits for somebody else would hold up every
    /// writer of the store. Done again with the same events whenever the transaction is tried again, so nothing may follow
    /// from it but what [`Handler::handle`] is told.
    async fn prepare(&self, _events: &[Delivered]) -> Result<Self::Prepared, HandlerError> {
        Ok(Self::Prepared::default())
    }

    /// Does what is to be done, within the transaction. Events are of one partition and in order. Other partitions may be
    /// handled at the same time, but none with the same number.
    async fn handle(
        &self,
        transaction: &mut Tx,
        events: &[Delivered],
        prepared: Self::Prepared,
    ) -> Result<(), HandlerError>;
}

/// Consumes the topics of a handler.
#[derive(Debug)]
pub struct Consumer<C, H> {
    bus: Arc<dyn Bus>,
    checkpoint: C,
    handler: H,
    epoch: u32,
    log: Option<PartitionedLog>,
    limits: ParkLimits,
    state: watch::Sender<State>,
}

/// What a consumer has of an assignment.
#[derive(Debug, Default)]
struct Hand {
    owned: Partitions,
    /// What came while it was paused, or cannot be parked. Nothing more is asked for until it is handled.
    held: Records,
    way_back: Option<WayBack>,
}

/// Why a subscription is given up; the next one begins from the checkpoint.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("the log: {0}")]
    Log(String),
    #[error("the bus lacks events of {0}")]
    Gap(TopicPartition),
}

impl<C: Checkpoint, H: Handler<C::Tx>> Consumer<C, H> {
    /// A consumer for `handler`. Events of another epoch than `epoch` are poison.
    pub fn new(bus: Arc<dyn Bus>, checkpoint: C, handler: H, epoch: u32) -> Self {
        let state = watch::Sender::new(State::Running);
        Self { bus, checkpoint, handler, epoch, log: None, limits: ParkLimits::NONE, state }
    }

    /// With the log to fall back on when the bus has forgotten what comes next.
    #[must_use]
    pub fn with_log(self, log: PartitionedLog) -> Self {
        Self { log: Some(log), ..self }
    }

    /// With limits on what may be parked in each partition.
    #[must_use]
    pub fn with_limits(self, limits: ParkLimits) -> Self {
        Self { limits, ..self }
    }

    /// Tells how it is doing there.
    #[must_use]
    pub fn with_state(self, state: watch::Sender<State>) -> Self {
        Self { state, ..self }
    }

    /// How it is doing, from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Consumes until `stop`.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.consume_for_ever() => {}
        }
    }

    async fn consume_for_ever(&self) {
        let mut wait = BACK_OFF.0;
        let mut lacking = BTreeSet::new();
        loop {
            let began = Instant::now();
            let Err(interrupted) = self.consume(&mut lacking).await;
            if let Interrupted::Gap(at) = interrupted {
                lacking.insert(at);
            }
            // Whoever got on for a while starts anew with short waits.
            if began.elapsed() > BACK_OFF.1 {
                wait = BACK_OFF.0;
            }
            tracing::warn!(consumer = self.handler.name(), reason = %interrupted, "consumer begins again");
            self.state.send_replace(State::Waiting { reason: interrupted.to_string() });
            sleep(wait).await;
            wait = (wait * 2).min(BACK_OFF.1);
        }
    }

    /// One subscription, until something goes wrong. The bus is known to lack events of the partitions in `lacking`.
    async fn consume(&self, lacking: &mut BTreeSet<TopicPartition>) -> Result<Infallible, Interrupted> {
        // Topics that are gone are waited for: the relay makes them, which must know that they are new.
        let mut subscription = self.bus.subscribe(self.handler.name(), self.handler.topics()).await?;
        let mut hand = Hand::default();
        let mut reports = interval(REPORT_EVERY);
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // What was paused stays so when it begins again: nothing is handled before operators were heard.
        let (mut heard, mut paused, mut told) = (false, false, Told::default());
        let mut room = true;
        loop {
            if heard && !paused && room {
                // However long it takes, the next assignment is heard: others wait for the answer. What is cut off in the
                // middle is rolled back, and begins again from the checkpoint.
                let assignment = tokio::select! {
                    met = self.work(&mut hand, lacking) => {
                        for at in met? {
                            subscription.let_flow(at).await?;
                        }
                        None
                    }
                    assignment = subscription.assigned() => Some(assignment?),
                };
                if let Some(assignment) = assignment {
                    hand = self.take_over(assignment, lacking).await?;
                    self.show(&hand.owned, paused);
                }
            }
            room = !hand.owned.values().any(|owned| owned.is_full);
            tokio::select! {
                biased;
                _ = reports.tick() => {
                    if let Some(orders) = self.report(&mut hand.owned, paused, &mut told).await {
                        (heard, paused) = (true, orders.paused);
                        if !paused && self.redrive_all(orders, &mut hand.owned).await? {
                            // New records get as much time as old ones.
                            reports.reset_after(REDRIVE_SLICE);
                        }
                        self.show(&hand.owned, paused);
                    }
                    // Letters may have left: try again.
                    for owned in hand.owned.values_mut() {
                        owned.is_full = false;
                    }
                    room = true;
                }
                delivery = next(subscription.as_mut(), hand.held.is_empty()) => match delivery? {
                    Delivery::Assigned(assignment) => {
                        hand = self.take_over(assignment, lacking).await?;
                        if heard {
                            self.show(&hand.owned, paused);
                        }
                    }
                    Delivery::Records(records) => hand.held = records,
                },
                () = ready(()), if hand.way_back.is_some() && heard && !paused && room => {}
            }
        }
    }

    /// Handles what is held, and goes on with the way back: returns the partitions that have met the bus again.
    async fn work(
        &self,
        Hand { owned, held, way_back }: &mut Hand,
        lacking: &mut BTreeSet<TopicPartition>,
    ) -> Result<Vec<TopicPartition>, Interrupted> {
        *held = self.work_off(std::mem::take(held), owned).await?;
        let Some(way) = way_back.take() else { return Ok(vec![]) };
        let (on, met) = self.walk(way, owned, lacking).await?;
        *way_back = on;
        Ok(met)
    }

    async fn take_over(
        &self,
        assignment: Assignment,
        lacking: &BTreeSet<TopicPartition>,
    ) -> Result<Hand, Interrupted> {
        let mut owned = Partitions::new();
        let mut begins = Vec::with_capacity(assignment.partitions.len());
        let mut way_back = None;
        for Assigned { at, offsets } in assignment.partitions {
            let progress = self.checkpoint.load(self.handler.name(), at).await?;
            let parked = self.checkpoint.parked(self.handler.name(), at).await?;
            let there = offsets.contains(&progress.next_offset) && !lacking.contains(&at);
            let reads = if there || self.log.is_none() { Reads::Bus } else { Reads::Log };
            begins.push(match reads {
                Reads::Bus => Begin::At(progress.next_offset),
                Reads::Log => {
                    tracing::warn!(consumer = self.handler.name(), partition = %at, ?progress, ?offsets,
                        "the bus has forgotten what comes next: reading the log");
                    let way = way_back.get_or_insert_with(WayBack::default);
                    way.add(at, progress, *offsets.end());
                    Begin::Later
                }
            });
            let (limits, is_full, untold) = (self.limits, false, None);
            owned.insert(at, Owned { progress, parked, reads, limits, is_full, untold });
        }
        // Nobody listening means that the assignment is over again; the next one is on its way.
        drop(assignment.begin_at.send(begins));
        Ok(Hand { owned, held: Records::new(), way_back })
    }

    /// Tells operators how it is, and hears what they want. Nothing while it cannot: it goes on as before.
    async fn report(
        &self,
        owned: &mut Partitions,
        paused: bool,
        told: &mut Told<Vec<Report>>,
    ) -> Option<Orders> {
        let report = |(at, owned): (&TopicPartition, &Owned)| {
            let (state, reason) = owned.report(paused);
            Report { at: *at, state: state.name(), reason }
        };
        let reports: Vec<Report> = owned.iter().map(report).collect();
        let known = told.knows(&reports);
        let news = if known { &[][..] } else { &reports[..] };
        let milestones: Vec<_> = owned.iter().filter_map(|(at, owned)| owned.milestone(*at)).collect();
        match self.checkpoint.report(self.handler.name(), news, &milestones).await {
            Ok(orders) => {
                for owned in owned.values_mut() {
                    owned.untold = None;
                }
                if !known {
                    told.note(reports);
                }
                Some(orders)
            }
            Err(error) => {
                self.state.send_replace(State::Waiting { reason: error.to_string() });
                None
            }
        }
    }

    /// Tries again what operators want tried, for a while. True when there may be more.
    async fn redrive_all(&self, orders: Orders, owned: &mut Partitions) -> Result<bool, Interrupted> {
        let until = Instant::now() + REDRIVE_SLICE;
        for at in orders.redrive {
            let Some(owned) = owned.get_mut(&at) else { continue };
            while self.redrive(at, owned).await? {
                if Instant::now() > until {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn show(&self, owned: &Partitions, paused: bool) {
        let state = state_of_all(owned, paused);
        self.state.send_if_modified(|known| {
            let news = *known != state;
            *known = state;
            news
        });
    }
}

/// What comes next. A consumer that has records and cannot handle them now wants no more, but still hears what it is
/// assigned: others wait for its answer.
async fn next(subscription: &mut dyn Subscription, wants_records: bool) -> Result<Delivery, BusError> {
    if wants_records {
        subscription.next().await
    } else {
        subscription.assigned().await.map(Delivery::Assigned)
    }
}

#[cfg(test)]
mod tests;
