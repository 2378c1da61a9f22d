//! Flags of an endpoint that is told by Slack.

use std::path::PathBuf;

use clap::Args;
use cornjacket_proto::actions::Slack;
use cornjacket_proto::actions::endpoint::Channel;

use super::create;

/// Flags of `cornjacket endpoints create NAME slack`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// A file with the URL of the incoming webhook, or `-` for standard input: whoever knows it can write there.
    #[arg(long, value_name = "FILE")]
    url_file: PathBuf,
}

impl Flags {
    pub(super) fn channel(self) -> anyhow::Result<Channel> {
        Ok(Channel::Slack(Slack { url: create::secret("url-file", &self.url_file)? }))
    }
}
