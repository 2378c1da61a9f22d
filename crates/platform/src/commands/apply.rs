//! `cornjacket apply`: rules and endpoints as they are in a file, made or changed until there are such.
//!
//! The file is TOML or JSON with lists `endpoints` and `rules`, whose fields are those of protobuf's JSON form of `Endpoint` and
//! `Rule`. What is not in the file is left as it is.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use cornjacket_proto::actions::{
    CreateEndpointRequest, CreateRuleRequest, Endpoint, GetEndpointRequest, GetRuleRequest, Rule,
    UpdateEndpointRequest, UpdateRuleRequest,
};
use cornjacket_proto::{DynamicMessage, actions::action_service_client::ActionServiceClient};
use prost::Message;
use serde::Deserialize;
use serde_json::Value;
use tonic::Code;

use super::client::{Connection, Server, told};
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket apply`.
#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    server: Server,
    /// The file: `.toml` or `.json`.
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
}

/// What a file may have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    #[serde(default)]
    endpoints: Vec<Value>,
    #[serde(default)]
    rules: Vec<Value>,
}

/// What became of one of them.
enum Applied {
    Made,
    Changed,
    Unchanged,
}

impl Apply {
    /// Does it, and prints a line for each.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let contents = Contents::of(&self.file).with_context(|| format!("--file {}", self.file.display()))?;
        // All of it is read before any of it is done.
        let endpoints: Vec<Endpoint> = read("endpoints", &contents.endpoints)?;
        let rules = contents.rules()?;
        anyhow::ensure!(
            !endpoints.is_empty() || !rules.is_empty(),
            "--file {}: has neither endpoints nor rules",
            self.file.display()
        );
        telemetry::block_on(&settings.log, async {
            let mut actions = self.server.actions(settings).await?;
            // Endpoints first: rules name them.
            for endpoint in endpoints {
                let name = endpoint.name.clone();
                let applied = apply_endpoint(&mut actions, endpoint).await;
                say("endpoint", &name, &applied.with_context(|| format!("endpoint {name:?}"))?);
            }
            for rule in rules {
                let name = rule.name.clone();
                let applied = apply_rule(&mut actions, rule).await;
                say("rule", &name, &applied.with_context(|| format!("rule {name:?}"))?);
            }
            Ok(())
        })
    }
}

impl Contents {
    /// Of that file, `.toml` or `.json`.
    pub fn of(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)?;
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Ok(toml::from_str(&text)?),
            Some("json") => Ok(serde_json::from_str(&text)?),
            _ => anyhow::bail!("must end in .toml or .json"),
        }
    }

    /// Its rules.
    pub fn rules(&self) -> anyhow::Result<Vec<Rule>> {
        read("rules", &self.rules)
    }
}

/// Messages of a list, no two of one name.
fn read<M: Message + prost::Name + Default>(list: &str, values: &[Value]) -> anyhow::Result<Vec<M>> {
    let name = |value: &Value| value.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut names = BTreeSet::new();
    let one = |(index, value): (usize, &Value)| {
        let place = || format!("{list}[{index}] {:?}", name(value));
        anyhow::ensure!(names.insert(name(value)), "{}: there is one of that name before it", place());
        message(value).with_context(place)
    };
    values.iter().enumerate().map(one).collect()
}

/// A message in protobuf's JSON form.
pub(super) fn message<M: Message + prost::Name + Default>(value: &Value) -> anyhow::Result<M> {
    let dynamic = DynamicMessage::deserialize(cornjacket_proto::descriptor_of::<M>(), value)?;
    Ok(M::decode(dynamic.encode_to_vec().as_slice())?)
}

fn say(kind: &str, name: &str, applied: &Applied) {
    let applied = match applied {
        Applied::Made => "made",
        Applied::Changed => "changed",
        Applied::Unchanged => "as it was",
    };
    println!("{kind} {name}: {applied}");
}

type Actions = ActionServiceClient<Connection>;

async fn apply_rule(actions: &mut Actions, rule: Rule) -> anyhow::Result<Applied> {
    let found = actions.get_rule(GetRuleRequest { name: rule.name.clone() }).await;
    match found.map(|found| found.into_inner().rule.unwrap_or_default()) {
        Err(status) if status.code() == Code::NotFound => {
            actions
                .create_rule(CreateRuleRequest { rule: Some(rule) })
                .await
                .map_err(|status| told(&status))?;
            Ok(Applied::Made)
        }
        Err(status) => Err(told(&status)),
        Ok(known) => {
            // What the server says of itself is as it is.
            let wanted = Rule {
                version: known.version,
                etag: known.etag.clone(),
                created_by: known.created_by.clone(),
                create_time: known.create_time,
                updated_by: known.updated_by.clone(),
                update_time: known.update_time,
                ..rule
            };
            if wanted == known {
                return Ok(Applied::Unchanged);
            }
            let request = UpdateRuleRequest { rule: Some(wanted), ..Default::default() };
            actions.update_rule(request).await.map_err(|status| told(&status))?;
            Ok(Applied::Changed)
        }
    }
}

async fn apply_endpoint(actions: &mut Actions, endpoint: Endpoint) -> anyhow::Result<Applied> {
    let found = actions.get_endpoint(GetEndpointRequest { name: endpoint.name.clone() }).await;
    match found.map(|found| found.into_inner().endpoint.unwrap_or_default()) {
        Err(status) if status.code() == Code::NotFound => {
            let request = CreateEndpointRequest { endpoint: Some(endpoint) };
            let made = actions.create_endpoint(request).await.map_err(|status| told(&status))?.into_inner();
            // Only webhooks have one.
            if !made.verification_key.is_empty() {
                eprintln!(
                    "its receiver verifies with this, which cannot be shown again: {}",
                    made.verification_key
                );
            }
            Ok(Applied::Made)
        }
        Err(status) => Err(told(&status)),
        Ok(known) => {
            let wanted = Endpoint {
                etag: known.etag.clone(),
                disabled_reason: known.disabled_reason.clone(),
                health: known.health,
                created_by: known.created_by.clone(),
                create_time: known.create_time,
                updated_by: known.updated_by.clone(),
                update_time: known.update_time,
                secret_hint: known.secret_hint.clone(),
                ..endpoint
            };
            if wanted == known {
                return Ok(Applied::Unchanged);
            }
            let request = UpdateEndpointRequest { endpoint: Some(wanted), ..Default::default() };
            actions.update_endpoint(request).await.map_err(|status| told(&status))?;
            Ok(Applied::Changed)
        }
    }
}
