//! `cornjacket token`: tokens for development.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use cornjacket_auth::{DEFAULT_LIFETIME, TokenRequest};
use cornjacket_domain::Scope;

use super::dev;
use crate::config::Settings;
use crate::identity;

/// Flags of `cornjacket token`.
///
/// The token is signed with auth.secret or, where that is not set, with the secret of a `cornjacket dev`.
#[derive(Debug, Args)]
pub struct Token {
    /// Whom it stands for: the claim `sub`.
    #[arg(long, default_value = "developer")]
    name: String,
    /// What they may do, separated by commas; by default everything but `insights`, which is for models that send
    /// events of types `ai.*` and need `ingest` too.
    #[arg(long, value_delimiter = ',', default_values = ["ingest", "query", "actions", "admin"], value_parser = scope)]
    scopes: Vec<Scope>,
    /// Only with subjects that match, in which * stands for any text. May be given again.
    #[arg(long = "subject", value_name = "PATTERN")]
    subjects: Option<Vec<String>>,
    /// Only with sources that match. May be given again.
    #[arg(long = "source", value_name = "PATTERN")]
    sources: Option<Vec<String>>,
    /// How long it is good for, at most 24h.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    lifetime: Option<Duration>,
    /// The data folder of the `cornjacket dev` whose secret is used when auth.secret is not set.
    #[arg(long, default_value = dev::DATA, value_name = "FOLDER")]
    data: PathBuf,
}

fn scope(name: &str) -> Result<Scope, String> {
    Scope::by_name(name).ok_or_else(|| "must be ingest, query, actions, admin or insights".to_owned())
}

impl Token {
    /// Prints it.
    pub fn run(self, settings: &mut Settings) -> anyhow::Result<()> {
        dev::adopt_secret(settings, &self.data)?;
        let auth = &settings.auth;
        let request = TokenRequest {
            subjects: self.subjects,
            sources: self.sources,
            lifetime: self.lifetime.unwrap_or(DEFAULT_LIFETIME),
            ..identity::token_request(auth, &self.name, &self.scopes)
        };
        println!("{}", identity::minted(auth, &request)?);
        Ok(())
    }
}
