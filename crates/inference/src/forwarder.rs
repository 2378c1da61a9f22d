//! Anomalies and expected breaches on their way from the transaction that found them into the log.
//!
//! The outbox is written with the scores, so that an anomaly is found once whatever happens; the log knows it by its id, so
//! that it is there once however often it is appended. Every process that scores also forwards, and needs no lease.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::consumer::State;
use cornjacket_domain::{Clock, Event, Limits};
use cornjacket_proto::events as proto;
use cornjacket_store::{Appended, EventLog, Outbox, StoreError};
use prost::Message;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// What operators know it by.
pub const NAME: &str = "anomalies";
/// Events that are appended in one go.
const AT_ONCE: u32 = 500;
/// What other processes sent and did not forward waits no longer than this.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const BACK_OFF: Duration = Duration::from_millis(500);

/// Appends what is in the outbox.
#[derive(Debug)]
pub struct Forwarder {
    outbox: Arc<dyn Outbox>,
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    state: watch::Sender<State>,
}

impl Forwarder {
    /// From the outbox to the log; tells in `state` how it is doing.
    pub fn new(
        outbox: Arc<dyn Outbox>,
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        state: watch::Sender<State>,
    ) -> Self {
        Self { outbox, log, clock, state }
    }

    /// Works or waits until `stop`. Trouble is waited for: recovery needs nobody.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = stop => {}
            () = self.forward_for_ever() => {}
        }
    }

    async fn forward_for_ever(&self) {
        // Armed before the first look: what is sent from here on is seen.
        let mut sent = self.outbox.watch();
        loop {
            sent.mark_unchanged();
            match self.forward().await {
                Ok(0) => {
                    self.state.send_replace(State::Running);
                    // Nothing sent: it is looked at all the same. The sender lives as long as the outbox.
                    drop(timeout(LOOK_EVERY, sent.changed()).await);
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "anomalies wait for the store; trying again");
                    self.state.send_replace(State::Waiting { reason: error.to_string() });
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// How many were waiting, and are not any more.
    async fn forward(&self) -> Result<usize, StoreError> {
        let waiting = self.outbox.waiting(AT_ONCE).await?;
        if waiting.is_empty() {
            return Ok(0);
        }
        let events: Vec<Event> = waiting.iter().filter_map(|(_, bytes)| self.event(bytes)).collect();
        let appended = self.log.append(&events).await?;
        for (event, _) in events.iter().zip(appended).filter(|(_, one)| *one == Appended::Conflict) {
            // Found again by code that says something else of it: the log has what was said first.
            tracing::warn!(
                id = event.id(),
                subject = event.subject(),
                "an event of ours was known with other content"
            );
        }
        self.outbox.arrived(&waiting.iter().map(|(number, _)| *number).collect::<Vec<_>>()).await?;
        Ok(waiting.len())
    }

    fn event(&self, bytes: &[u8]) -> Option<Event> {
        let event = proto::Event::decode(bytes).map_err(|error| error.to_string());
        let event = event.and_then(|event| {
            Event::new(event, self.clock.now(), &Limits::default()).map_err(|invalid| format!("{invalid:?}"))
        });
        // The scores say where it was found.
        event.inspect_err(|error| tracing::error!(error, "what was found is no event, and is left out")).ok()
    }
}
