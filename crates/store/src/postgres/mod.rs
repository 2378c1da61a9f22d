//! The store on PostgreSQL 15 or later.

mod action_retention;
mod alarms;
mod consumers;
pub mod copy;
mod dead_letters;
mod definitions;
mod deliveries;
mod devices;
mod doors;
mod event_log;
mod groups;
mod leases;
mod ledger;
mod models;
pub(crate) mod offsets;
mod outlooks;
mod quiet;
mod read_model;
mod rebuild;
mod relay;
pub(crate) mod retention;
mod scoring;
mod secrets;
mod sending;
mod series;
pub(crate) mod snapshot;
mod wake;

use std::str::FromStr;
use std::time::Duration;

pub use action_retention::PostgresActionRetention;
pub use alarms::PostgresAlarms;
pub use consumers::PostgresConsumers;
use cornjacket_domain::{Partitions, Topic};
pub use dead_letters::PostgresDeadLetters;
pub use definitions::PostgresDefining;
pub use deliveries::PostgresDeliveries;
pub use devices::PostgresDevices;
pub use doors::PostgresDoors;
pub use event_log::PostgresEventLog;
pub use leases::PostgresLeases;
pub use ledger::PostgresLedger;
pub use models::PostgresModels;
pub use offsets::PostgresOffsets;
pub use outlooks::PostgresOutlooks;
pub use rebuild::PostgresRebuilds;
pub use relay::{Claim, RelayCheckpoint};
pub use retention::PostgresSeriesRetention;
pub use scoring::PostgresOutbox;
pub use snapshot::PostgresSnapshots;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};

use crate::StoreError;
use crate::open::{Durability, Options};
use crate::wakes::Wakes;

pub(crate) static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/postgres");

/// How long a caller waits for a connection before it is an outage.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// Connections for effects beside those of consumers' transactions: the vigil has two at once; one each is for doors, for what is on its
/// way into the log, for looking ahead, for models, and two for what consumers report.
const BESIDE: u32 = 8;
/// For liveness, never for correctness: a writer that stalls with the append lock is cut off.
const SESSION: [(&str, &str); 4] = [
    ("lock_timeout", "2s"),
    ("idle_in_transaction_session_timeout", "2s"),
    ("statement_timeout", "10s"),
    // Every statement here is short: compiling one takes longer than running it.
    ("jit", "off"),
];

/// The owner's connection is for an hourly moment.
const OWNER_IDLE: Duration = Duration::from_secs(10);

const REMEMBER_TOPIC: &str =
    "insert into event_store.topics (topic, partitions) values ($1, $2) on conflict do nothing";
const PARTITIONS: &str = "select topic, partitions from event_store.topics";

/// What the parts of a process may do, as roles of `0004_roles.sql`.
const INGEST: &str = "cornjacket_ingest";
const TIMESERIES: &str = "cornjacket_timeseries";
const QUERY: &str = "cornjacket_query";

/// Connections to one database, apart for what must not starve or spoil one another.
#[derive(Debug)]
pub struct PostgresStore {
    /// For appending to the log and for the relay.
    writer: PgPool,
    /// For consumers' effects, and for what else makes or reads time series.
    effects: PgPool,
    /// For our own reading: the relay, the wake-up, operators.
    reader: PgPool,
    /// For questions, perhaps to a replica.
    queries: PgPool,
    /// For letting go of old days, which only the tables' owner may.
    owner: PgPool,
    /// Whether large batches are copied.
    copies: bool,
    /// Who in this process waits for what is committed.
    wakes: Wakes,
}

impl PostgresStore {
    /// Connects and brings the schema up to date; another process that does so at the same time waits.
    ///
    /// Refused when the server would not be durable, unless that is waived.
    pub async fn open(wanted: &Options) -> Result<Self, StoreError> {
        let options = connect_options(&wanted.url)?;
        let copies = options.get_socket().is_some() || options.get_host().starts_with('/');
        migrate(options.clone()).await?;
        let pool = |size| PgPoolOptions::new().max_connections(size).acquire_timeout(ACQUIRE_TIMEOUT);
        let options = options.options(SESSION);
        let role = |role| options.clone().options([("role", role)]);
        // A dead connection costs a repeated commit, asking before each whether it is alive would cost every commit.
        // A plan made while the ledger is small would be kept when it no longer is: never by sequential scan.
        let by_index = role(INGEST).options([("enable_seqscan", "off")]);
        let writer = pool(3).test_before_acquire(false).connect_with(by_index).await?;
        require_durability(&writer, wanted.durability).await?;
        let effects = pool(wanted.effects.saturating_add(BESIDE)).connect_with(role(TIMESERIES)).await?;
        let read_only = [("role", QUERY), ("default_transaction_read_only", "on")];
        let reader = pool(4).connect_with(options.clone().options(read_only)).await?;
        let replica = connect_options(wanted.read_url.as_ref().unwrap_or(&wanted.url))?;
        let queries = pool(wanted.read_connections);
        let queries = queries.connect_with(replica.options(SESSION).options(read_only)).await?;
        let owner = pool(1).idle_timeout(OWNER_IDLE).connect_lazy_with(options);
        Ok(Self { writer, effects, reader, queries, owner, copies, wakes: Wakes::default() })
    }

    /// Fixes the number of partitions of every topic when the log is new, and returns it.
    pub async fn partitions(&self, wanted: Partitions) -> Result<Partitions, StoreError> {
        for topic in Topic::ALL {
            let query = sqlx::query(REMEMBER_TOPIC).bind(topic.name()).bind(i32::from(wanted.count()));
            query.execute(&self.writer).await?;
        }
        let remembered = sqlx::query_as(PARTITIONS).fetch_all(&self.writer).await?;
        crate::open::check_partitions(wanted, &remembered)
    }
}

fn connect_options(url: &str) -> Result<PgConnectOptions, StoreError> {
    // Asking after every statement whether it is to be logged costs more than it is worth.
    Ok(PgConnectOptions::from_str(url)?.application_name("cornjacket").disable_statement_logging())
}

/// On a connection of its own: the lock on migrations may be held for longer than any timeout of ours.
async fn migrate(options: PgConnectOptions) -> Result<(), StoreError> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await?;
    MIGRATIONS.run(&pool).await?;
    pool.close().await;
    Ok(())
}

async fn require_durability(pool: &PgPool, durability: Durability) -> Result<(), StoreError> {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value: String =
            sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(pool).await?;
        let lossy = format!("PostgreSQL runs with {setting}=off: an acknowledged event could be lost");
        match durability {
            _ if value != "off" => {}
            Durability::Required => return Err(StoreError::Refused(lossy)),
            Durability::Waived => {
                tracing::error!(setting, "{lossy}; running all the same, as the settings say");
            }
        }
    }
    Ok(())
}
