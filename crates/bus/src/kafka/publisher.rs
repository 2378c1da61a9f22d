//! Putting events on topics.
//!
//! Order must survive a relay that is stopped in the middle and wakes up after another has taken over: what it still
//! had in hand must not reach the topics. Only the broker can see to that, and it does so for producers of
//! transactions: [`Producer::init_transactions`] shuts out every earlier producer of the name. So events travel in
//! transactions that stay open across many calls. Our consumers read what is not committed yet, which makes them as
//! fast as without transactions; they see repeats, never gaps, since a partition takes a producer's records in
//! sequence or not at all. Outside readers with `read_committed` see neither.
//!
//! Every record names the position before it in its partition, so that a reader notices what is missing; and every now
//! and then the topics are asked whether they still have what was acknowledged. See `marks.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cornjacket_domain::StoredEvent;
use rdkafka::consumer::BaseConsumer;
use rdkafka::producer::Producer;
use tokio::task::JoinHandle;

use super::sender::{RECORD_TIMEOUT_MS, Sender};
use super::{KafkaBus, PATIENCE, blocking, failed, marks};
use crate::codec::{Outgoing, Sending};
use crate::{BusError, Published, Publisher, TopicPartition};

/// How often topics are asked whether they still have what was put there.
const CHECK_EVERY: Duration = Duration::from_secs(2);

pub(super) struct KafkaPublisher {
    bus: KafkaBus,
    sender: Sender,
    in_transaction: bool,
    /// Where knowledge of what is published begins.
    before: Published,
    /// The last position that was sent to each partition since then.
    sent: BTreeMap<TopicPartition, u64>,
    check: Check,
}

/// Asking the topics goes on beside publishing.
struct Check {
    reader: Arc<BaseConsumer>,
    last: Instant,
    under_way: Option<JoinHandle<Result<(), BusError>>>,
}

impl KafkaPublisher {
    pub(super) async fn new(bus: KafkaBus, name: &str, before: Published) -> Result<Self, BusError> {
        let name = format!("{}cornjacket-{name}", bus.options.prefix);
        let sender = Sender::new(&bus, before.clone(), |config| {
            config.set("transactional.id", name).set("transaction.timeout.ms", RECORD_TIMEOUT_MS);
        })?;
        let initialising = sender.producer.clone();
        blocking(move || initialising.init_transactions(PATIENCE).map_err(failed)).await?;
        let check = Check { reader: Arc::new(marks::reader(&bus)?), last: Instant::now(), under_way: None };
        let publisher = Self { bus, sender, in_transaction: false, before, sent: BTreeMap::new(), check };
        publisher.ask_topics(publisher.before.clone()).await?;
        Ok(publisher)
    }

    fn ask_topics(&self, published: Published) -> impl Future<Output = Result<(), BusError>> + use<> {
        let (bus, reader) = (self.bus.clone(), self.check.reader.clone());
        blocking(move || marks::check(&bus, &reader, &published))
    }

    /// Hears what the topics said, and asks them again now and then.
    async fn check(&mut self, published: &Published) -> Result<(), BusError> {
        if let Some(finished) = self.check.under_way.take_if(|check| check.is_finished()) {
            finished.await.unwrap_or_else(|error| Err(BusError::Outage(error.to_string())))?;
        }
        if self.check.under_way.is_none() && self.check.last.elapsed() > CHECK_EVERY {
            self.check.last = Instant::now();
            self.check.under_way = Some(tokio::spawn(self.ask_topics(published.clone())));
        }
        Ok(())
    }

    /// The partition of each event, and its record.
    fn encode(&mut self, events: &[StoredEvent]) -> Result<Vec<(TopicPartition, Outgoing)>, BusError> {
        let encode = |event: &StoredEvent| {
            let at = self.sender.place(event);
            let previous = self.sent.insert(at, event.position).unwrap_or_else(|| self.before.previous(at));
            Ok((at, self.sender.encode(event, Sending::Relayed { previous })?))
        };
        events.iter().map(encode).collect()
    }
}

#[async_trait]
impl Publisher for KafkaPublisher {
    async fn publish(&mut self, events: &[StoredEvent]) -> Result<(), BusError> {
        if !self.in_transaction {
            let begun = self.sender.producer.begin_transaction();
            begun.map_err(|error| self.sender.failed(error))?;
            self.in_transaction = true;
        }
        let outgoing = self.encode(events)?;
        self.sender.send_all(events, &outgoing).await
    }

    async fn commit(&mut self) -> Result<Published, BusError> {
        if self.in_transaction {
            let producer = self.sender.producer.clone();
            self.sender.until_acknowledged().await?;
            // Fails when a record did.
            let committed = blocking(move || Ok(producer.commit_transaction(PATIENCE))).await?;
            committed.map_err(|error| self.sender.failed(error))?;
            self.in_transaction = false;
        }
        let published = self.sender.producer.context().published()?;
        self.check(&published).await?;
        Ok(published)
    }
}
