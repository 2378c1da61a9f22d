//! The store on PostgreSQL 15 or later.

mod event_log;
mod offsets;
mod read_model;
mod relay;
mod retention;
mod wake;

use std::str::FromStr;
use std::time::Duration;

use cornjacket_domain::{Partitions, Topic};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

pub use event_log::PostgresEventLog;
pub use offsets::PostgresOffsets;
pub use read_model::PostgresReadModel;
pub use relay::{Claim, RelayCheckpoint};

use crate::StoreError;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../../migrations/postgres");

/// How long a caller waits for a connection before it is an outage.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);
/// For liveness, never for correctness: a writer that stalls with the append lock is cut off.
const SESSION: [(&str, &str); 3] =
    [("lock_timeout", "2s"), ("idle_in_transaction_session_timeout", "2s"), ("statement_timeout", "10s")];

const REMEMBER_TOPIC: &str =
    "insert into event_store.topics (topic, partitions) values ($1, $2) on conflict do nothing";
const PARTITIONS: &str = "select topic, partitions from event_store.topics";

/// Connections to one database, apart for what must not starve one another.
#[derive(Debug)]
pub struct PostgresStore {
    /// For appending to the log.
    writer: PgPool,
    /// For consumers' effects and the relay.
    effects: PgPool,
    /// For reading.
    reader: PgPool,
}

impl PostgresStore {
    /// Connects and brings the schema up to date; another process that does so at the same time waits.
    ///
    /// Refused when the server would not be durable.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let options = PgConnectOptions::from_str(url)?.application_name("cornjacket");
        migrate(options.clone()).await?;
        let pool = |size| PgPoolOptions::new().max_connections(size).acquire_timeout(ACQUIRE_TIMEOUT);
        let options = options.options(SESSION);
        // A dead connection costs a repeated commit, asking before each whether it is alive would cost every commit.
        let writer = pool(2).test_before_acquire(false).connect_with(options.clone()).await?;
        require_durability(&writer).await?;
        let effects = pool(8).connect_with(options.clone()).await?;
        let reader = pool(8).connect_with(options).await?;
        Ok(Self { writer, effects, reader })
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

async fn require_durability(pool: &PgPool) -> Result<(), StoreError> {
    for setting in ["fsync", "full_page_writes", "synchronous_commit"] {
        let value: String =
            sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(pool).await?;
        if value == "off" {
            return Err(StoreError::Refused(format!(
                "PostgreSQL runs with {setting}=off: an acknowledged event could be lost"
            )));
        }
    }
    Ok(())
}
