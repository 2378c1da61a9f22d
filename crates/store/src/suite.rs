//! The laws of every port, run on every backend.

mod event_log;
mod fixtures;

use std::sync::Arc;

use cornjacket_domain::Clock;

use crate::EventLog;
use crate::postgres::{PostgresEventLog, PostgresStore};
use crate::sqlite::{SqliteEventLog, SqliteStore};

/// An empty store that a law is tried on.
enum Backend {
    Sqlite(tempfile::TempDir),
    Postgres(String),
}

impl Backend {
    fn sqlite() -> anyhow::Result<Self> {
        Ok(Self::Sqlite(tempfile::tempdir()?))
    }

    async fn postgres() -> anyhow::Result<Self> {
        Ok(Self::Postgres(cornjacket_testkit::fresh_database().await?))
    }

    /// Opens the log as a process would: on PostgreSQL, several may have it open.
    async fn open(&self, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn EventLog>> {
        Ok(match self {
            Self::Sqlite(folder) => {
                let store = SqliteStore::open(&folder.path().join("cornjacket.db")).await?;
                Arc::new(SqliteEventLog::open(Arc::new(store), clock).await?)
            }
            Self::Postgres(url) => {
                let store = PostgresStore::open(url).await?;
                Arc::new(PostgresEventLog::open(Arc::new(store), clock).await?)
            }
        })
    }
}

/// Runs each law of a module on each backend.
macro_rules! laws {
    ($module:ident: $($law:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $law() -> anyhow::Result<()> {
                super::$law(crate::suite::Backend::sqlite()?).await
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $law() -> anyhow::Result<()> {
                super::$law(crate::suite::Backend::postgres().await?).await
            })+
        }
    };
}
use laws;
