//! For whoever takes events from elsewhere in order, and must know what became of each before it goes on.

use cornjacket_domain::{Caller, Event};
use cornjacket_proto::events as proto;
use cornjacket_proto::status::Failure;
use cornjacket_store::Appended;

use super::Acceptor;
use crate::group_commit::CommitFailed;

impl Acceptor {
    /// Proves an event valid and the caller's to send, as soon as the caller's quota allows it. Its id is given here, so
    /// that it may be stored again when nobody knows whether it was.
    pub async fn check(&self, caller: &Caller, event: proto::Event) -> Result<Event, Failure> {
        self.quota.taken(caller).await;
        let event =
            Event::new(event, self.clock.now(), &self.limits).map_err(|bad| bad.into_failure("event"))?;
        caller.authorize_write(&event)?;
        Ok(event)
    }

    /// Stores as many of the first of these as one batch holds, as soon as there is room: what became of each. All of those
    /// are stored, or none is known to be.
    pub async fn store(&self, events: &[Event]) -> Result<Vec<Appended>, CommitFailed> {
        let batch = events[..self.fit(events)].to_vec();
        self.commit.submit(batch).await.outcome().await
    }

    /// How many of the first fit into a batch; one at least, since each is below the limit of an event.
    fn fit(&self, events: &[Event]) -> usize {
        let mut bytes = 0;
        let mut within = |event: &&Event| {
            bytes += event.encoded().len();
            bytes <= self.limits.batch_bytes
        };
        let most = events.iter().take(self.limits.batch_events);
        most.take_while(|event| within(event)).count().max(1).min(events.len())
    }
}
