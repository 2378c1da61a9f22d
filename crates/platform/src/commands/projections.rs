//! `cornjacket projections`: what state is made of events, and making it anew.

use clap::{Args, Subcommand};
use cornjacket_proto::admin::RebuildProjectionRequest;
use cornjacket_proto::query::ListProjectionsRequest;
use futures::StreamExt;

use super::client::{Server, told};
use super::{progress, table};
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket projections`.
#[derive(Debug, Args)]
pub struct Projections {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List them: the default.
    List,
    /// Make one anew from the log; what there is answers questions until that is done.
    Rebuild {
        /// The projection, such as `device_state`.
        projection: String,
    },
}

impl Projections {
    /// Asks and prints.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            match self.verb.unwrap_or(Verb::List) {
                Verb::List => list(&self.server, settings).await,
                Verb::Rebuild { projection } => rebuild(&self.server, settings, projection).await,
            }
        })
    }
}

async fn list(server: &Server, settings: &Settings) -> anyhow::Result<()> {
    let response = server.query(settings).await?.list_projections(ListProjectionsRequest {}).await;
    let listed = response.map_err(|status| told(&status))?.into_inner().projections;
    let rows = listed.into_iter().map(|one| {
        [one.name, one.version.to_string(), one.build.to_string(), one.types.join(" "), one.topics.join(" ")]
    });
    print!("{}", table::of(&["PROJECTION", "VERSION", "BUILD", "READS", "FROM"], rows));
    Ok(())
}

async fn rebuild(server: &Server, settings: &Settings, projection: String) -> anyhow::Result<()> {
    let mut admin = server.admin_stream(settings).await?;
    let request = RebuildProjectionRequest { projection: projection.clone() };
    let response = admin.rebuild_projection(request).await.map_err(|status| told(&status))?;
    let mut messages = response.into_inner();
    let bar = progress::positions();
    let mut live = None;
    while let Some(message) = messages.next().await {
        let message = message.map_err(|status| told(&status))?;
        bar.set_length(message.until_position.max(bar.length().unwrap_or_default()));
        bar.set_position(message.position.max(bar.position()));
        live = message.live.then_some(message.build);
    }
    bar.finish_and_clear();
    let build = live.ok_or_else(|| anyhow::anyhow!("the call ended before {projection} was rebuilt"))?;
    println!("{projection} is rebuilt: build {build} answers questions");
    Ok(())
}
