//! What every publisher does: making records of events, and sending them in order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cornjacket_domain::{StoredEvent, Topic};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, PurgeConfig, ThreadedProducer};
use tracing::Instrument;

use super::marks::Acknowledged;
use super::{KafkaBus, KafkaOptions, PATIENCE, failed, fatal};
use crate::codec::{Outgoing, Sending};
use crate::{BusError, Published, TopicPartition, codec, trace};

/// Longer than anything here waits: a record that gave up on its own could be overtaken by later ones. Brokers allow up
/// to fifteen minutes.
pub(super) const RECORD_TIMEOUT_MS: &str = "600000";
/// What may wait to be sent, in KiB.
const QUEUE_KBYTES: &str = "32768";
/// How often a full queue is tried again.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(2);
/// How often the queue is looked at until it is empty.
const FLUSH_WAIT: Duration = Duration::from_millis(1);

/// A producer, which keeps the order of each partition.
pub(super) struct Sender {
    bus: KafkaBus,
    pub(super) producer: Arc<ThreadedProducer<Acknowledged>>,
}

impl Sender {
    /// A producer that knows what was `published` before, with more settings on top.
    pub(super) fn new(
        bus: &KafkaBus,
        published: Published,
        configure: impl FnOnce(&mut ClientConfig),
    ) -> Result<Self, BusError> {
        let by_name = Topic::ALL.map(|topic| (bus.topic_name(topic), topic)).into();
        let mut config = bus.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // Requests are what Kafka works for, and whoever reads: at a thousand events a second fewer of them shorten the way.
            .set("linger.ms", "2")
            .set("compression.type", "zstd")
            .set("message.timeout.ms", RECORD_TIMEOUT_MS)
            .set("queue.buffering.max.kbytes", QUEUE_KBYTES);
        configure(&mut config);
        let context = Acknowledged::new(by_name, published);
        let producer = config.create_with_context(context).map_err(failed)?;
        Ok(Self { bus: bus.clone(), producer: Arc::new(producer) })
    }

    /// Where an event belongs.
    pub(super) fn place(&self, event: &StoredEvent) -> TopicPartition {
        TopicPartition::of(event, self.bus.options.partitions)
    }

    /// The record of an event.
    pub(super) fn encode(&self, event: &StoredEvent, sending: Sending<'_>) -> Result<Outgoing, BusError> {
        let KafkaOptions { epoch, format, .. } = self.bus.options;
        codec::encode(event, sending, epoch, format)
            .map_err(|error| BusError::Refused(format!("position {}: {error}", event.position)))
    }

    /// Sends the records of `events`, each to its partition.
    pub(super) async fn send_all(
        &self,
        events: &[StoredEvent],
        outgoing: &[(TopicPartition, Outgoing)],
    ) -> Result<(), BusError> {
        let span = tracing::error_span!(
            "publish",
            otel.name = "send events",
            otel.kind = "producer",
            messaging.system = "kafka",
            messaging.batch.message_count = events.len()
        );
        trace::join(&span, outgoing.iter().map(|(_, outgoing)| &outgoing.trace_context));
        let send_all = async {
            for (event, (at, outgoing)) in events.iter().zip(outgoing) {
                self.send(event, *at, outgoing).await?;
            }
            Ok(())
        };
        send_all.instrument(span).await
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
    pub(super) fn failed(&self, error: KafkaError) -> BusError {
        match self.producer.client().fatal_error() {
            Some((code, text)) => fatal(code, &text),
            None => failed(error),
        }
    }

    /// Returns when Kafka has answered for every record. `commit_transaction` would do that too, in steps of 100 ms.
    pub(super) async fn until_acknowledged(&self) -> Result<(), BusError> {
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

impl Drop for Sender {
    /// What is still queued must not be sent later: somebody else publishes it by then.
    fn drop(&mut self) {
        self.producer.purge(PurgeConfig::default().queue().inflight());
    }
}
