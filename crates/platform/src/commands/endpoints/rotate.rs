//! `cornjacket endpoints rotate`: a webhook is signed with a new key.

use std::time::Duration;

use clap::Args;
use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::RotateEndpointSecretRequest;

use super::super::client::{Server, told};
use crate::config::Settings;

/// Flags of `cornjacket endpoints rotate`.
#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Its name.
    name: String,
    /// How long it is signed with the keys before it as well: 7 days at the most; with 0s the new one signs alone at once.
    #[arg(long, value_parser = humantime::parse_duration, default_value = "24h", value_name = "DURATION")]
    overlap: Duration,
}

impl Rotate {
    /// Does it, and prints what the receiver verifies with.
    pub(super) async fn run(self, server: &Server, settings: &Settings) -> anyhow::Result<()> {
        let overlap = Some(self.overlap.try_into()?);
        let request = RotateEndpointSecretRequest { name: self.name.clone(), overlap, ..Default::default() };
        let mut actions = server.actions(settings).await?;
        let rotated = actions.rotate_endpoint_secret(request).await.map_err(|status| told(&status))?;
        let rotated = rotated.into_inner();
        let until = rotated.former_until.as_ref().and_then(Timestamp::from_proto);
        let former = until.map_or_else(
            || "those before it no longer sign".to_owned(),
            |until| format!("those before it sign as well until {}", until.to_proto()),
        );
        eprintln!(
            "{}: has a new key, and {former}; its receiver verifies with this, which cannot be shown again:",
            self.name
        );
        println!("{}", rotated.verification_key);
        Ok(())
    }
}
