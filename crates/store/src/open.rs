//! From a URL to the ports.

use std::path::Path;
use std::sync::Arc;

use cornjacket_domain::{Clock, Partitions};

use crate::postgres::{
    PostgresActionRetention, PostgresAlarms, PostgresConsumers, PostgresDeadLetters, PostgresDefining,
    PostgresDeliveries, PostgresDevices, PostgresDoors, PostgresEventLog, PostgresLeases, PostgresLedger,
    PostgresModels, PostgresOffsets, PostgresOutbox, PostgresOutlooks, PostgresRebuilds,
    PostgresSeriesRetention, PostgresSnapshots, PostgresStore, RelayCheckpoint,
};
use crate::sqlite::{
    SqliteActionRetention, SqliteAlarms, SqliteConsumers, SqliteDeadLetters, SqliteDefining,
    SqliteDeliveries, SqliteDevices, SqliteDoors, SqliteEventLog, SqliteLeases, SqliteLedger, SqliteModels,
    SqliteOffsets, SqliteOutbox, SqliteOutlooks, SqliteRebuilds, SqliteSeriesRetention, SqliteSnapshots,
    SqliteStore,
};
use crate::{
    ActionRetention, Alarms, Consumers, DeadLetters, Defining, Deliveries, Devices, Doors, EventLog, Leases,
    Ledger, Models, Offsets, Outbox, Outlooks, Rebuilds, SeriesRetention, Snapshots, StoreError,
};

/// Every port onto one store.
#[derive(Clone, Debug)]
pub struct Store {
    /// The event log.
    pub log: Arc<dyn EventLog>,
    /// What consumers remember.
    pub offsets: Arc<dyn Offsets>,
    /// What consumers could not handle.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Devices that may connect.
    pub devices: Arc<dyn Devices>,
    /// What operators define of actions.
    pub defining: Arc<dyn Defining>,
    /// What became of events that rules matched.
    pub ledger: Arc<dyn Ledger>,
    /// What is told to endpoints.
    pub deliveries: Arc<dyn Deliveries>,
    /// What lasts until it is over.
    pub alarms: Arc<dyn Alarms>,
    /// What consumers say of themselves.
    pub consumers: Arc<dyn Consumers>,
    /// Where questions are answered from.
    pub snapshots: Arc<dyn Snapshots>,
    /// Makes projections anew.
    pub rebuilds: Arc<dyn Rebuilds>,
    /// Lets go of old samples.
    pub series_retention: Arc<dyn SeriesRetention>,
    /// Lets go of what actions keep.
    pub action_retention: Arc<dyn ActionRetention>,
    /// What series are watched with.
    pub models: Arc<dyn Models>,
    /// Anomalies on their way into the log.
    pub outbox: Arc<dyn Outbox>,
    /// What is expected of series.
    pub outlooks: Arc<dyn Outlooks>,
    /// Ways in, and whether they are open.
    pub doors: Arc<dyn Doors>,
    /// Who alone does what.
    pub leases: Arc<dyn Leases>,
    /// What the relay remembers, where there can be one.
    pub relay: Option<RelayCheckpoint>,
    /// The number of partitions of every topic.
    pub partitions: Partitions,
}

/// How to open a store.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sqlite:///path` or `postgres://…`.
    pub url: String,
    /// The number of partitions of every topic; fixed when the store is new.
    pub partitions: Partitions,
    /// What happens when the database would not keep what it committed.
    pub durability: Durability,
    /// Where questions are asked, when that is another server than `url`: a replica. PostgreSQL's alone.
    pub read_url: Option<String>,
    /// Questions that are answered at once, at the most.
    pub read_connections: u32,
    /// Transactions of consumers that are open at once, at the most: on PostgreSQL each has a connection.
    pub effects: u32,
}

impl Options {
    /// A durable store at `url`.
    pub const fn new(url: String, partitions: Partitions) -> Self {
        let durability = Durability::Required;
        Self { url, partitions, durability, read_url: None, read_connections: 8, effects: 16 }
    }
}

/// Whether a database must keep what it committed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// One that would not is refused.
    #[default]
    Required,
    /// One that would not is used all the same, with an error in the log.
    Waived,
}

impl Store {
    /// Opens the store and brings its schema up to date.
    pub async fn open(options: &Options, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        match options.url.split_once("://") {
            Some(("sqlite", path)) => Self::open_sqlite(Path::new(path), clock, options).await,
            Some(("postgres" | "postgresql", _)) => Self::open_postgres(options, clock).await,
            _ => Err(StoreError::Refused("store.url must begin with sqlite:// or postgres://".to_owned())),
        }
    }

    async fn open_sqlite(path: &Path, clock: Arc<dyn Clock>, options: &Options) -> Result<Self, StoreError> {
        let store = Arc::new(SqliteStore::open(path, options.read_connections).await?);
        Ok(Self {
            partitions: store.partitions(options.partitions).await?,
            log: Arc::new(SqliteEventLog::open(store.clone(), clock).await?),
            offsets: Arc::new(SqliteOffsets::new(store.clone())),
            dead_letters: Arc::new(SqliteDeadLetters::new(store.clone())),
            devices: Arc::new(SqliteDevices::new(store.clone())),
            defining: Arc::new(SqliteDefining::new(store.clone())),
            ledger: Arc::new(SqliteLedger::new(store.clone())),
            deliveries: Arc::new(SqliteDeliveries::new(store.clone())),
            alarms: Arc::new(SqliteAlarms::new(store.clone())),
            consumers: Arc::new(SqliteConsumers::new(store.clone())),
            snapshots: Arc::new(SqliteSnapshots::new(store.clone())),
            rebuilds: Arc::new(SqliteRebuilds::new(store.clone())),
            series_retention: Arc::new(SqliteSeriesRetention::new(store.clone())),
            action_retention: Arc::new(SqliteActionRetention::new(store.clone())),
            models: Arc::new(SqliteModels::new(store.clone())),
            outbox: Arc::new(SqliteOutbox::new(store.clone())),
            outlooks: Arc::new(SqliteOutlooks::new(store)),
            doors: Arc::new(SqliteDoors::default()),
            leases: Arc::new(SqliteLeases::default()),
            relay: None,
        })
    }

    async fn open_postgres(options: &Options, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let store = Arc::new(PostgresStore::open(options).await?);
        Ok(Self {
            partitions: store.partitions(options.partitions).await?,
            log: Arc::new(PostgresEventLog::open(store.clone(), clock.clone()).await?),
            offsets: Arc::new(PostgresOffsets::new(store.clone())),
            dead_letters: Arc::new(PostgresDeadLetters::new(store.clone())),
            devices: Arc::new(PostgresDevices::new(store.clone())),
            defining: Arc::new(PostgresDefining::new(store.clone())),
            ledger: Arc::new(PostgresLedger::new(store.clone())),
            deliveries: Arc::new(PostgresDeliveries::new(store.clone())),
            alarms: Arc::new(PostgresAlarms::new(store.clone())),
            consumers: Arc::new(PostgresConsumers::new(store.clone())),
            snapshots: Arc::new(PostgresSnapshots::new(store.clone())),
            rebuilds: Arc::new(PostgresRebuilds::new(store.clone())),
            series_retention: Arc::new(PostgresSeriesRetention::new(store.clone())),
            action_retention: Arc::new(PostgresActionRetention::new(store.clone())),
            models: Arc::new(PostgresModels::new(store.clone())),
            outbox: Arc::new(PostgresOutbox::new(store.clone())),
            outlooks: Arc::new(PostgresOutlooks::new(store.clone())),
            doors: Arc::new(PostgresDoors::new(store.clone())),
            leases: Arc::new(PostgresLeases::new(store.clone())),
            relay: Some(RelayCheckpoint::new(store, clock)),
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
