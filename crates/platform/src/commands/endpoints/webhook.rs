//! Flags of an endpoint that is told by webhook.

use clap::{Args, ValueEnum};
use cornjacket_proto::actions::endpoint::Channel;
use cornjacket_proto::actions::{Signing, Webhook};

/// Flags of `cornjacket endpoints create NAME webhook`.
#[derive(Debug, Args)]
pub(super) struct Flags {
    /// Where it is told.
    #[arg(long)]
    url: String,
    /// How it is signed.
    #[arg(long, default_value = "hmac")]
    signing: Signed,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Signed {
    Hmac,
    Ed25519,
}

impl Flags {
    pub(super) fn channel(self) -> Channel {
        let signing = match self.signing {
            Signed::Hmac => Signing::Hmac,
            Signed::Ed25519 => Signing::Ed25519,
        };
        Channel::Webhook(Webhook { url: self.url, signing: signing.into(), ..Webhook::default() })
    }
}
