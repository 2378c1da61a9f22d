//! `cornjacket state get`: what a projection knows of a subject.

use clap::{Args, Subcommand};
use cornjacket_proto::query::GetProjectionRequest;
use prost::Message;

use super::client::{Server, told};
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket state`.
#[derive(Debug, Args)]
pub struct State {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the state of a subject as JSON.
    Get {
        /// The projection, such as `device_state`.
        projection: String,
        /// The subject.
        subject: String,
        /// Wait until the event of this receipt's token is in it.
        #[arg(long, default_value = "")]
        token: String,
    },
}

impl State {
    /// Asks and prints.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let Verb::Get { projection, subject, token: consistency_token } = self.verb;
        telemetry::block_on(&settings.log, async {
            let request = GetProjectionRequest { projection, subject, consistency_token };
            let response = self.server.query(settings).await?.get_projection(request).await;
            let state = response.map_err(|status| told(&status))?.into_inner();
            let json = cornjacket_proto::decode_dynamic::<cornjacket_proto::query::GetProjectionResponse>(
                &state.encode_to_vec(),
            )?;
            println!("{}", serde_json::to_string_pretty(&json)?);
            Ok(())
        })
    }
}
