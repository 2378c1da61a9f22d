//! Putting events on topics.
//!
//! Order must survive a relay that is stopped in the middle and wakes up after another has taken over: what it still
//! had in hand must not reach the topics. Only the broker can see to that, and it does so for producers of
//! transactions: [`Producer::init_transactions`] shuts out every earlier producer of the name. So events travel in
//! transactions that stay open across many calls. Our consumers read what is not committed yet, which makes them as
//! fast as without transactions; they see repeats, never gaps, since a partition takes a producer's records in
//! sequence or not at all. Outside readers with `read_committed` see neither.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use cornjacket_domain::{StoredEvent, Topic};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, PurgeConfig, ThreadedProducer};
use tracing::Instrument;

use super::{KafkaBus, PATIENCE, blocking, failed, fatal};
use crate::codec::Outgoing;
use crate::{BusError, Publisher, codec, trace};

/// Longer than anything here waits: a record that gave up on its own could be overtaken by later ones. Brokers allow up
/// to fifteen minutes.
const RECORD_TIMEOUT_MS: &str = "600000";
/// What may wait to be sent, in KiB.
const QUEUE_KBYTES: &str = "32768";
/// How often a full queue is tried again.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(2);
/// How often the queue is looked at until it is empty.
const FLUSH_WAIT: Duration = Duration::from_millis(1);

pub(super) struct KafkaPublisher {
    bus: KafkaBus,
    producer: Arc<ThreadedProducer<DefaultProducerContext>>,
    in_transaction: bool,
}

impl KafkaPublisher {
    pub(super) async fn new(bus: KafkaBus, name: &str) -> Result<Self, BusError> {
        let producer: ThreadedProducer<DefaultProducerContext> = bus
            .client()
            .set("transactional.id", format!("{}cornjacket-{name}", bus.options.prefix))
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("compression.type", "zstd")
            .set("transaction.timeout.ms", RECORD_TIMEOUT_MS)
            .set("message.timeout.ms", RECORD_TIMEOUT_MS)
            .set("queue.buffering.max.kbytes", QUEUE_KBYTES)
            .create()
            .map_err(failed)?;
        let producer = Arc::new(producer);
        let initialising = producer.clone();
        blocking(move || initialising.init_transactions(PATIENCE).map_err(failed)).await?;
        Ok(Self { bus, producer, in_transaction: false })
    }

    fn encode(&self, events: &[StoredEvent]) -> Result<Vec<Outgoing>, BusError> {
        let options = &self.bus.options;
        let encode = |event: &StoredEvent| {
            codec::encode(event, options.epoch, options.format)
                .map_err(|error| BusError::Refused(format!("position {}: {error}", event.position)))
        };
        events.iter().map(encode).collect()
    }

    /// Waits while the queue is full: Kafka is slow, or away.
    async fn send(&self, event: &StoredEvent, outgoing: &Outgoing) -> Result<(), BusError> {
        let options = &self.bus.options;
        let headers = outgoing.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let topic = self.bus.topic_name(Topic::of_type(&event.event_type));
        let mut record = BaseRecord::to(&topic)
            .partition(i32::from(options.partitions.of_subject(&event.subject)))
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
        trace::join(&span, outgoing.iter().map(|outgoing| &outgoing.trace_context));
        let send_all = async {
            for (event, outgoing) in events.iter().zip(&outgoing) {
                self.send(event, outgoing).await?;
            }
            Ok(())
        };
        send_all.instrument(span).await
    }

    async fn commit(&mut self) -> Result<(), BusError> {
        if self.in_transaction {
            let producer = self.producer.clone();
            self.until_acknowledged().await?;
            // Fails when a record did.
            let committed = blocking(move || Ok(producer.commit_transaction(PATIENCE))).await?;
            committed.map_err(|error| self.failed(error))?;
            self.in_transaction = false;
        }
        Ok(())
    }
}

impl Drop for KafkaPublisher {
    /// What is still queued must not be sent later: somebody else publishes it by then.
    fn drop(&mut self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
    }
}
