//! Where store and bus meet: neither knows the other, both sides of the seam are here.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_bus::embedded::{EmbeddedBus, LogSource};
use cornjacket_bus::kafka::{KafkaBus, KafkaOptions};
use cornjacket_bus::{Bus, Checkpoint, CheckpointError, Format, Progress, TopicPartition};
use cornjacket_domain::StoredEvent;
use cornjacket_store::{ConsumerPartition, EventLog, Offsets, Range, Store, StoreError, Tx};
use tokio::sync::watch;

use crate::config::{BusUrl, RecordFormat, Settings};

/// The bus's checkpoint over the store's offsets.
#[derive(Clone, Debug)]
pub struct StoreCheckpoint(pub Arc<dyn Offsets>);

fn partition_of(consumer: &str, at: TopicPartition) -> ConsumerPartition {
    ConsumerPartition { consumer: consumer.to_owned(), topic: at.topic.name(), partition: at.partition }
}

const fn to_store(progress: Progress) -> cornjacket_store::Progress {
    cornjacket_store::Progress { next_offset: progress.next_offset, last_position: progress.last_position }
}

fn failed(error: StoreError) -> CheckpointError {
    if error.is_outage() {
        CheckpointError::Outage(error.into())
    } else {
        CheckpointError::Defect(error.into())
    }
}

#[async_trait]
impl Checkpoint for StoreCheckpoint {
    type Tx = Box<dyn Tx>;

    async fn load(&self, consumer: &str, at: TopicPartition) -> Result<Progress, CheckpointError> {
        let progress = self.0.load(&partition_of(consumer, at)).await.map_err(failed)?;
        Ok(Progress { next_offset: progress.next_offset, last_position: progress.last_position })
    }

    async fn begin(
        &self,
        consumer: &str,
        at: TopicPartition,
        from: Progress,
        to: Progress,
    ) -> Result<Self::Tx, CheckpointError> {
        let begun = self.0.begin(&partition_of(consumer, at), to_store(from), to_store(to)).await;
        begun.map_err(failed)?.ok_or(CheckpointError::Fenced)
    }

    async fn commit(&self, transaction: Self::Tx) -> Result<(), CheckpointError> {
        transaction.commit().await.map_err(failed)
    }
}

/// The log as the embedded bus reads it.
#[derive(Clone, Debug)]
pub struct LogAsBus(pub Arc<dyn EventLog>);

#[async_trait]
impl LogSource for LogAsBus {
    async fn read(
        &self,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.0.read(&Range::after(after, limit)).await?)
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.0.watch()
    }
}

/// The bus that the settings name.
pub fn bus(settings: &Settings, store: &Store, epoch: u32) -> anyhow::Result<Arc<dyn Bus>> {
    match settings.bus_url()? {
        BusUrl::Embedded => {
            let log = Arc::new(LogAsBus(store.log.clone()));
            Ok(Arc::new(EmbeddedBus::new(log, store.partitions, epoch)))
        }
        BusUrl::Kafka(servers) => Ok(Arc::new(KafkaBus::new(kafka(settings, servers, store, epoch)))),
    }
}

fn kafka(settings: &Settings, servers: String, store: &Store, epoch: u32) -> KafkaOptions {
    let bus = &settings.bus;
    KafkaOptions {
        servers,
        prefix: bus.topic_prefix.clone(),
        format: match bus.format {
            RecordFormat::Protobuf => Format::Protobuf,
            RecordFormat::Json => Format::Json,
        },
        partitions: store.partitions,
        retention: Duration::from_hours(bus.retention_hours.into()),
        replication_factor: bus.replication_factor,
        epoch,
        session_timeout: Duration::from_millis(bus.session_timeout_ms.into()),
        instance_id: Some(bus.instance_id.clone()).filter(|id| !id.is_empty()),
    }
}
