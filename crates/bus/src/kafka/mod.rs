//! Kafka, or whatever speaks its protocol. Nothing else here names rdkafka.

mod marks;
mod poller;
mod publisher;
mod reader;
mod replayer;
mod security;
mod sender;
mod subscription;
mod topics;

use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::{Partitions, Topic};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub use self::reader::{KafkaReader, Look, Looked, ReadFrom};
pub use self::security::{KafkaTls, Login, Security};
use crate::{Bus, BusError, Format, Published, Publisher, Subscription};

/// How long any question to Kafka may take before it is an outage.
const PATIENCE: Duration = Duration::from_secs(10);

/// How to reach Kafka and what to put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaOptions {
    /// Bootstrap servers: `host:port,host:port`.
    pub servers: String,
    /// Put before the names of topics, groups and publishers, so that several logs can share a cluster.
    pub prefix: String,
    /// What records carry.
    pub format: Format,
    /// Partitions of every topic.
    pub partitions: Partitions,
    /// How long records are kept.
    pub retention: Duration,
    /// Replicas of each topic; -1 leaves it to the broker.
    pub replication_factor: i32,
    /// The epoch of the log.
    pub epoch: u32,
    /// After this long without a sign of life a consumer's partitions go to others.
    pub session_timeout: Duration,
    /// A name that stays the same over restarts and keeps its partitions meanwhile.
    pub instance_id: Option<String>,
}

/// The bus on Kafka.
#[derive(Clone, Debug)]
pub struct KafkaBus {
    options: KafkaOptions,
    security: Security,
}

impl KafkaBus {
    /// The bus that the options name. Nothing is connected yet.
    pub fn new(options: KafkaOptions) -> Self {
        Self { options, security: Security::default() }
    }

    /// With connections that are secured so.
    #[must_use]
    pub fn with_security(self, security: Security) -> Self {
        Self { security, ..self }
    }

    fn client(&self) -> ClientConfig {
        client(&self.options.servers, &self.security)
    }

    fn topic_name(&self, topic: Topic) -> String {
        topic_name(&self.options.prefix, topic)
    }
}

fn client(servers: &str, security: &Security) -> ClientConfig {
    let mut config = ClientConfig::new();
    security.configure(&mut config);
    config
        .set("bootstrap.servers", servers)
        .set("client.id", "cornjacket")
        // After an outage we are back soon: librdkafka would wait for up to ten seconds.
        .set("reconnect.backoff.max.ms", "1000")
        // A topic that is gone is an outage sooner than in half a minute: then it is made anew.
        .set("topic.metadata.propagation.max.ms", "3000")
        .set("socket.nagle.disable", "true")
        .set("allow.auto.create.topics", "false");
    config
}

fn topic_name(prefix: &str, topic: Topic) -> String {
    format!("{prefix}{}", topic.name())
}

#[async_trait]
impl Bus for KafkaBus {
    async fn prepare(&self) -> Result<(), BusError> {
        topics::prepare(self).await
    }

    async fn publisher(
        &self,
        name: &str,
        published: Published,
    ) -> Result<Option<Box<dyn Publisher>>, BusError> {
        Ok(Some(Box::new(publisher::KafkaPublisher::new(self.clone(), name, published).await?)))
    }

    async fn replayer(&self, id: &str, published: Published) -> Result<Option<Box<dyn Publisher>>, BusError> {
        Ok(Some(Box::new(replayer::KafkaReplayer::new(self.clone(), id, published).await?)))
    }

    async fn subscribe(&self, group: &str, topics: &[Topic]) -> Result<Box<dyn Subscription>, BusError> {
        Ok(Box::new(subscription::KafkaSubscription::new(self, group, topics)?))
    }
}

/// Runs what blocks where it may.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    tokio::task::spawn_blocking(act).await.map_err(|error| BusError::Outage(error.to_string()))?
}

fn failed(error: KafkaError) -> BusError {
    match error.rdkafka_error_code() {
        Some(
            RDKafkaErrorCode::Fenced
            | RDKafkaErrorCode::InvalidProducerEpoch
            | RDKafkaErrorCode::ProducerFenced,
        ) => BusError::Fenced,
        _ => match error {
            KafkaError::Transaction(error) if error.is_fatal() => fatal(error.code(), &error.to_string()),
            error => BusError::Outage(error.to_string()),
        },
    }
}

/// A fatal error of a producer that worked is that somebody else has its name.
fn fatal(code: RDKafkaErrorCode, text: &str) -> BusError {
    match code {
        RDKafkaErrorCode::Fenced
        | RDKafkaErrorCode::InvalidProducerEpoch
        | RDKafkaErrorCode::ProducerFenced => BusError::Fenced,
        _ => BusError::Outage(text.to_owned()),
    }
}

#[cfg(test)]
mod tests;
