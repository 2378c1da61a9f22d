//! Where store and bus meet: neither knows the other, both sides of the seam are here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_bus::embedded::EmbeddedBus;
use cornjacket_bus::kafka::{KafkaBus, KafkaOptions, KafkaTls, Login, Security};
use cornjacket_bus::{Bus, Format, LogSource, PartitionedLog};
use cornjacket_domain::StoredEvent;
use cornjacket_store::{EventLog, Range, Store};
use tokio::sync::watch;

use crate::config::{BusUrl, RecordFormat, Settings};

/// The log as the bus reads it.
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

/// The log, dealt out to the partitions of the bus.
pub fn log(store: &Store, epoch: u32) -> PartitionedLog {
    PartitionedLog { source: Arc::new(LogAsBus(store.log.clone())), partitions: store.partitions, epoch }
}

/// The bus that the settings name.
pub fn bus(settings: &Settings, store: &Store, epoch: u32) -> anyhow::Result<Arc<dyn Bus>> {
    match settings.bus_url()? {
        BusUrl::Embedded => Ok(Arc::new(EmbeddedBus::new(log(store, epoch)))),
        BusUrl::Kafka(servers) => {
            let bus = KafkaBus::new(kafka(settings, servers, store, epoch));
            Ok(Arc::new(bus.with_security(security(settings))))
        }
    }
}

/// How connections to Kafka are secured.
pub fn security(settings: &Settings) -> Security {
    let (bus, tls) = (&settings.bus, &settings.tls);
    let ca = Some(PathBuf::from(&tls.ca)).filter(|_| !tls.ca.is_empty());
    let own = tls.own().map(|own| (PathBuf::from(own.certificate.1), PathBuf::from(own.key.1)));
    Security {
        tls: bus.tls.then_some(KafkaTls { ca, own }),
        login: bus.sasl.name().map(|mechanism| Login {
            mechanism: mechanism.to_owned(),
            user: bus.user.clone(),
            password: bus.password.expose().unwrap_or_default().to_owned(),
        }),
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
