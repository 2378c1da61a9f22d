//! From deliveries to their endpoints.
//!
//! Whoever delivers goes round: in one transaction, with the turn that one process has at a time, it notes what came of the
//! attempts that have ended, takes over what others left, and chooses what is sent next (`settle.rs`, `claim.rs`). Each
//! attempt is a task of its own, which knows nothing of the store. A process that dies leaves deliveries whose leases end.

mod desk;
#[cfg(test)]
pub(crate) mod laws;
mod sending;

use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::consumer::State;
use cornjacket_domain::{Clock, Timestamp};
use cornjacket_store::{Defining, Deliveries, Offsets, StoreError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub use self::desk::Desk;
use self::sending::send;
use crate::endpoint::Makers;
use crate::limits::Rate;
use crate::settle::Finished;

/// What operators know it by.
pub const NAME: &str = "deliverer";

/// What other processes have told, or left, waits no longer than this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const BACK_OFF: Duration = Duration::from_millis(500);
/// How long the store is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What it works on.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Opens transactions.
    pub offsets: Arc<dyn Offsets>,
    /// Keeps the secrets of endpoints.
    pub defining: Arc<dyn Defining>,
    /// What is told.
    pub deliveries: Arc<dyn Deliveries>,
    /// What endpoints are told with.
    pub makers: Arc<Makers>,
    /// Dates attempts.
    pub clock: Arc<dyn Clock>,
}

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Attempts at all endpoints, at the most, by all processes together.
    pub rate: Option<Rate>,
    /// Attempts of this process at once.
    pub in_flight: u32,
}

/// Delivers.
#[derive(Debug)]
pub struct Deliverer {
    ports: Ports,
    desk: Desk,
    under_way: JoinSet<Finished>,
    state: watch::Sender<State>,
}

impl Deliverer {
    /// One that tells in `state` how it is doing.
    pub fn new(ports: Ports, options: Options, state: watch::Sender<State>) -> Self {
        Self { desk: Desk::new(ports.clone(), options), ports, under_way: JoinSet::new(), state }
    }

    /// Works or waits until `stop`, and then for what is under way. Trouble with the store is waited for: recovery needs nobody.
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.deliver_for_ever() => {}
        }
        while self.wait_for_one().await {}
        if let Err(error) = self.desk.close().await {
            tracing::warn!(%error, "what came of the last attempts could not be noted: they may be made again");
        }
    }

    async fn deliver_for_ever(&mut self) {
        // Armed before the first look: what is told from here on is seen.
        let mut told = self.ports.deliveries.watch();
        loop {
            told.mark_unchanged();
            match self.round().await {
                Ok(until) => {
                    self.state.send_replace(State::Running);
                    tokio::select! {
                        // Nothing told: it is looked at all the same. The sender lives as long as the store.
                        _ = timeout(until, told.changed()) => {}
                        true = self.wait_for_one() => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "deliveries wait for the store; trying again");
                    self.state.send_replace(State::Waiting { reason: error.to_string() });
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Notes, chooses and sends. How long nothing more is to do by itself.
    async fn round(&mut self) -> Result<Duration, StoreError> {
        let round = timeout(PATIENCE, self.desk.round(self.under_way.len()));
        let chosen = round.await.unwrap_or(Err(StoreError::Silent(PATIENCE)))?;
        for (receiver, delivery) in chosen.deliveries {
            self.under_way.spawn(send(self.ports.clone(), receiver, delivery));
        }
        Ok(self.until(chosen.next))
    }

    fn until(&self, next: Option<Timestamp>) -> Duration {
        let now = self.ports.clock.now().as_micros();
        let wait =
            next.map(|next| Duration::from_micros(u64::try_from(next.as_micros() - now).unwrap_or_default()));
        wait.map_or(LOOK_EVERY, |wait| wait.min(LOOK_EVERY))
    }

    /// Waits until an attempt has ended, and takes all that have. False when none is under way.
    async fn wait_for_one(&mut self) -> bool {
        let Some(first) = self.under_way.join_next().await else { return false };
        let mut ended = vec![first];
        ended.extend(std::iter::from_fn(|| self.under_way.try_join_next()));
        for one in ended {
            match one {
                Ok(finished) => self.desk.put(finished),
                // Its lease ends, and somebody takes it over.
                Err(error) => tracing::error!(%error, "an attempt ended in a panic"),
            }
        }
        true
    }
}
