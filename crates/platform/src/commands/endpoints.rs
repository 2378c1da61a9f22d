//! `cornjacket endpoints`: who is told of events.

mod create;
mod email;
mod http_request;
mod pagerduty;
mod rotate;
mod slack;
mod webhook;

use clap::{Args, Subcommand};
use cornjacket_domain::{Clock, SystemClock, Timestamp};
use cornjacket_proto::actions::attempt::Outcome;
use cornjacket_proto::actions::{
    DeleteEndpointRequest, Endpoint, GetEndpointRequest, ListEndpointsRequest, TestEndpointRequest,
    UpdateEndpointRequest, endpoint,
};

use self::create::Create;
use self::rotate::Rotate;
use super::client::{Server, told};
use super::{json, pages, table};
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket endpoints`.
#[derive(Debug, Args)]
pub struct Endpoints {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make an endpoint.
    Create(Create),
    /// List the endpoints, and how they are doing.
    List,
    /// Show an endpoint as JSON.
    Get {
        /// Its name.
        name: String,
    },
    /// Have nothing sent to an endpoint for now; what is for it waits.
    Disable {
        /// Its name.
        name: String,
    },
    /// Have an endpoint told again.
    Enable {
        /// Its name.
        name: String,
    },
    /// Tell an endpoint something now, marked as a test, and say what came of it.
    Test {
        /// Its name.
        name: String,
    },
    /// Sign what a webhook is told with a new key, and for a while with those before it as well. What its receiver verifies with
    /// from now on is printed: this once.
    Rotate(Rotate),
    /// End an endpoint that no rule names.
    Delete {
        /// Its name.
        name: String,
    },
}

impl Endpoints {
    /// Does it, and prints what came of it.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            let server = &self.server;
            match self.verb {
                Verb::Create(create) => create.run(server, settings).await,
                Verb::List => list(server, settings).await,
                Verb::Get { name } => {
                    println!("{}", json::pretty(&get(server, settings, name).await?)?);
                    Ok(())
                }
                Verb::Disable { name } => set_disabled(server, settings, name, true).await,
                Verb::Enable { name } => set_disabled(server, settings, name, false).await,
                Verb::Test { name } => test(server, settings, name).await,
                Verb::Rotate(rotate) => rotate.run(server, settings).await,
                Verb::Delete { name } => delete(server, settings, name).await,
            }
        })
    }
}

async fn list(server: &Server, settings: &Settings) -> anyhow::Result<()> {
    let actions = server.actions(settings).await?;
    let endpoints = pages::all(async |page_token| {
        let request = ListEndpointsRequest { page_size: pages::SIZE, page_token };
        let page = actions.clone().list_endpoints(request).await?.into_inner();
        Ok((page.endpoints, page.next_page_token))
    });
    let endpoints = endpoints.await?;
    print!("{}", table::of(&["endpoint", "channel", "to", "doing"], endpoints.into_iter().map(row)));
    Ok(())
}

fn row(endpoint: Endpoint) -> [String; 4] {
    let doing = doing(&endpoint);
    let (channel, to) = match endpoint.channel {
        Some(endpoint::Channel::Webhook(webhook)) => ("webhook", webhook.url),
        Some(endpoint::Channel::Http(http)) => ("http", http.url),
        Some(endpoint::Channel::Email(email)) => ("email", email.to.join(", ")),
        Some(endpoint::Channel::Pagerduty(_)) => ("pagerduty", endpoint.secret_hint),
        Some(endpoint::Channel::Slack(_)) => ("slack", endpoint.secret_hint),
        None => ("", String::new()),
    };
    [endpoint.name, channel.to_owned(), to, doing]
}

/// In a few words.
fn doing(endpoint: &Endpoint) -> String {
    let health = endpoint.health.unwrap_or_default();
    if endpoint.disabled {
        let reason = Some(&endpoint.disabled_reason).filter(|reason| !reason.is_empty());
        return reason.map_or_else(|| "disabled".to_owned(), |reason| format!("disabled: {reason}"));
    }
    let failures = match health.failures {
        0 => return "well".to_owned(),
        1 => "1 failure".to_owned(),
        failures => format!("{failures} failures in a row"),
    };
    let is_to_come = |until: &prost_types::Timestamp| {
        Timestamp::from_proto(until).is_some_and(|until| until > SystemClock.now())
    };
    let left_alone = health.open_until.filter(is_to_come).map(|until| format!("; left alone until {until}"));
    format!("{failures}{}", left_alone.unwrap_or_default())
}

async fn get(server: &Server, settings: &Settings, name: String) -> anyhow::Result<Endpoint> {
    let mut actions = server.actions(settings).await?;
    let found = actions.get_endpoint(GetEndpointRequest { name }).await.map_err(|status| told(&status))?;
    Ok(found.into_inner().endpoint.unwrap_or_default())
}

async fn set_disabled(
    server: &Server,
    settings: &Settings,
    name: String,
    disabled: bool,
) -> anyhow::Result<()> {
    let endpoint = Endpoint { disabled, ..get(server, settings, name.clone()).await? };
    let request = UpdateEndpointRequest { endpoint: Some(endpoint), ..Default::default() };
    server.actions(settings).await?.update_endpoint(request).await.map_err(|status| told(&status))?;
    println!("{name}: {}", if disabled { "disabled" } else { "enabled" });
    Ok(())
}

async fn test(server: &Server, settings: &Settings, name: String) -> anyhow::Result<()> {
    let request = TestEndpointRequest { name: name.clone() };
    let tried =
        server.actions(settings).await?.test_endpoint(request).await.map_err(|status| told(&status))?;
    let attempt = tried.into_inner().attempt.unwrap_or_default();
    let outcome = attempt.outcome().as_str_name().trim_start_matches("OUTCOME_").to_lowercase();
    anyhow::ensure!(attempt.outcome() == Outcome::Delivered, "{name}: {outcome}: {}", attempt.error);
    println!("{name}: {outcome} to {}, which answered {}", attempt.address, attempt.status);
    Ok(())
}

async fn delete(server: &Server, settings: &Settings, name: String) -> anyhow::Result<()> {
    let request = DeleteEndpointRequest { name: name.clone(), etag: String::new() };
    server.actions(settings).await?.delete_endpoint(request).await.map_err(|status| told(&status))?;
    println!("{name}: ended");
    Ok(())
}
