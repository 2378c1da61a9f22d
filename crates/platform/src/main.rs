//! The `cornjacket` binary: every role, and the operator's verbs.

mod actions;
mod bench;
#[cfg(feature = "broker")]
mod broker;
mod checkpoint;
mod commands;
mod config;
mod consumers;
mod doors;
mod forecasts;
mod gateway;
mod grpc;
mod identity;
mod models;
mod ops;
mod replays;
mod retention;
mod roles;
mod rpc_trace;
mod server;
mod shutdown;
mod simulate;
mod stages;
mod telemetry;
mod tls;
mod unread;
mod watchdog;
mod wiring;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Settings, Sources};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An event platform: every acknowledged event is durable, ordered and unique.
#[derive(Debug, Parser)]
#[command(version, about, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    sources: SourceFlags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in this process, with nothing else installed.
    Dev(commands::dev::Dev),
    /// Run the roles named, all by default, with the stores and buses that the settings name.
    Serve(commands::serve::Serve),
    /// Show how far consumers have come; pause one.
    Consumers(commands::consumers::Consumers),
    /// Show what could not be handled; have it tried again, or give it up.
    DeadLetters(commands::dead_letters::DeadLetters),
    /// Keep the accounts of devices, here and for other brokers.
    Devices(commands::devices::Devices),
    /// Show what detectors found in series.
    Anomalies(commands::anomalies::Anomalies),
    /// Show what a model would have found in what is stored, and how that differs from what was sent.
    Backtest(commands::backtest::Backtest),
    /// Say that an anomaly was none, or that there was one that was not found.
    Feedback(commands::feedback::Feedback),
    /// Show what series are watched with, and change it.
    Models(commands::models::Models),
    /// Show what lasts until it is over; take it on, or end it.
    Alarms(commands::alarms::Alarms),
    /// Make rules and endpoints of a file.
    Apply(commands::apply::Apply),
    /// Show what is told to endpoints, and every attempt at it.
    Deliveries(commands::deliveries::Deliveries),
    /// Make endpoints, which are told of events, and show how they are doing.
    Endpoints(commands::endpoints::Endpoints),
    /// Show why somebody was told of an event, or was not.
    Explain(commands::explain::Explain),
    /// Be an endpoint: verify and print what is told.
    Listen(commands::listen::Listen),
    /// Show the rules that decide which events are told.
    Rules(commands::rules::Rules),
    /// Have some events not told for a while.
    Silences(commands::silences::Silences),
    /// Show what is in the log.
    Events(commands::events::Events),
    /// Show what a time series will be.
    Forecast(commands::forecast::Forecast),
    /// Show the projections that there are.
    Projections(commands::projections::Projections),
    /// Show time series: which there are, or one of them as a plot.
    Series(commands::series::Series),
    /// Show the state of a subject.
    State(commands::state::State),
    /// Make a token for development.
    Token(commands::token::Token),
    /// Show what is on the bus.
    Bus(commands::bus::Bus),
    /// Send what devices, users and services might send.
    Simulate(commands::simulate::Simulate),
    /// Measure.
    Bench(commands::bench::Bench),
    /// Bring the store's schema up to date.
    Migrate,
    /// Print the settings in force, with what is secret masked.
    Config,
}

#[derive(Debug, Args)]
struct SourceFlags {
    /// A TOML file of settings.
    #[arg(long, global = true, env = "CORNJACKET_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// A setting, such as `--set ingest.listen=0.0.0.0:8080`. May be given again.
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", value_parser = key_value)]
    settings: Vec<(String, String)>,
    /// Certificates (PEM) to trust beside those that this machine trusts: the same as `--set tls.ca=FILE`.
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<String>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("must be KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl SourceFlags {
    fn load(self) -> anyhow::Result<Settings> {
        let dotenv = Some(PathBuf::from(".env"));
        let flags = self.settings.into_iter().chain(self.ca.map(|file| ("tls.ca".to_owned(), file)));
        config::load(&Sources { file: self.config, dotenv, flags: flags.collect() })
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    commands::pipe::end_when_nobody_reads();
    tls::install_provider();
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cornjacket: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<()> {
    let mut settings = cli.sources.load()?;
    match cli.command {
        Command::Dev(dev) => dev.run(&mut settings),
        Command::Serve(serve) => serve.run(&settings),
        Command::Consumers(consumers) => consumers.run(&settings),
        Command::DeadLetters(dead_letters) => dead_letters.run(&settings),
        Command::Devices(devices) => devices.run(&settings),
        Command::Anomalies(anomalies) => anomalies.run(&settings),
        Command::Feedback(feedback) => feedback.run(&settings),
        Command::Backtest(backtest) => backtest.run(&settings),
        Command::Models(models) => models.run(&settings),
        Command::Alarms(alarms) => alarms.run(&settings),
        Command::Apply(apply) => apply.run(&settings),
        Command::Deliveries(deliveries) => deliveries.run(&settings),
        Command::Endpoints(endpoints) => endpoints.run(&settings),
        Command::Explain(explain) => explain.run(&settings),
        Command::Listen(listen) => listen.run(&settings),
        Command::Silences(silences) => silences.run(&settings),
        Command::Rules(rules) => rules.run(&settings),
        Command::Events(events) => events.run(&settings),
        Command::Forecast(forecast) => forecast.run(&settings),
        Command::Projections(projections) => projections.run(&settings),
        Command::Series(series) => series.run(&settings),
        Command::State(state) => state.run(&settings),
        Command::Token(token) => token.run(&mut settings),
        Command::Bus(bus) => bus.run(&settings),
        Command::Simulate(simulate) => simulate.run(&settings),
        Command::Bench(bench) => bench.run(&settings),
        Command::Migrate => commands::migrate::run(&settings),
        Command::Config => {
            print!("{}", settings.masked()?);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_verb_can_be_parsed() {
        Cli::command().debug_assert();
    }
}
