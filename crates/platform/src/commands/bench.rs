//! `cornjacket bench WHAT`: the figures of the README, measured here.

use clap::{Args, Subcommand};

use crate::bench::{self, Options};
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket bench`.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Durable ingest, in batches, streams and single events, on SQLite and on the PostgreSQL that store.url names
    /// (where databases are made for it, and dropped); beside it COPY and pgbench on that PostgreSQL.
    Ingest(Options),
}

impl Bench {
    /// Measures and prints.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            match self.what {
                What::Ingest(options) => bench::ingest::run(settings, &options).await,
            }
        })
    }
}
