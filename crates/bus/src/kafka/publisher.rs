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
use cornjacket_domain::{StoredEvent, Topic};
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig, ThreadedProducer};
use tokio::task::JoinHandle;
use tracing::Instrument;

use super::marks::{self, Acknowledged};
use super::{KafkaBus, KafkaOptions, PATIENCE, blocking, failed, fatal};
use crate::codec::Outgoing;
use crate::{BusError, Published, Publisher, TopicPartition, codec, trace};

/// Longer than anything here waits: a record that gave up on its own could be overtaken by later ones. Brokers allow up
/// to fifteen minutes.
const RECORD_TIMEOUT_MS: &str = "600000";
/// What may wait to be sent, in KiB.
const QUEUE_KBYTES: &str = "32768";
/// How often a full queue is tried again.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(2);
/// How often the queue is looked at until it is empty.
const FLUSH_WAIT: Duration = Duration::from_millis(1);
/// How often topics are asked whether they still have what was put there.
const CHECK_EVERY: Duration = Duration::from_secs(2);

pub(super) struct KafkaPublisher {
    bus: KafkaBus,
    producer: Arc<ThreadedProducer<Acknowledged>>,
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
        let by_name = Topic::ALL.map(|topic| (bus.topic_name(topic), topic)).into();
        let producer: ThreadedProducer<Acknowledged> = bus
            .client()
            .set("transactional.id", format!("{}cornjacket-{name}", bus.options.prefix))
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("compression.type", "zstd")
            .set("transaction.timeout.ms", RECORD_TIMEOUT_MS)
            .set("message.timeout.ms", RECORD_TIMEOUT_MS)
            .set("queue.buffering.max.kbytes", QUEUE_KBYTES)
            .create_with_context(Acknowledged::new(by_name, before.clone()))
            .map_err(failed)?;
        let producer = Arc::new(producer);
        let initialising = producer.clone();
        blocking(move || initialising.init_transactions(PATIENCE).map_err(failed)).await?;
        let check = Check { reader: Arc::new(marks::reader(&bus)?), last: Instant::now(), under_way: None };
        let publisher = Self { bus, producer, in_transaction: false, before, sent: BTreeMap::new(), check };
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
        let KafkaOptions { partitions, epoch, format, .. } = self.bus.options;
        let encode = |event: &StoredEvent| {
            let topic = Topic::of_type(&event.event_type);
            let at = TopicPartition { topic, partition: partitions.of_subject(&event.subject) };
            let previous = self.sent.insert(at, event.position).unwrap_or_else(|| self.before.previous(at));
            let outgoing = codec::encode(event, previous, epoch, format)
                .map_err(|error| BusError::Refused(format!("position {}: {error}", event.position)))?;
            Ok((at, outgoing))
        };
        events.iter().map(encode).collect()
    }

    /// Waits while the queue is full: Kafka is slow, or away.
    async fn send(
        &self,
        event: &StoredEvent,
        at: TopicPartition,
        outgoing: &Outgoing,
    ) -> Result<(), BusError> {
        let headers = outgoing.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let topic = self.bus.topic_name(at.topic);
        let position = usize::try_from(event.position).expect("usize has 64 bits where Kafka runs");
        let mut record = BaseRecord::with_opaque_to(&topic, position)
            .partition(i32::from(at.partition))
            .key(&event.subject)
            .payload(&outgoing.value[..])
            .headers(headers);
        let deadline = Instant::now() + PATIENCE;
        while let Err((error, refused)) = self.producer.send(record) {
            let full = error == KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            if !full || Instant::now() > deadline {
                return Err(self.failed(error));
            }
            record = refused;
            tokio::time::sleep(QUEUE_FULL_WAIT).await;
        }
        Ok(())
    }

    /// Once something fatal has happened every call fails, and most do not say of what.
    fn failed(&self, error: KafkaError) -> BusError {
        match self.producer.client().fatal_error() {
            Some((code, text)) => fatal(code, &text),
            None => failed(error),
        }
    }

    /// Returns when Kafka has answered for every record. `commit_transaction` would do that too, in steps of 100 ms.
    async fn until_acknowledged(&self) -> Result<(), BusError> {
        let deadline = Instant::now() + PATIENCE;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() > deadline {
                return Err(BusError::Outage(format!("records were not acknowledged within {PATIENCE:?}")));
            }
            tokio::time::sleep(FLUSH_WAIT).await;
        }
        Ok(())
    }
}

#[async_trait]
impl Publisher for KafkaPublisher {
    async fn publish(&mut self, events: &[StoredEvent]) -> Result<(), BusError> {
        if !self.in_transaction {
            self.producer.begin_transaction().map_err(|error| self.failed(error))?;
            self.in_transaction = true;
        }
        let span = tracing::error_span!(
            "publish",
            otel.name = "send events",
            otel.kind = "producer",
            messaging.system = "kafka",
            messaging.batch.message_count = events.len()
        );
        let outgoing = self.encode(events)?;
        trace::join(&span, outgoing.iter().map(|(_, outgoing)| &outgoing.trace_context));
        let send_all = async {
            for (event, (at, outgoing)) in events.iter().zip(&outgoing) {
                self.send(event, *at, outgoing).await?;
            }
            Ok(())
        };
        send_all.instrument(span).await
    }

    async fn commit(&mut self) -> Result<Published, BusError> {
        if self.in_transaction {
            let producer = self.producer.clone();
            self.until_acknowledged().await?;
            // Fails when a record did.
            let committed = blocking(move || Ok(producer.commit_transaction(PATIENCE))).await?;
            committed.map_err(|error| self.failed(error))?;
            self.in_transaction = false;
        }
        let published = self.producer.context().published()?;
        self.check(&published).await?;
        Ok(published)
    }
}

impl Drop for KafkaPublisher {
    /// What is still queued must not be sent later: somebody else publishes it by then.
    fn drop(&mut self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
    }
}
