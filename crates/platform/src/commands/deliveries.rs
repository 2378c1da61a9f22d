//! `cornjacket deliveries`: what is told to endpoints, and every attempt at it.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use cornjacket_domain::{Clock, SystemClock};
use cornjacket_proto::actions::attempt::Outcome;
use cornjacket_proto::actions::delivery::State;
use cornjacket_proto::actions::{
    Attempt, Delivery, GetDeliveryRequest, ListDeliveriesRequest, ResendDeliveriesRequest,
    ResendDeliveryRequest,
};

use super::client::{Server, told};
use super::table;
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket deliveries`.
#[derive(Debug, Args)]
pub struct Deliveries {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List deliveries, the newest first.
    List {
        /// To this endpoint.
        #[arg(long)]
        endpoint: Option<String>,
        /// By this rule.
        #[arg(long)]
        rule: Option<String>,
        /// Of this state.
        #[arg(long)]
        state: Option<Wanted>,
        /// So many, at the most.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i32).range(1..=1_000))]
        limit: i32,
    },
    /// Have a delivery sent again, or what an endpoint has missed.
    Resend {
        /// Its id.
        #[arg(required_unless_present = "endpoint")]
        id: Option<String>,
        /// Everything to this endpoint that was given up.
        #[arg(long, conflicts_with = "id")]
        endpoint: Option<String>,
        /// Of that, what was decided within this time, such as `2h`.
        #[arg(long, value_name = "DURATION", requires = "endpoint", value_parser = humantime::parse_duration)]
        since: Option<Duration>,
    },
    /// Show a delivery with its attempts.
    Show {
        /// Its id.
        id: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Wanted {
    Pending,
    Sending,
    Delivered,
    Dead,
    Gathered,
}

impl Deliveries {
    /// Prints them.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            match self.verb {
                Verb::List { endpoint, rule, state, limit } => {
                    let request = ListDeliveriesRequest {
                        endpoint: endpoint.unwrap_or_default(),
                        rule: rule.unwrap_or_default(),
                        state: state.map_or(State::Unspecified, State::from).into(),
                        page_size: limit,
                        page_token: String::new(),
                    };
                    list(&self.server, settings, request).await
                }
                Verb::Resend { id, endpoint, since } => {
                    resend(&self.server, settings, id, endpoint, since).await
                }
                Verb::Show { id } => show(&self.server, settings, id).await,
            }
        })
    }
}

impl From<Wanted> for State {
    fn from(wanted: Wanted) -> Self {
        match wanted {
            Wanted::Pending => Self::Pending,
            Wanted::Sending => Self::Sending,
            Wanted::Delivered => Self::Delivered,
            Wanted::Dead => Self::Dead,
            Wanted::Gathered => Self::Gathered,
        }
    }
}

async fn list(server: &Server, settings: &Settings, request: ListDeliveriesRequest) -> anyhow::Result<()> {
    let mut actions = server.actions(settings).await?;
    let found = actions.list_deliveries(request).await.map_err(|status| told(&status))?.into_inner();
    let head = ["delivery", "decided", "endpoint", "rule", "event", "state", "attempts", "reason"];
    print!("{}", table::of(&head, found.deliveries.into_iter().map(row)));
    if !found.next_page_token.is_empty() {
        eprintln!("there are more: --limit");
    }
    Ok(())
}

fn row(delivery: Delivery) -> [String; 8] {
    let state = state_of(&delivery);
    let event = format!("{}/{}", delivery.event_source, delivery.event_id);
    let attempts = delivery.attempts.to_string();
    let decided = delivery.create_time.unwrap_or_default().to_string();
    [delivery.id, decided, delivery.endpoint, delivery.rule, event, state, attempts, delivery.reason]
}

/// In a word.
pub(super) fn state_of(delivery: &Delivery) -> String {
    delivery.state().as_str_name().trim_start_matches("STATE_").to_lowercase()
}

async fn resend(
    server: &Server,
    settings: &Settings,
    id: Option<String>,
    endpoint: Option<String>,
    since: Option<Duration>,
) -> anyhow::Result<()> {
    let mut actions = server.actions(settings).await?;
    if let Some(id) = id {
        let again =
            actions.resend_delivery(ResendDeliveryRequest { id }).await.map_err(|status| told(&status))?;
        let delivery = again.into_inner().delivery.unwrap_or_default();
        println!("{}: {}", delivery.id, state_of(&delivery));
        return Ok(());
    }
    let since = since.map(|span| (SystemClock.now() - span).to_proto());
    let request = ResendDeliveriesRequest { endpoint: endpoint.unwrap_or_default(), since };
    let again = actions.resend_deliveries(request).await.map_err(|status| told(&status))?;
    println!("{} are sent again", again.into_inner().count);
    Ok(())
}

async fn show(server: &Server, settings: &Settings, id: String) -> anyhow::Result<()> {
    let mut actions = server.actions(settings).await?;
    let found = actions.get_delivery(GetDeliveryRequest { id }).await.map_err(|status| told(&status))?;
    let found = found.into_inner();
    let delivery = found.delivery.unwrap_or_default();
    println!(
        "{} to {}: {}{}",
        delivery.id,
        delivery.endpoint,
        state_of(&delivery),
        if delivery.reason.is_empty() { String::new() } else { format!(" ({})", delivery.reason) }
    );
    let source = &delivery.event_source;
    println!("rule {} v{}, event {source} {}", delivery.rule, delivery.rule_version, delivery.event_id);
    println!("decided {}", delivery.create_time.unwrap_or_default());
    if let Some(next) = delivery.next_attempt_time {
        println!("next attempt not before {next}");
    }
    if !delivery.told_with.is_empty() {
        println!("told with {}", delivery.told_with);
    }
    let head = ["attempt", "began", "took", "outcome", "status", "address", "error"];
    print!("{}", table::of(&head, found.attempts.into_iter().map(attempt_row)));
    Ok(())
}

fn attempt_row(attempt: Attempt) -> [String; 7] {
    let took = attempt.latency.and_then(|latency| Duration::try_from(latency).ok());
    let outcome = match attempt.outcome() {
        Outcome::Unspecified => "under way".to_owned(),
        outcome => outcome.as_str_name().trim_start_matches("OUTCOME_").to_lowercase(),
    };
    [
        attempt.number.to_string(),
        attempt.start_time.unwrap_or_default().to_string(),
        took.map_or_else(|| "-".to_owned(), |took| format!("{} ms", took.as_millis())),
        outcome,
        if attempt.status == 0 { "-".to_owned() } else { attempt.status.to_string() },
        attempt.address,
        attempt.error,
    ]
}
