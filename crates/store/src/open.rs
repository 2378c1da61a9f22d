//! From a URL to the ports.

use std::path::Path;
use std::sync::Arc;

use cornjacket_domain::{Clock, Partitions};

use crate::postgres::{PostgresEventLog, PostgresOffsets, PostgresReadModel, PostgresStore, RelayCheckpoint};
use crate::sqlite::{SqliteEventLog, SqliteOffsets, SqliteReadModel, SqliteStore};
use crate::{EventLog, Offsets, ReadModel, StoreError};

/// Every port onto one store.
#[derive(Clone, Debug)]
pub struct Store {
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// What consumers remember.
    pub offsets: Arc<dyn Offsets>,
    /// What projections made.
    pub read_model: Arc<dyn ReadModel>,
    /// What the relay remembers, where there can be one.
    pub relay: Option<RelayCheckpoint>,
    /// The number of partitions of every topic.
    pub partitions: Partitions,
}

impl Store {
    /// Opens the store that `url` names, `sqlite:///path` or `postgres://…`, and brings its schema up to date.
    /// `partitions` is fixed when the store is new.
    pub async fn open(url: &str, clock: Arc<dyn Clock>, partitions: Partitions) -> Result<Self, StoreError> {
        match url.split_once("://") {
            Some(("sqlite", path)) => Self::open_sqlite(Path::new(path), clock, partitions).await,
            Some(("postgres" | "postgresql", _)) => Self::open_postgres(url, clock, partitions).await,
            _ => Err(StoreError::Refused("store.url must begin with sqlite:// or postgres://".to_owned())),
        }
    }

    async fn open_sqlite(path: &Path, clock: Arc<dyn Clock>, wanted: Partitions) -> Result<Self, StoreError> {
        let store = Arc::new(SqliteStore::open(path).await?);
        Ok(Self {
            partitions: store.partitions(wanted).await?,
            log: Arc::new(SqliteEventLog::open(store.clone(), clock).await?),
            offsets: Arc::new(SqliteOffsets::new(store.clone())),
            read_model: Arc::new(SqliteReadModel::new(store)),
            relay: None,
        })
    }

    async fn open_postgres(url: &str, clock: Arc<dyn Clock>, wanted: Partitions) -> Result<Self, StoreError> {
        let store = Arc::new(PostgresStore::open(url).await?);
        Ok(Self {
            partitions: store.partitions(wanted).await?,
            log: Arc::new(PostgresEventLog::open(store.clone(), clock).await?),
            offsets: Arc::new(PostgresOffsets::new(store.clone())),
            read_model: Arc::new(PostgresReadModel::new(store.clone())),
            relay: Some(RelayCheckpoint::new(store)),
        })
    }
}

/// Subjects would change their partition, and with it their order, if the number changed.
pub(crate) fn check_partitions(
    wanted: Partitions,
    remembered: &[(String, i32)],
) -> Result<Partitions, StoreError> {
    for (topic, count) in remembered {
        if *count != i32::from(wanted.count()) {
            return Err(StoreError::Refused(format!(
                "this log began with {count} partitions of {topic}; bus.partitions cannot become {}",
                wanted.count()
            )));
        }
    }
    Ok(wanted)
}
