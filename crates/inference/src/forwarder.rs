//! Anomalies and expected breaches on their way from the transaction that found them into the log.
//!
//! The outbox is written with the scores, so that an anomaly is found once whatever happens; the log knows it by its id, so
//! that it is there once however often it is appended. Every process that scores also forwards, and needs no lease.
//! What the log cannot take whenever it is tried is left out, named in our own log and counted: those behind it go on.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::consumer::State;
use cornjacket_domain::{Clock, Event, Limits};
use cornjacket_proto::events as proto;
use cornjacket_store::{Appended, EventLog, Outbox, StoreError};
use prost::Message;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::patience::patient;

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
                Ok(arrived) => {
                    self.state.send_replace(State::Running);
                    if arrived == 0 {
                        // Nothing sent: it is looked at all the same. The sender lives as long as the outbox.
                        drop(timeout(LOOK_EVERY, sent.changed()).await);
                    }
                }
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
        let waiting = patient(self.outbox.waiting(AT_ONCE)).await?;
        if waiting.is_empty() {
            return Ok(0);
        }
        let events: Vec<Event> = waiting.iter().filter_map(|(_, bytes)| self.event(bytes)).collect();
        self.append(&events).await?;
        let arrived: Vec<i64> = waiting.iter().map(|(number, _)| *number).collect();
        patient(self.outbox.arrived(&arrived)).await?;
        Ok(arrived.len())
    }

    /// Appends them in order, but for those that the log cannot take: a batch is halved until the one at fault is alone. After
    /// any other error nothing is forgotten, and all of them are appended again.
    async fn append(&self, events: &[Event]) -> Result<(), StoreError> {
        let (mut rest, mut most) = (events, events.len());
        while !rest.is_empty() {
            let (batch, behind) = rest.split_at(most.min(rest.len()));
            match (patient(self.log.append(batch)).await, batch) {
                (Ok(appended), _) => warn_of_conflicts(batch, &appended),
                (Err(error), [event]) if error.is_unfit() => leave_out(event, &error),
                (Err(error), _) if error.is_unfit() => {
                    most = batch.len() / 2;
                    continue;
                }
                (Err(error), _) => return Err(error),
            }
            (rest, most) = (behind, behind.len());
        }
        Ok(())
    }

    fn event(&self, bytes: &[u8]) -> Option<Event> {
        let event = proto::Event::decode(bytes).map_err(|error| error.to_string());
        let event = event.and_then(|event| {
            Event::new(event, self.clock.now(), &Limits::default()).map_err(|invalid| format!("{invalid:?}"))
        });
        // The scores say where it was found.
        let refused = |error: &String| {
            tracing::error!(error, "what was found is no event, and is left out");
            count_refused("invalid");
        };
        event.inspect_err(refused).ok()
    }
}

/// Found again by code that says something else of it: the log has what was said first.
fn warn_of_conflicts(events: &[Event], appended: &[Appended]) {
    for (event, _) in events.iter().zip(appended).filter(|(_, one)| **one == Appended::Conflict) {
        tracing::warn!(
            id = event.id(),
            subject = event.subject(),
            "an event of ours was known with other content"
        );
    }
}

fn leave_out(event: &Event, error: &StoreError) {
    tracing::error!(
        %error,
        id = event.id(),
        r#type = event.event_type(),
        subject = event.subject(),
        "the log cannot take what was found, and it is left out"
    );
    count_refused("unfit");
}

/// Counts what is left out. What is tried again after an outage is counted again.
fn count_refused(reason: &'static str) {
    metrics::counter!("cornjacket_anomalies_refused_total", "reason" => reason).increment(1);
}

#[cfg(test)]
mod tests;
