//! `cornjacket rules test`: what rules would tell, of which nobody is told.

use std::io::Read;
use std::path::Path;

use anyhow::Context;
use clap::Args;
use cornjacket_proto::actions::alarm::Change;
use cornjacket_proto::actions::decision::Outcome;
use cornjacket_proto::actions::test_rule_request::{History, Over, Tested};
use cornjacket_proto::actions::test_rule_response::Match;
use cornjacket_proto::actions::{Severity, TestRuleRequest, TestRuleResponse};
use cornjacket_proto::events::Event;
use prost_types::Timestamp;

use super::super::apply::{Contents, message};
use super::super::client::{Server, told};
use super::super::moment::moment;
use super::super::{json, table};
use crate::config::Settings;

/// Flags of `cornjacket rules test`.
#[derive(Debug, Args)]
pub struct Test {
    /// A file with rules as `cornjacket apply` takes it (`.toml` or `.json`), or the name of a rule that there is.
    #[arg(value_name = "FILE|NAME")]
    what: String,
    /// Run it over this event, as JSON in a file; `-` is the standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["since", "until", "after"])]
    event: Option<String>,
    /// Run it over what was stored from this time on: a time (RFC 3339), or how long ago.
    #[arg(long, value_parser = moment, value_name = "TIME", default_value = "24h")]
    since: Timestamp,
    /// Only over what was stored before this time, likewise.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Go on behind this position in the log.
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    after: u64,
    /// Show at most this many matches.
    #[arg(long, default_value_t = 20)]
    limit: u16,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

impl Test {
    /// Asks and prints, one rule after the other.
    pub async fn run(self, server: &Server, settings: &Settings) -> anyhow::Result<()> {
        let (tested, over) = (self.tested()?, self.over()?);
        let mut actions = server.actions(settings).await?;
        for (name, tested) in tested {
            let request = TestRuleRequest {
                tested: Some(tested),
                over: Some(over.clone()),
                limit: self.limit.max(1).into(),
            };
            let answer = actions.test_rule(request).await.map_err(|status| told(&status));
            let answer = answer.with_context(|| format!("rule {name:?}"))?.into_inner();
            if self.json {
                println!("{}", json::pretty(&answer)?);
            } else {
                print!("{}", summary(&name, answer));
            }
        }
        Ok(())
    }

    /// What is tested, by name.
    fn tested(&self) -> anyhow::Result<Vec<(String, Tested)>> {
        let file = Path::new(&self.what);
        if file.extension().is_none() {
            return Ok(vec![(self.what.clone(), Tested::Name(self.what.clone()))]);
        }
        let contents = Contents::of(file).with_context(|| self.what.clone())?;
        Ok(contents.rules()?.into_iter().map(|rule| (rule.name.clone(), Tested::Rule(rule))).collect())
    }

    fn over(&self) -> anyhow::Result<Over> {
        let Some(file) = &self.event else {
            return Ok(Over::History(History {
                start_time: Some(self.since),
                end_time: self.until,
                after_position: self.after,
            }));
        };
        let read = || -> anyhow::Result<Event> { message(&serde_json::from_str(&text(file)?)?) };
        Ok(Over::Event(read().with_context(|| format!("--event {file}"))?))
    }
}

fn text(file: &str) -> std::io::Result<String> {
    if file != "-" {
        return std::fs::read_to_string(file);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

fn summary(name: &str, answer: TestRuleResponse) -> String {
    let count = |outcome: Outcome, count: u64| format!("{count} {}", word(outcome));
    let counts: Vec<String> = answer.counts.iter().map(|one| count(one.outcome(), one.count)).collect();
    let matched: u64 = answer.counts.iter().map(|one| one.count).sum();
    let mut lines = format!("{name}: means {matched} of {} events that were looked at", answer.events_read);
    if !counts.is_empty() {
        lines = format!("{lines}: {}", counts.join(", "));
    }
    for problem in &answer.problems {
        lines = format!("{lines}\n{}: {}", problem.field, problem.description);
    }
    if answer.next_after_position > 0 {
        lines = format!(
            "{lines}\nthere is more, as if nothing had been told: --after {}",
            answer.next_after_position
        );
    }
    if answer.matches.is_empty() {
        return format!("{lines}\n");
    }
    let head = ["position", "stored", "type", "subject", "outcome", "severity", "what is said, or why not"];
    format!("{}{lines}\n", table::of(&head, answer.matches.into_iter().map(row)))
}

fn row(one: Match) -> [String; 7] {
    let (severity, change) = (one.severity(), one.alarm_change());
    let decision = one.decision.unwrap_or_default();
    let outcome = decision.outcome();
    let said = match one.tellings.into_iter().next() {
        None => decision.reason,
        Some(told) => match changed(change) {
            None => told.title,
            Some(change) => format!("[{change}] {}", told.title),
        },
    };
    let position = if decision.position == 0 { "-".to_owned() } else { decision.position.to_string() };
    let stored = decision.first_time.unwrap_or_default().to_string();
    let severity = severity_word(severity);
    [position, stored, decision.event_type, decision.subject, word(outcome), severity, said]
}

fn word(outcome: Outcome) -> String {
    outcome.as_str_name().trim_start_matches("OUTCOME_").to_lowercase()
}

fn severity_word(severity: Severity) -> String {
    severity.as_str_name().trim_start_matches("SEVERITY_").to_lowercase()
}

/// What has become of an alarm, as receivers are told.
fn changed(change: Change) -> Option<String> {
    let name = change.as_str_name().trim_start_matches("CHANGE_").to_lowercase().replace('_', "-");
    (change != Change::Unspecified).then_some(name)
}
