//! `cornjacket serve`: some roles or all of them.

use clap::Args;

use crate::config::Settings;
use crate::roles::Role;
use crate::{server, telemetry};

/// Flags of `cornjacket serve`.
#[derive(Debug, Args)]
pub struct Serve {
    /// The roles to run, separated by commas; all by default.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Role::ALL)]
    roles: Vec<Role>,
}

impl Serve {
    /// Runs until a signal to stop.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        anyhow::ensure!(
            !settings.store.url.is_empty(),
            "store.url: must be set, for example CORNJACKET__STORE__URL=postgres://cornjacket@localhost/cornjacket"
        );
        telemetry::block_on(&settings.log, async {
            let Some(running) = server::start(settings, &self.roles).await? else { return Ok(()) };
            for (role, address) in &running.addresses {
                tracing::info!(%role, %address, "listening");
            }
            running.until_stopped().await
        })
    }
}
