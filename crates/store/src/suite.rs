//! The laws of every port, run on every backend.

mod action_retention;
mod alarms;
mod consumers;
mod copy;
mod dead_letters;
mod definitions;
mod deliveries;
mod devices;
mod digests;
mod event_log;
mod fixtures;
mod forget;
mod groups;
mod leases;
mod ledger;
mod milestones;
mod offsets;
mod outlooks;
mod quiet;
mod rebuild;
mod relay;
mod roles;
mod scoring;
mod series;
mod snapshot;
mod timescale;
mod writers;

use std::sync::Arc;

use cornjacket_domain::{Clock, Partitions};

use crate::{Options, Store};

/// An empty store that a law is tried on.
struct Backend {
    url: String,
    /// Goes with the law.
    _folder: Option<tempfile::TempDir>,
}

impl Backend {
    fn sqlite() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
        Ok(Self { url, _folder: Some(folder) })
    }

    async fn postgres() -> anyhow::Result<Self> {
        Ok(Self { url: cornjacket_testkit::fresh_database().await?, _folder: None })
    }

    /// Opens the store as a process would: on PostgreSQL, several may have it open.
    async fn open(&self, clock: Arc<dyn Clock>) -> anyhow::Result<Store> {
        let options = Options::new(self.url.clone(), Partitions::ONE);
        Ok(Store::open(&options, clock).await?)
    }
}

/// Runs each law of a module on each backend.
macro_rules! laws {
    ($($law:ident),+ $(,)?) => {
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
