//! What can be set of actions.

use std::net::SocketAddr;
use std::time::Duration;

use cornjacket_actions::Rate;
use serde::{Deserialize, Serialize};

use super::Secret;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Actions {
    pub listen: SocketAddr,
    pub attempts_per_minute: u32,
    pub in_flight: u32,
    pub allow: Vec<String>,
    pub secret_key: Secret,
    pub former_secret_keys: Vec<Secret>,
}

impl Actions {
    /// Attempts at all endpoints, at the most; nothing where there is no limit.
    pub fn rate(&self) -> Option<Rate> {
        let per = Duration::from_mins(1);
        (self.attempts_per_minute > 0).then_some(Rate { count: self.attempts_per_minute, per })
    }

    /// Checks what types cannot say. Every message names the setting.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.in_flight > 0, "actions.in_flight: must be above zero");
        Ok(())
    }
}
