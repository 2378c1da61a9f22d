//! What `cornjacket dev` begins with: anomalies are told to `cornjacket listen`.

use std::path::Path;

use cornjacket_proto::actions::{
    CreateEndpointRequest, CreateRuleRequest, Endpoint, ListEndpointsRequest, ListRulesRequest, Rule,
    Webhook, endpoint,
};

use super::{LISTEN_KEY, make_once};
use crate::commands::client::{Connection, connect, here, told};
use crate::config::Settings;

const ENDPOINT: &str = "listen";
const URL: &str = "http://127.0.0.1:9000";
const RULE: &str = "anomalies";

/// Makes a rule and an endpoint where there has never been any: what somebody has changed or ended stays so.
pub async fn make(settings: &Settings, folder: &Path) -> anyhow::Result<()> {
    let key = folder.join(LISTEN_KEY);
    if key.exists() {
        return Ok(());
    }
    let address = here(settings, settings.actions.listen);
    let connection = connect(&address, settings, |endpoint| endpoint).await?;
    let mut actions = Actions::new(connection);
    let rules = actions.list_rules(ListRulesRequest::default()).await.map_err(|status| told(&status))?;
    let endpoints = actions.list_endpoints(ListEndpointsRequest::default()).await;
    let endpoints = endpoints.map_err(|status| told(&status))?;
    if !rules.into_inner().rules.is_empty() || !endpoints.into_inner().endpoints.is_empty() {
        return Ok(());
    }
    let request = CreateEndpointRequest { endpoint: Some(listener()) };
    let made = actions.create_endpoint(request).await.map_err(|status| told(&status))?.into_inner();
    let request = CreateRuleRequest { rule: Some(rule()) };
    actions.create_rule(request).await.map_err(|status| told(&status))?;
    make_once(&key, || made.verification_key)
}

type Actions = cornjacket_proto::actions::action_service_client::ActionServiceClient<Connection>;

fn listener() -> Endpoint {
    let webhook = Webhook { url: URL.to_owned(), ..Webhook::default() };
    Endpoint {
        name: ENDPOINT.to_owned(),
        channel: Some(endpoint::Channel::Webhook(webhook)),
        ..Endpoint::default()
    }
}

fn rule() -> Rule {
    Rule {
        name: RULE.to_owned(),
        types: vec!["ai.anomaly_detected".to_owned()],
        endpoints: vec![ENDPOINT.to_owned()],
        ..Rule::default()
    }
}
