//! `cornjacket projections`: what state is made of events.

use clap::Args;
use cornjacket_proto::query::ListProjectionsRequest;

use super::client::{Server, told};
use super::table;
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket projections`.
#[derive(Debug, Args)]
pub struct Projections {
    #[command(flatten)]
    server: Server,
}

impl Projections {
    /// Asks and prints.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            let mut query = self.server.query(settings).await?;
            let response = query.list_projections(ListProjectionsRequest {}).await;
            let listed = response.map_err(|status| told(&status))?.into_inner().projections;
            let rows = listed
                .into_iter()
                .map(|one| [one.name, one.version.to_string(), one.types.join(" "), one.topics.join(" ")]);
            print!("{}", table::of(&["PROJECTION", "VERSION", "READS", "FROM"], rows));
            Ok(())
        })
    }
}
