//! The relay: publishes the log on the bus.
//!
//! One relay works, the others wait for its lease. Three things keep two of them from spoiling the order: the lease,
//! which saves work; the publisher's name, by which the broker shuts out whoever had it before; and the generation,
//! without which nobody moves the checkpoint. Everything above the checkpoint is published again by whoever comes
//! next. When the bus turns out to have lost what was published, the checkpoint goes back by as much as the bus is to
//! keep, and everything since then is published again, on all topics: at least once is what is promised.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::consumer::State;
use cornjacket_bus::{Bus, BusError, Published, Publisher};
use cornjacket_domain::Clock;
use cornjacket_store::postgres::{Claim, RelayCheckpoint};
use cornjacket_store::{EventLog, Select, Snapshots, StoreError, Tail};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Events that are read from the log at once.
const CHUNK: u32 = 1_000;
/// The name of the publisher, which only one relay can have.
const PUBLISHER: &str = "relay";
/// After trouble, the next try comes this much later.
const BACK_OFF: Duration = Duration::from_millis(250);
/// How long finding a time in the log may take.
const SEARCH: Duration = Duration::from_secs(10);

/// How a relay behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tells what the bus would still have.
    pub clock: Arc<dyn Clock>,
    /// After this long without a sign of life, another relay takes over.
    pub lease: Duration,
    /// How often what was published is committed, and the lease renewed.
    pub commit_interval: Duration,
    /// How long the bus keeps records: what is published again when it has lost them.
    pub bus_retention: Duration,
}

/// Publishes the log on the bus.
#[derive(Debug)]
pub struct Relay {
    log: Arc<dyn EventLog>,
    /// Where a time is found in the log.
    snapshots: Arc<dyn Snapshots>,
    checkpoint: RelayCheckpoint,
    bus: Arc<dyn Bus>,
    options: Options,
    state: watch::Sender<State>,
}

/// Why a relay stopped working; it begins again from the checkpoint.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error("another relay has taken over")]
    Overtaken,
    #[error(transparent)]
    Bus(#[from] BusError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Relay {
    /// A relay from `log` to `bus`.
    pub fn new(
        log: Arc<dyn EventLog>,
        snapshots: Arc<dyn Snapshots>,
        checkpoint: RelayCheckpoint,
        bus: Arc<dyn Bus>,
        options: Options,
    ) -> Self {
        Self { log, snapshots, checkpoint, bus, options, state: watch::Sender::new(State::Running) }
    }

    /// Tells how it is doing there.
    #[must_use]
    pub fn with_state(self, state: watch::Sender<State>) -> Self {
        Self { state, ..self }
    }

    fn waits(&self, reason: &(impl ToString + ?Sized)) {
        self.state.send_replace(State::Waiting { reason: reason.to_string() });
    }

    /// Works or waits until `stop`. Trouble is waited for: recovery needs nobody.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.work_or_wait() => {}
        }
    }

    async fn work_or_wait(&self) {
        let holder = cornjacket_store::holder();
        loop {
            match self.checkpoint.claim(&holder, self.options.lease).await {
                Ok(Some(claim)) => self.work_until_trouble(claim).await,
                Ok(None) => {
                    self.waits("another relay works");
                    sleep(self.options.lease / 4).await;
                }
                Err(error) => {
                    self.waits(&error);
                    tracing::warn!(%error, "the relay cannot ask for its lease; trying again");
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    async fn work_until_trouble(&self, claim: Claim) {
        tracing::info!(claim.generation, claim.position, "relay works");
        let generation = claim.generation;
        match self.work(claim).await {
            Ok(()) => {
                self.waits("nothing has to be published: the log is the bus");
                std::future::pending::<()>().await;
            }
            Err(Stopped::Bus(BusError::Lost(what))) => self.go_back(generation, &what).await,
            Err(trouble) => {
                self.waits(&trouble);
                tracing::warn!(error = %trouble, "relay stops working; beginning again");
            }
        }
        metrics::counter!("cornjacket_relay_restarts_total").increment(1);
        // Whoever is next, here or elsewhere, need not wait for the lease to end.
        if let Err(error) = self.checkpoint.release(generation).await {
            tracing::warn!(%error, "the relay's lease was not given back; it ends by itself");
        }
        sleep(BACK_OFF).await;
    }

    /// What the bus has lost is to be published again, by whoever is next.
    async fn go_back(&self, generation: i64, what: &str) {
        let went_back = async {
            let kept = self.options.clock.now() - self.options.bus_retention;
            let kept = self.snapshots.begin(SEARCH).await?.position_before(kept).await?;
            let position = kept.min(self.checkpoint.position().await?);
            self.checkpoint.go_back(generation, position).await.map(|_| position)
        };
        match went_back.await {
            Ok(position) => tracing::warn!(what, position, "the bus has lost records: publishing again"),
            Err(error) => tracing::warn!(what, %error, "the bus has lost records, and the log is not there"),
        }
    }

    /// Publishes until something goes wrong. Returns only when there is nothing to publish to.
    async fn work(&self, claim: Claim) -> Result<(), Stopped> {
        self.bus.prepare().await?;
        let before = Published::from_text(&claim.published, claim.position);
        let Some(publisher) = self.bus.publisher(PUBLISHER, before).await? else { return Ok(()) };
        let mut ticks = interval(self.options.commit_interval.min(self.options.lease / 3));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut work = Work {
            tail: Tail::new(self.log.clone(), claim.position, Select::all()),
            publisher,
            published: claim.position,
        };
        loop {
            tokio::select! {
                biased;
                _ = ticks.tick() => {
                    let on_bus = work.publisher.commit().await?.to_text();
                    let (position, lease) = (work.published, self.options.lease);
                    if !self.checkpoint.advance(claim.generation, position, &on_bus, lease).await? {
                        return Err(Stopped::Overtaken);
                    }
                    self.state.send_if_modified(|state| std::mem::replace(state, State::Running) != State::Running);
                    record(work.published);
                }
                events = work.tail.next(CHUNK) => {
                    let events = events?;
                    work.publisher.publish(&events).await?;
                    work.published = events.last().map_or(work.published, |event| event.position);
                }
            }
        }
    }
}

struct Work {
    tail: Tail,
    publisher: Box<dyn Publisher>,
    /// Everything up to here is sent; with the next commit it is on the bus for good.
    published: u64,
}

#[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn record(position: u64) {
    metrics::gauge!("cornjacket_relay_position").set(position as f64);
}
