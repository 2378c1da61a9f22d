//! Rules: made, read, changed and ended.

use cornjacket_domain::Invalid;
use cornjacket_proto::actions::{
    CreateRuleRequest, DeleteRuleRequest, GetRuleRequest, ListRulesRequest, ListRulesResponse, Rule,
    UpdateRuleRequest,
};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::audit::Action;
use cornjacket_store::{Definition, DefinitionKind, Definitions};
use prost::Message as _;
use tonic::Request;

use super::definitions::{Change, Changing, etag, found, is_new, is_seen, named, page};
use super::{ActionRpc, caller_of, required};
use crate::rules;

const RULE: DefinitionKind = DefinitionKind::Rule;

pub(super) async fn create(rpc: &ActionRpc, request: Request<CreateRuleRequest>) -> Result<Rule, Failure> {
    let caller = caller_of(&request)?;
    let rule = valid(stated(request.into_inner().rule)?)?;
    let action = Action::new(&caller, "create", format!("rules/{}", rule.name));
    put(rpc, action, &rule, |seen| is_new(seen, RULE, &rule.name)).await
}

pub(super) async fn get(rpc: &ActionRpc, request: Request<GetRuleRequest>) -> Result<Rule, Failure> {
    caller_of(&request)?;
    let name = request.into_inner().name;
    required("name", &name)?;
    to_proto(found(&rpc.defined().await?, RULE, &name)?)
}

pub(super) async fn list(
    rpc: &ActionRpc,
    request: Request<ListRulesRequest>,
) -> Result<ListRulesResponse, Failure> {
    caller_of(&request)?;
    let ListRulesRequest { page_size, page_token } = request.into_inner();
    let (found, next_page_token) = page(&rpc.defined().await?, RULE, page_size, &page_token)?;
    let rules = found.iter().map(to_proto).collect::<Result<_, _>>()?;
    Ok(ListRulesResponse { rules, next_page_token })
}

pub(super) async fn update(rpc: &ActionRpc, request: Request<UpdateRuleRequest>) -> Result<Rule, Failure> {
    let caller = caller_of(&request)?;
    let UpdateRuleRequest { rule, name } = request.into_inner();
    let mut rule = stated(rule)?;
    named(name, &mut rule.name)?;
    let rule = valid(rule)?;
    let action = Action::new(&caller, "update", format!("rules/{}", rule.name));
    put(rpc, action, &rule, |seen| is_seen(found(seen, RULE, &rule.name)?, &rule.etag)).await
}

pub(super) async fn delete(rpc: &ActionRpc, request: Request<DeleteRuleRequest>) -> Result<(), Failure> {
    let caller = caller_of(&request)?;
    let DeleteRuleRequest { name, etag } = request.into_inner();
    required("name", &name)?;
    let action = Action::new(&caller, "delete", format!("rules/{name}"));
    let changing = Changing { kind: RULE, name: &name, action };
    let end = |seen: &Definitions| {
        is_seen(found(seen, RULE, &name)?, &etag)?;
        Ok(Change::end())
    };
    rpc.change(&changing, end).await.map(drop)
}

async fn put(
    rpc: &ActionRpc,
    action: Action<'_>,
    rule: &Rule,
    may: impl Fn(&Definitions) -> Result<(), Failure> + Send + Sync,
) -> Result<Rule, Failure> {
    let changing = Changing { kind: RULE, name: &rule.name, action };
    let change = |seen: &Definitions| {
        may(seen)?;
        endpoints_are_there(rule, seen)?;
        Ok(Change::to(kept(rule).encode_to_vec()))
    };
    to_proto(found(&rpc.change(&changing, change).await?, RULE, &rule.name)?)
}

fn stated(rule: Option<Rule>) -> Result<Rule, Failure> {
    rule.ok_or_else(|| Failure::invalid("rule", "must not be empty", "REQUIRED"))
}

/// A rule that says something that can be done.
fn valid(rule: Rule) -> Result<Rule, Failure> {
    match rules::Rule::try_new(&rule) {
        Ok(_) => Ok(rule),
        Err(problems) => Err(Invalid::Fields(problems).into_failure("rule")),
    }
}

fn endpoints_are_there(rule: &Rule, seen: &Definitions) -> Result<(), Failure> {
    let missing = |name: &String| seen.get(DefinitionKind::Endpoint, name).is_none();
    match rule.endpoints.iter().position(missing) {
        None => Ok(()),
        Some(index) => {
            let description = format!("names no endpoint: there is no {:?}", rule.endpoints[index]);
            Err(Failure::invalid(&format!("rule.endpoints[{index}]"), &description, "NOT_FOUND"))
        }
    }
}

/// What is kept of it: what the store knows itself is not.
fn kept(rule: &Rule) -> Rule {
    Rule {
        version: 0,
        etag: String::new(),
        created_by: String::new(),
        create_time: None,
        updated_by: String::new(),
        update_time: None,
        ..rule.clone()
    }
}

/// A rule as it is, with what the store knows of it.
pub fn to_proto(definition: &Definition) -> Result<Rule, Failure> {
    let rule = Rule::decode(definition.bytes.as_slice()).map_err(|error| {
        tracing::error!(%error, rule = definition.name, "a rule that is kept does not decode");
        Failure::new(ErrorKind::Internal, "the rule that is kept does not decode")
    })?;
    Ok(Rule {
        version: definition.version,
        etag: etag(definition),
        created_by: definition.made.by.clone().unwrap_or_default(),
        create_time: Some(definition.made.at.to_proto()),
        updated_by: definition.changed.by.clone().unwrap_or_default(),
        update_time: Some(definition.changed.at.to_proto()),
        ..rule
    })
}
