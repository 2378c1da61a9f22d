//! `cornjacket rules`: which events are told, and to whom.

mod test;

use clap::{Args, Subcommand};
use cornjacket_proto::actions::{DeleteRuleRequest, GetRuleRequest, ListRulesRequest, Rule};

use self::test::Test;
use super::client::{Server, told};
use super::{json, pages, table};
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket rules`.
#[derive(Debug, Args)]
pub struct Rules {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the rules. `cornjacket apply` makes and changes them.
    List,
    /// Show a rule as JSON.
    Get {
        /// Its name.
        name: String,
    },
    /// Run a rule over an event, or over what is stored, and say what would come of that: nobody is told.
    Test(Test),
    /// End a rule.
    Delete {
        /// Its name.
        name: String,
    },
}

impl Rules {
    /// Does it, and prints what came of it.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            match self.verb {
                Verb::List => list(&self.server, settings).await,
                Verb::Get { name } => get(&self.server, settings, name).await,
                Verb::Test(test) => test.run(&self.server, settings).await,
                Verb::Delete { name } => delete(&self.server, settings, name).await,
            }
        })
    }
}

async fn list(server: &Server, settings: &Settings) -> anyhow::Result<()> {
    let actions = server.actions(settings).await?;
    let rules = pages::all(async |page_token| {
        let request = ListRulesRequest { page_size: pages::SIZE, page_token };
        let page = actions.clone().list_rules(request).await?.into_inner();
        Ok((page.rules, page.next_page_token))
    });
    let rules = rules.await?;
    let head = ["rule", "version", "types", "condition", "endpoints", ""];
    print!("{}", table::of(&head, rules.into_iter().map(row)));
    Ok(())
}

fn row(rule: Rule) -> [String; 6] {
    let disabled = if rule.disabled { "disabled" } else { "" };
    [
        rule.name,
        rule.version.to_string(),
        rule.types.join(", "),
        rule.condition,
        rule.endpoints.join(", "),
        disabled.to_owned(),
    ]
}

async fn get(server: &Server, settings: &Settings, name: String) -> anyhow::Result<()> {
    let mut actions = server.actions(settings).await?;
    let found = actions.get_rule(GetRuleRequest { name }).await.map_err(|status| told(&status))?;
    println!("{}", json::pretty(&found.into_inner().rule.unwrap_or_default())?);
    Ok(())
}

async fn delete(server: &Server, settings: &Settings, name: String) -> anyhow::Result<()> {
    let request = DeleteRuleRequest { name: name.clone(), etag: String::new() };
    server.actions(settings).await?.delete_rule(request).await.map_err(|status| told(&status))?;
    println!("{name}: ended");
    Ok(())
}
