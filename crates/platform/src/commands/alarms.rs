//! `cornjacket alarms`: what lasts until it is over.

use clap::{Args, Subcommand};
use cornjacket_proto::actions::alarm::State;
use cornjacket_proto::actions::{
    AcknowledgeAlarmRequest, Alarm, ClearAlarmRequest, ListAlarmsRequest, Severity,
};

use super::client::{Server, told};
use super::{pages, table};
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket alarms`.
#[derive(Debug, Args)]
pub struct Alarms {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List alarms that last.
    List {
        /// Also those that are over.
        #[arg(long)]
        all: bool,
    },
    /// Take an alarm on.
    Ack {
        /// Its key.
        key: String,
    },
    /// Say that an alarm is over.
    Clear {
        /// Its key.
        key: String,
    },
}

impl Alarms {
    /// Does it, and prints what came of it.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            match self.verb {
                Verb::List { all } => list(&self.server, settings, all).await,
                Verb::Ack { key } => {
                    let request = AcknowledgeAlarmRequest { key };
                    let mut actions = self.server.actions(settings).await?;
                    let changed = actions.acknowledge_alarm(request).await.map_err(|status| told(&status))?;
                    say(&changed.into_inner().alarm.unwrap_or_default());
                    Ok(())
                }
                Verb::Clear { key } => {
                    let request = ClearAlarmRequest { key };
                    let mut actions = self.server.actions(settings).await?;
                    let changed = actions.clear_alarm(request).await.map_err(|status| told(&status))?;
                    say(&changed.into_inner().alarm.unwrap_or_default());
                    Ok(())
                }
            }
        })
    }
}

async fn list(server: &Server, settings: &Settings, all: bool) -> anyhow::Result<()> {
    let actions = server.actions(settings).await?;
    let alarms = pages::all(async |page_token| {
        let request = ListAlarmsRequest { page_size: pages::SIZE, page_token, ..Default::default() };
        let page = actions.clone().list_alarms(request).await?.into_inner();
        Ok((page.alarms, page.next_page_token))
    });
    let alarms = alarms.await?;
    let shown = alarms.into_iter().filter(|alarm| all || alarm.state() != State::Cleared);
    let head = ["alarm", "state", "severity", "since", "events", "what", "taken on by"];
    print!("{}", table::of(&head, shown.map(row)));
    Ok(())
}

fn row(alarm: Alarm) -> [String; 7] {
    let severity = Severity::try_from(alarm.severity).unwrap_or_default();
    let severity = severity.as_str_name().trim_start_matches("SEVERITY_").to_lowercase();
    let state = state_of(&alarm);
    [
        alarm.key,
        state,
        severity,
        alarm.raise_time.unwrap_or_default().to_string(),
        alarm.event_count.to_string(),
        alarm.title,
        alarm.acknowledged_by,
    ]
}

/// In a word.
fn state_of(alarm: &Alarm) -> String {
    alarm.state().as_str_name().trim_start_matches("STATE_").to_lowercase()
}

fn say(alarm: &Alarm) {
    println!("{}: {}", alarm.key, state_of(alarm));
}
