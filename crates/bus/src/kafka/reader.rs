//! Looking at a topic without taking part in anything: no group, no commits, from wherever one likes.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use cornjacket_domain::Topic;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::{PATIENCE, Security, blocking, client, failed, poller, topic_name};
use crate::{BusError, Record, TopicPartition};

/// What to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Bootstrap servers: `host:port,host:port`.
    pub servers: String,
    /// How connections are secured.
    pub security: Security,
    /// What stands before the name of the topic.
    pub prefix: String,
    /// The topic, all its partitions.
    pub topic: Topic,
    /// Where to begin in each of them.
    pub begin: ReadFrom,
    /// Whether to wait for more at the end.
    pub follow: bool,
}

/// Where to begin in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the oldest record that there is.
    Beginning,
    /// Behind the newest.
    End,
    /// At that offset, or as near to it as there are records.
    Offset(u64),
}

/// A record as it was found, with every header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The record.
    pub record: Record,
    /// All headers, also those that mean nothing to us, in their order.
    pub headers: Vec<(String, Bytes)>,
}

/// Somebody who looks at a topic.
pub struct KafkaReader {
    consumer: Arc<StreamConsumer>,
    topic: Topic,
    follow: bool,
    /// Partitions whose end has not been reached.
    open: BTreeSet<i32>,
}

impl KafkaReader {
    /// Finds the topic's partitions and begins.
    pub async fn new(look: Look) -> Result<Self, BusError> {
        let consumer: StreamConsumer = client(&look.servers, &look.security)
            // Assigned partitions need a group by name; nobody joins it without a subscription.
            .set("group.id", format!("{}cornjacket-reader", look.prefix))
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            // What our consumers see.
            .set("isolation.level", "read_uncommitted")
            .create()
            .map_err(failed)?;
        let consumer = Arc::new(consumer);
        let (assigned, Look { topic, follow, .. }) = (consumer.clone(), look.clone());
        let open = blocking(move || assign(&assigned, &look)).await?;
        Ok(Self { consumer, topic, follow, open })
    }

    /// The next record; `None` at the end of all partitions for whoever does not follow. Who follows waits for Kafka
    /// when it is away. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Looked>, BusError> {
        while self.follow || !self.open.is_empty() {
            match self.consumer.recv().await {
                Ok(message) => return looked(self.topic, &message).map(Some),
                Err(KafkaError::PartitionEOF(partition)) => {
                    self.open.remove(&partition);
                }
                // librdkafka connects again by itself, and says this of connections that were merely idle too.
                Err(error) if self.follow && is_cut_off(&error) => {
                    tracing::warn!(%error, "Kafka does not answer; waiting for it");
                }
                Err(error) => return Err(failed(error)),
            }
        }
        Ok(None)
    }
}

fn is_cut_off(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{AllBrokersDown, BrokerTransportFailure};
    matches!(error.rdkafka_error_code(), Some(AllBrokersDown | BrokerTransportFailure))
}

fn assign(consumer: &StreamConsumer, look: &Look) -> Result<BTreeSet<i32>, BusError> {
    let name = topic_name(&look.prefix, look.topic);
    let metadata = consumer.fetch_metadata(Some(&name), PATIENCE).map_err(failed)?;
    let partitions: BTreeSet<i32> =
        metadata.topics().iter().flat_map(MetadataTopic::partitions).map(MetadataPartition::id).collect();
    if partitions.is_empty() {
        return Err(BusError::Refused(format!("there is no topic {name} on {}", look.servers)));
    }
    let mut assigned = TopicPartitionList::new();
    for partition in &partitions {
        let (oldest, end) = consumer.fetch_watermarks(&name, *partition, PATIENCE).map_err(failed)?;
        let begin = match look.begin {
            ReadFrom::Beginning => oldest,
            ReadFrom::End => end,
            ReadFrom::Offset(offset) => i64::try_from(offset).unwrap_or(i64::MAX).clamp(oldest, end),
        };
        assigned.add_partition_offset(&name, *partition, Offset::Offset(begin)).map_err(failed)?;
    }
    consumer.assign(&assigned).map_err(failed)?;
    Ok(partitions)
}

fn looked(topic: Topic, message: &BorrowedMessage<'_>) -> Result<Looked, BusError> {
    let partition = u16::try_from(message.partition())
        .map_err(|_| BusError::Refused(format!("{topic}: partition {} is none", message.partition())))?;
    let record = poller::record(TopicPartition { topic, partition }, message)?;
    let header = |header: rdkafka::message::Header<'_, &[u8]>| {
        (header.key.to_owned(), Bytes::copy_from_slice(header.value.unwrap_or_default()))
    };
    let headers = message.headers().into_iter().flat_map(Headers::iter).map(header).collect();
    Ok(Looked { record, headers })
}
