//! `cornjacket consumers`: how far every consumer has come, and pausing one.

use clap::{Args, Subcommand};
use cornjacket_proto::admin::{
    ConsumerProgress, ListConsumersRequest, PauseConsumerRequest, ResumeConsumerRequest,
};

use super::client::{Server, told};
use super::table;
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket consumers`.
#[derive(Debug, Args)]
pub struct Consumers {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List them: the default.
    List,
    /// Stop one, in every process, until it is resumed.
    Pause {
        /// The consumer's name.
        consumer: String,
    },
    /// Let a paused one go on.
    Resume {
        /// The consumer's name.
        consumer: String,
    },
}

impl Consumers {
    /// Does it, and prints what came of it.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            let mut admin = self.server.admin(settings).await?;
            match self.verb.unwrap_or(Verb::List) {
                Verb::List => {
                    let listed = admin.list_consumers(ListConsumersRequest {}).await;
                    let listed = listed.map_err(|status| told(&status))?.into_inner().consumers;
                    print!("{}", table::of(&HEAD, listed.iter().map(row)));
                }
                Verb::Pause { consumer } => {
                    let request = PauseConsumerRequest { consumer: consumer.clone() };
                    admin.pause_consumer(request).await.map_err(|status| told(&status))?;
                    println!("{consumer} is paused");
                }
                Verb::Resume { consumer } => {
                    let request = ResumeConsumerRequest { consumer: consumer.clone() };
                    admin.resume_consumer(request).await.map_err(|status| told(&status))?;
                    println!("{consumer} goes on");
                }
            }
            Ok(())
        })
    }
}

const HEAD: [&str; 8] =
    ["consumer", "partition", "position", "lag", "lag s", "state", "parked keys", "dead letters"];

fn row(progress: &ConsumerProgress) -> [String; 8] {
    let seconds = progress.lag.as_ref().map_or(0, |lag| lag.seconds);
    let state = match progress.reason.as_str() {
        "" => progress.state.clone(),
        reason => format!("{} ({reason})", progress.state),
    };
    [
        progress.consumer.clone(),
        format!("{}/{}", progress.topic, progress.partition),
        progress.last_position.to_string(),
        progress.lag_events.to_string(),
        seconds.to_string(),
        state,
        progress.parked_keys.to_string(),
        progress.dead_letters.to_string(),
    ]
}
