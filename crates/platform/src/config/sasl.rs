//! How to log in to Kafka.

use serde::{Deserialize, Serialize};

/// Whether the binary was built with TLS to Kafka.
const TLS: bool = cfg!(feature = "kafka-tls");

/// How to log in to Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum Sasl {
    #[serde(rename = "none")]
    Off,
    #[serde(rename = "plain")]
    Plain,
    #[serde(rename = "scram-sha-256")]
    Scram256,
    #[serde(rename = "scram-sha-512")]
    Scram512,
}

impl Sasl {
    /// What Kafka calls it, if there is a login.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Off => None,
            Self::Plain => Some("PLAIN"),
            Self::Scram256 => Some("SCRAM-SHA-256"),
            Self::Scram512 => Some("SCRAM-SHA-512"),
        }
    }

    /// Refuses what this binary cannot do, rather than have every connection fail.
    pub fn check(self, user: &str, tls: bool) -> anyhow::Result<()> {
        let built = "must be built in: this binary lacks the feature kafka-tls";
        anyhow::ensure!(TLS || !tls, "bus.tls: {built}");
        anyhow::ensure!(TLS || matches!(self, Self::Off | Self::Plain), "bus.sasl: {built}");
        anyhow::ensure!(self == Self::Off || !user.is_empty(), "bus.user: must be set, as bus.sasl is");
        Ok(())
    }
}
