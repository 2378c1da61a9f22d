//! Flags of an endpoint that is told by PagerDuty.

use std::path::PathBuf;

use clap::Args;
use cornjacket_proto::actions::PagerDuty;
use cornjacket_proto::actions::endpoint::Channel;

use super::create;

/// Flags of `cornjacket endpoints create NAME pagerduty`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// A file with the integration key of the service, or `-` for standard input.
    #[arg(long, value_name = "FILE")]
    routing_key_file: PathBuf,
    /// Where the Events API is; by default PagerDuty's own, outside Europe.
    #[arg(long, default_value = "")]
    url: String,
}

impl Flags {
    pub(super) fn channel(self) -> anyhow::Result<Channel> {
        let routing_key = create::secret("routing-key-file", &self.routing_key_file)?;
        Ok(Channel::Pagerduty(PagerDuty { routing_key, url: self.url }))
    }
}
