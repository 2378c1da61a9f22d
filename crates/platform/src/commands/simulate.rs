//! `cornjacket simulate`: events as devices, users and services might send them.

use std::num::NonZeroU64;
use std::time::Duration;

use clap::Args;
use cornjacket_domain::{Clock, SystemClock, Timestamp};
use cornjacket_simulator::{Options, Share, Simulation};
use indicatif::{ProgressBar, ProgressStyle};

use super::client::here;
use crate::config::Settings;
use crate::simulate::{Feed, Pace, Sender, Tally, run};
use crate::telemetry;

/// Flags of `cornjacket simulate`.
///
/// The same seed, start and flags of who is simulated give the same events, however fast they are sent: sent again, all
/// of them are duplicates.
#[derive(Debug, Args)]
pub struct Simulate {
    /// The ingest listener of the running Cornjacket; by default that of the settings on this machine.
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    #[command(flatten)]
    world: World,
    /// Events a second; 0 is as fast as the server takes them. Without it each event is sent when its time has come by
    /// the simulated clock.
    #[arg(long, value_name = "EVENTS")]
    rate: Option<u64>,
    /// Stop after so many events. Without --count and --duration it goes on until it is stopped.
    #[arg(long, value_name = "EVENTS", conflicts_with = "duration")]
    count: Option<usize>,
    /// Stop after so long, such as 90s or 5m.
    #[arg(long, value_parser = humantime::parse_duration)]
    duration: Option<Duration>,
    /// The most events in one call.
    #[arg(long, value_name = "EVENTS", default_value = "500", value_parser = batch)]
    batch: usize,
    /// How long to try again while the server is busy or away.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    patience: Duration,
}

/// Who is simulated, and what befalls them.
#[derive(Debug, Args)]
struct World {
    /// Another seed is another world.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When the simulated clock begins, such as 2026-01-01T00:00:00Z; now by default.
    #[arg(long, value_name = "TIME", value_parser = time)]
    start: Option<Timestamp>,
    /// Devices: temperature, humidity, pressure and vibration every 10 seconds.
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    devices: u32,
    /// Users: sessions of a handful of actions, more by day.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    users: u32,
    /// Services: a heartbeat every 15 seconds, and changes of status.
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    services: u32,
    /// Share of readings at which a fault begins: a stuck value, a spike, a drift, or a device that goes offline.
    #[arg(long, value_name = "SHARE", default_value = "0.05%")]
    faults: Share,
    /// Share of events that are sent twice.
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    duplicates: Share,
    /// Share of events that are sent late.
    #[arg(long, value_name = "SHARE", default_value = "1%")]
    late: Share,
    /// The most that they are late by, on the simulated clock.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = humantime::parse_duration)]
    late_by: Duration,
    /// Share of readings that PostgreSQL cannot keep in a state, so that they park their device.
    #[arg(long, value_name = "SHARE", default_value = "0")]
    poison: Share,
}

fn time(text: &str) -> Result<Timestamp, String> {
    let parsed: cornjacket_proto::Timestamp = text.parse().map_err(|_| "must be as in RFC 3339")?;
    Timestamp::from_proto(&parsed).ok_or_else(|| "must be in the years 1 to 9999".to_owned())
}

fn batch(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|batch| *batch > 0).ok_or_else(|| "must be above zero".to_owned())
}

impl World {
    fn options(&self, now: Timestamp) -> Options {
        Options {
            seed: self.seed,
            start: self.start.unwrap_or(now),
            devices: self.devices,
            users: self.users,
            services: self.services,
            faults: self.faults,
            duplicates: self.duplicates,
            late: self.late,
            late_by: self.late_by,
            poison: self.poison,
        }
    }
}

impl Simulate {
    /// Sends, and prints what became of it.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            let address = self.server.clone().unwrap_or_else(|| here(settings, settings.ingest.listen));
            let sender = Sender::connect(&address, settings, self.patience).await?;
            let options = self.world.options(SystemClock.now());
            eprintln!("{}", announcement(&address, &options));
            let events = Simulation::new(options);
            let feed = Feed::new(events, self.pace(options.start), self.batch, self.count, self.duration);
            let mut tally = Tally::default();
            let outcome = run(feed, &sender, &self.bar(), &mut tally).await;
            print!("{tally}");
            outcome
        })
    }

    fn pace(&self, start: Timestamp) -> Pace {
        match self.rate.map(NonZeroU64::new) {
            None => Pace::Clock(start),
            Some(None) => Pace::Unlimited,
            Some(Some(rate)) => Pace::PerSecond(rate),
        }
    }

    /// Drawn on a terminal, and nowhere else.
    fn bar(&self) -> ProgressBar {
        let seconds = self.duration.map(|duration| duration.as_secs());
        let total =
            self.count.map(|count| count as u64).or_else(|| Some(self.rate?.saturating_mul(seconds?)));
        let (bar, template) = match total.filter(|total| *total > 0) {
            Some(total) => (ProgressBar::new(total), "{bar:30} {human_pos} of {human_len}"),
            None => (ProgressBar::new_spinner(), "{spinner} {human_pos}"),
        };
        let template = format!("{template} events, {{msg}}");
        bar.with_style(ProgressStyle::with_template(&template).expect("a template of ours"))
    }
}

fn announcement(address: &str, options: &Options) -> String {
    let Options { devices, users, services, seed, start, .. } = options;
    let start = start.to_proto();
    format!(
        "{devices} devices, {users} users and {services} services send to {address}. \
         The same again: --seed {seed} --start {start}"
    )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        simulate: Simulate,
    }

    fn parse(flags: &[&str]) -> Result<Simulate, String> {
        let cli = Cli::try_parse_from([&["simulate"], flags].concat());
        cli.map(|cli| cli.simulate).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_say_what_is_simulated() {
        let flags = ["--seed", "7", "--start", "1970-01-01T00:00:01Z", "--late", "5%", "--late-by", "1h"];
        let options = parse(&flags).expect("good flags").world.options(Timestamp::default());
        assert_eq!((options.seed, options.start.as_micros()), (7, 1_000_000));
        assert_eq!((Some(options.late), options.late_by), (Share::new(0.05), Duration::from_hours(1)));
        let defaults = parse(&[]).expect("defaults").world.options(Timestamp::from_micros(5));
        assert_eq!((defaults.start.as_micros(), defaults.poison), (5, Share::NONE));
    }

    #[test]
    fn the_pace_is_the_clock_a_rate_or_none() {
        let pace = |flags: &[&str]| parse(flags).expect("good flags").pace(Timestamp::default());
        assert!(matches!(pace(&[]), Pace::Clock(_)));
        assert!(matches!(pace(&["--rate", "0"]), Pace::Unlimited));
        assert!(matches!(pace(&["--rate", "5"]), Pace::PerSecond(rate) if rate.get() == 5));
    }

    #[test]
    fn bad_flags_are_named() {
        for (flag, value) in
            [("--late", "2"), ("--start", "noon"), ("--duration", "x"), ("--batch", "0"), ("--seed", "-")]
        {
            assert!(parse(&[flag, value]).is_err_and(|error| error.contains(flag)), "{flag}");
        }
        assert!(parse(&["--count", "1", "--duration", "1s"]).is_err());
    }
}
