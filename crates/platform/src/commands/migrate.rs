//! `cornjacket migrate`: the schema, and nothing else.

use std::sync::Arc;

use cornjacket_domain::SystemClock;
use cornjacket_store::Store;

use crate::config::Settings;
use crate::telemetry;

/// Opening a store brings its schema up to date, behind a lock.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    telemetry::block_on(&settings.log, async {
        anyhow::ensure!(!settings.store.url.is_empty(), "store.url: must be set");
        Store::open(&settings.store_options()?, Arc::new(SystemClock)).await?;
        println!("the schema is up to date");
        Ok(())
    })
}
