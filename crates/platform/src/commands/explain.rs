//! `cornjacket explain`: why somebody was told of an event, or was not.

use clap::Args;
use cornjacket_proto::actions::ExplainNotificationRequest;

use super::client::{Server, told};
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket explain`.
#[derive(Debug, Args)]
pub struct Explain {
    #[command(flatten)]
    server: Server,
    /// The event's source.
    source: String,
    /// Its id.
    id: String,
}

impl Explain {
    /// Prints a line for each rule.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            let mut actions = self.server.actions(settings).await?;
            let request = ExplainNotificationRequest { event_id: self.id, event_source: self.source };
            let explained = actions.explain_notification(request).await.map_err(|status| told(&status))?;
            let explanations = explained.into_inner().explanations;
            if explanations.is_empty() {
                println!("there is no rule");
            }
            for one in explanations {
                println!("{}", one.summary);
            }
            Ok(())
        })
    }
}
