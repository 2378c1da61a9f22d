//! `cornjacket endpoints`: who is told of events.

use clap::{Args, Subcommand, ValueEnum};
use cornjacket_proto::actions::{
    CreateEndpointRequest, DeleteEndpointRequest, Endpoint, GetEndpointRequest, ListEndpointsRequest,
    RetrySchedule, Signing, UpdateEndpointRequest, Webhook, endpoint,
};

use super::client::{Server, told};
use super::{json, table};
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
    /// Make an endpoint that is told by webhook, and print what its receiver verifies signatures with: this once.
    Create {
        /// Its name.
        name: String,
        /// Where it is told.
        #[arg(long)]
        url: String,
        /// How it is signed.
        #[arg(long, default_value = "hmac")]
        signing: By,
        /// When something is tried again.
        #[arg(long, default_value = "adr")]
        retry: Schedule,
        /// Deliveries about one subject arrive in order.
        #[arg(long)]
        ordered: bool,
    },
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
    /// End an endpoint that no rule names.
    Delete {
        /// Its name.
        name: String,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Hmac,
    Ed25519,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Schedule {
    Adr,
    Page,
    Sync,
}

impl Endpoints {
    /// Does it, and prints what came of it.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            let server = &self.server;
            match self.verb {
                Verb::Create { name, url, signing, retry, ordered } => {
                    let webhook = Webhook { url, signing: signing.to_proto().into(), ..Webhook::default() };
                    let endpoint = Endpoint {
                        name,
                        retry: retry.to_proto().into(),
                        ordered,
                        channel: Some(endpoint::Channel::Webhook(webhook)),
                        ..Endpoint::default()
                    };
                    create(server, settings, endpoint).await
                }
                Verb::List => list(server, settings).await,
                Verb::Get { name } => {
                    println!("{}", json::pretty(&get(server, settings, name).await?)?);
                    Ok(())
                }
                Verb::Disable { name } => set_disabled(server, settings, name, true).await,
                Verb::Enable { name } => set_disabled(server, settings, name, false).await,
                Verb::Delete { name } => delete(server, settings, name).await,
            }
        })
    }
}

impl By {
    const fn to_proto(self) -> Signing {
        match self {
            Self::Hmac => Signing::Hmac,
            Self::Ed25519 => Signing::Ed25519,
        }
    }
}

impl Schedule {
    const fn to_proto(self) -> RetrySchedule {
        match self {
            Self::Adr => RetrySchedule::Adr,
            Self::Page => RetrySchedule::Page,
            Self::Sync => RetrySchedule::Sync,
        }
    }
}

async fn create(server: &Server, settings: &Settings, endpoint: Endpoint) -> anyhow::Result<()> {
    let request = CreateEndpointRequest { endpoint: Some(endpoint) };
    let made =
        server.actions(settings).await?.create_endpoint(request).await.map_err(|status| told(&status))?;
    let made = made.into_inner();
    let name = made.endpoint.map(|endpoint| endpoint.name).unwrap_or_default();
    eprintln!("{name}: made; its receiver verifies with this, which cannot be shown again:");
    println!("{}", made.verification_key);
    Ok(())
}

async fn list(server: &Server, settings: &Settings) -> anyhow::Result<()> {
    let mut actions = server.actions(settings).await?;
    let (mut request, mut endpoints) =
        (ListEndpointsRequest { page_size: 1_000, ..Default::default() }, Vec::new());
    loop {
        let page =
            actions.list_endpoints(request.clone()).await.map_err(|status| told(&status))?.into_inner();
        endpoints.extend(page.endpoints);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    print!("{}", table::of(&["endpoint", "channel", "to", "doing"], endpoints.into_iter().map(row)));
    Ok(())
}

fn row(endpoint: Endpoint) -> [String; 4] {
    let doing = doing(&endpoint);
    let (channel, to) = match endpoint.channel {
        Some(endpoint::Channel::Webhook(webhook)) => ("webhook", webhook.url),
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
    match health.failures {
        0 => "well".to_owned(),
        failures => format!("{failures} failures in a row"),
    }
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
    let request = UpdateEndpointRequest { endpoint: Some(endpoint) };
    server.actions(settings).await?.update_endpoint(request).await.map_err(|status| told(&status))?;
    println!("{name}: {}", if disabled { "disabled" } else { "enabled" });
    Ok(())
}

async fn delete(server: &Server, settings: &Settings, name: String) -> anyhow::Result<()> {
    let request = DeleteEndpointRequest { name: name.clone(), etag: String::new() };
    server.actions(settings).await?.delete_endpoint(request).await.map_err(|status| told(&status))?;
    println!("{name}: ended");
    Ok(())
}
