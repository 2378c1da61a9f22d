//! `cornjacket endpoints create`: an endpoint with one of the channels, each with its own flags.
//!
//! Secrets come from files or from standard input, and never from the command line, which everybody on the machine can read.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use cornjacket_proto::actions::endpoint::Channel;
use cornjacket_proto::actions::{CreateEndpointRequest, Endpoint, RetrySchedule};

use super::super::client::{Server, told};
use super::{email, http_request, pagerduty, slack, webhook};
use crate::config::Settings;

/// Flags of `cornjacket endpoints create`.
#[derive(Debug, Args)]
pub struct Create {
    /// Its name.
    name: String,
    /// When something is tried again.
    #[arg(long, default_value = "adr", global = true)]
    retry: Schedule,
    /// Deliveries about one subject arrive in order.
    #[arg(long, global = true)]
    ordered: bool,
    #[command(subcommand)]
    by: By,
}

/// How it is told.
#[derive(Debug, Subcommand)]
enum By {
    /// By a signed POST. What its receiver verifies signatures with is printed: this once.
    Webhook(webhook::Flags),
    /// By a mail.
    Email(email::Flags),
    /// By a request made of templates.
    Http(http_request::Flags),
    /// By a message in a channel of Slack.
    Slack(slack::Flags),
    /// By an alert of PagerDuty.
    Pagerduty(pagerduty::Flags),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Schedule {
    Adr,
    Page,
    Sync,
}

impl Create {
    /// Makes it.
    pub async fn run(self, server: &Server, settings: &Settings) -> anyhow::Result<()> {
        let endpoint = Endpoint {
            name: self.name,
            retry: self.retry.to_proto().into(),
            ordered: self.ordered,
            channel: Some(self.by.channel()?),
            ..Endpoint::default()
        };
        let request = CreateEndpointRequest { endpoint: Some(endpoint) };
        let mut actions = server.actions(settings).await?;
        let made = actions.create_endpoint(request).await.map_err(|status| told(&status))?.into_inner();
        let name = made.endpoint.map(|endpoint| endpoint.name).unwrap_or_default();
        if made.verification_key.is_empty() {
            eprintln!("{name}: made");
        } else {
            eprintln!("{name}: made; its receiver verifies with this, which cannot be shown again:");
            println!("{}", made.verification_key);
        }
        Ok(())
    }
}

impl By {
    fn channel(self) -> anyhow::Result<Channel> {
        match self {
            Self::Webhook(flags) => Ok(flags.channel()),
            Self::Email(flags) => flags.channel(),
            Self::Http(flags) => flags.channel(),
            Self::Slack(flags) => flags.channel(),
            Self::Pagerduty(flags) => flags.channel(),
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

/// What is in a file of a flag, or on standard input where that is `-`.
pub(super) fn read(flag: &str, file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    if file.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).with_context(|| format!("--{flag} -"))?;
    } else {
        text = std::fs::read_to_string(file).with_context(|| format!("--{flag} {}", file.display()))?;
    }
    Ok(text)
}

/// A secret of a flag, of which the end of its line is no part.
pub(super) fn secret(flag: &str, file: &Path) -> anyhow::Result<String> {
    let text = read(flag, file)?;
    let secret = text.trim();
    anyhow::ensure!(!secret.is_empty(), "--{flag} {}: is empty", file.display());
    Ok(secret.to_owned())
}
