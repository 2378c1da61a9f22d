//! Figures, measured with the real binary and real servers. A `what` of `cornjacket bench` is a file here.
//!
//! The server under load is a process of its own, started from this same binary, so that its memory is its own and the
//! client's cost is paid as any client pays it: on the same machine, and counted.

pub mod actions;
pub mod anomalies;
mod baseline;
pub mod catch_up;
mod cpu;
pub mod e2e;
pub mod gateway;
pub mod ingest;
mod load;
pub mod mqtt;
pub mod nab;
pub mod queries;
mod receiver;
mod report;
mod scratch;
mod server;
mod wide;
mod workload;

use std::path::PathBuf;

use clap::Args;

/// Flags of every `cornjacket bench`.
#[derive(Clone, Debug, Args)]
pub struct Options {
    /// Also write the figures to this file, as `[{"key", "value", "unit"}]`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How often everything is measured; figures are medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}
