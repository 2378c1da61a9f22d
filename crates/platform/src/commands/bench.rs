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
    /// How fast consumers read what is stored already, on the PostgreSQL that store.url names.
    CatchUp(Options),
    /// Durable ingest as JSON over HTTP beside gRPC, on the PostgreSQL that store.url names.
    Gateway(Options),
    /// Messages of devices, by way of a Mosquitto (which must be installed) and of the broker inside, and what they do to other
    /// callers, on the PostgreSQL that store.url names.
    Mqtt(Options),
    /// From a receipt to the answer of a query with its token, and the rate at which nothing falls behind, on the PostgreSQL and
    /// Kafka that store.url and bus.url name.
    E2e(Options),
    /// How fast questions are answered with a million and with ten million events stored, on the PostgreSQL that store.url names.
    Queries(Options),
    /// From the receipt of a sample to its anomaly in a tail, on the PostgreSQL and Kafka that store.url and bus.url name.
    Anomalies(Options),
    /// From a strange sample to a signed webhook at its receiver, how fast rules decide and endpoints are told, and what one dead
    /// endpoint does to others, on the PostgreSQL and Kafka that store.url and bus.url name.
    Actions(Options),
    /// How well and how fast detectors find what people labelled: the series of the Numenta Anomaly Benchmark through the
    /// processor, on SQLite.
    Nab(bench::nab::Nab),
}

impl Bench {
    /// Measures and prints.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            match self.what {
                What::Ingest(options) => bench::ingest::run(settings, &options).await,
                What::Gateway(options) => bench::gateway::run(settings, &options).await,
                What::Mqtt(options) => bench::mqtt::run(settings, &options).await,
                What::E2e(options) => bench::e2e::run(settings, &options).await,
                What::Queries(options) => bench::queries::run(settings, &options).await,
                What::Anomalies(options) => bench::anomalies::run(settings, &options).await,
                What::Actions(options) => bench::actions::run(settings, &options).await,
                What::Nab(nab) => bench::nab::run(settings, &nab).await,
                What::CatchUp(options) => bench::catch_up::run(settings, &options).await,
            }
        })
    }
}
