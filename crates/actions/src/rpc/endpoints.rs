//! Endpoints: made, read, changed and ended.

use std::collections::HashMap;
use std::mem;
use std::time::Duration;

use cornjacket_domain::violation::{Reason, Violation};
use cornjacket_domain::{Invalid, Timestamp};
use cornjacket_proto::actions::{
    CreateEndpointRequest, CreateEndpointResponse, DeleteEndpointRequest, Endpoint, GetEndpointRequest,
    Health, ListEndpointsRequest, ListEndpointsResponse, Rule, Signing, UpdateEndpointRequest, Webhook,
    endpoint::Channel,
};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::audit::Action;
use cornjacket_store::{Definition, DefinitionKind, Definitions};
use prost::Message as _;
use secrecy::SecretString;
use tonic::Request;

use super::definitions::{Change, Changing, Sealed, etag, found, is_new, is_seen, named, page};
use super::{ActionRpc, caller_of, required, store_failed};
use crate::channels::secret;
use crate::signing::{Key, SigningError};

pub(super) const ENDPOINT: DefinitionKind = DefinitionKind::Endpoint;

pub(super) async fn create(
    rpc: &ActionRpc,
    request: Request<CreateEndpointRequest>,
) -> Result<CreateEndpointResponse, Failure> {
    let caller = caller_of(&request)?;
    let mut endpoint = stated(request.into_inner().endpoint)?;
    let given = secret::take(&mut endpoint);
    let key = secret::made(&endpoint).map_err(|error| not_made(&error))?;
    let verification_key = key.as_ref().map(Key::verification).unwrap_or_default();
    let text = key.as_ref().map(Key::secret).or_else(|| given.as_ref().map(|given| given.text.clone()));
    check(rpc, &endpoint, text.as_slice())?;
    let sealed = text.map(|text| seal(rpc, &endpoint.name, &text, Duration::ZERO)).transpose()?;
    endpoint.secret_hint = given.map(|given| given.hint).unwrap_or_default();
    let action = Action::new(&caller, "create", format!("endpoints/{}", endpoint.name));
    let changing = Changing { kind: ENDPOINT, name: &endpoint.name, action };
    let change = |seen: &Definitions| {
        is_new(seen, ENDPOINT, &endpoint.name)?;
        Ok(Change { secret: sealed.clone(), forgives: true, ..Change::to(kept(&endpoint).encode_to_vec()) })
    };
    let definitions = rpc.change(&changing, change).await?;
    let made = to_proto(found(&definitions, ENDPOINT, &endpoint.name)?, &HashMap::new())?;
    Ok(CreateEndpointResponse { endpoint: Some(made), verification_key })
}

pub(super) async fn get(rpc: &ActionRpc, request: Request<GetEndpointRequest>) -> Result<Endpoint, Failure> {
    caller_of(&request)?;
    let name = request.into_inner().name;
    required("name", &name)?;
    let health = health(rpc).await?;
    to_proto(found(&rpc.defined().await?, ENDPOINT, &name)?, &health)
}

pub(super) async fn list(
    rpc: &ActionRpc,
    request: Request<ListEndpointsRequest>,
) -> Result<ListEndpointsResponse, Failure> {
    caller_of(&request)?;
    let ListEndpointsRequest { page_size, page_token } = request.into_inner();
    let (found, next_page_token) = page(&rpc.defined().await?, ENDPOINT, page_size, &page_token)?;
    let health = health(rpc).await?;
    let endpoints = found.iter().map(|one| to_proto(one, &health)).collect::<Result<_, _>>()?;
    Ok(ListEndpointsResponse { endpoints, next_page_token })
}

pub(super) async fn update(
    rpc: &ActionRpc,
    request: Request<UpdateEndpointRequest>,
) -> Result<Endpoint, Failure> {
    let caller = caller_of(&request)?;
    let UpdateEndpointRequest { endpoint, name } = request.into_inner();
    let mut endpoint = stated(endpoint)?;
    named(name, &mut endpoint.name)?;
    let given = secret::take(&mut endpoint);
    // Before its secret is read as one of another channel.
    let definitions = rpc.defined().await?;
    let known = found(&definitions, ENDPOINT, &endpoint.name)?;
    is_told_alike(&decode(known)?, &endpoint)?;
    let text = match &given {
        Some(given) => Some(given.text.clone()),
        None => secret_of(rpc, known).await?,
    };
    check(rpc, &endpoint, text.as_slice())?;
    let sealed = given.as_ref().map(|given| seal(rpc, &endpoint.name, &given.text, Duration::ZERO));
    let sealed = sealed.transpose()?;
    let action = Action::new(&caller, "update", format!("endpoints/{}", endpoint.name));
    let changing = Changing { kind: ENDPOINT, name: &endpoint.name, action };
    let change = |seen: &Definitions| {
        let before = found(seen, ENDPOINT, &endpoint.name)?;
        is_seen(before, &endpoint.etag)?;
        let before = decode(before)?;
        is_told_alike(&before, &endpoint)?;
        if given.is_none() {
            goes_where_it_went(&before, &endpoint)?;
        }
        let hint = given.as_ref().map_or(&before.secret_hint, |given| &given.hint).clone();
        let kept = Endpoint { secret_hint: hint, ..kept(&endpoint) };
        // Whoever changes it has seen to it.
        let forgives = !endpoint.disabled;
        Ok(Change { secret: sealed.clone(), forgives, ..Change::to(kept.encode_to_vec()) })
    };
    let definitions = rpc.change(&changing, change).await?;
    to_proto(found(&definitions, ENDPOINT, &endpoint.name)?, &self::health(rpc).await?)
}

pub(super) async fn delete(rpc: &ActionRpc, request: Request<DeleteEndpointRequest>) -> Result<(), Failure> {
    let caller = caller_of(&request)?;
    let DeleteEndpointRequest { name, etag } = request.into_inner();
    required("name", &name)?;
    let action = Action::new(&caller, "delete", format!("endpoints/{name}"));
    let changing = Changing { kind: ENDPOINT, name: &name, action };
    let end = |seen: &Definitions| {
        is_seen(found(seen, ENDPOINT, &name)?, &etag)?;
        nobody_names(seen, &name)?;
        Ok(Change::end())
    };
    rpc.change(&changing, end).await.map(drop)
}

fn stated(endpoint: Option<Endpoint>) -> Result<Endpoint, Failure> {
    endpoint.ok_or_else(|| Failure::invalid("endpoint", "must not be empty", "REQUIRED"))
}

fn check(rpc: &ActionRpc, endpoint: &Endpoint, secrets: &[SecretString]) -> Result<(), Failure> {
    rpc.makers
        .check(endpoint, secrets)
        .map_err(|violations| Invalid::Fields(violations).into_failure("endpoint"))
}

/// The secrets that are kept of an endpoint as it is.
pub(super) async fn sealed_of(rpc: &ActionRpc, endpoint: &Definition) -> Result<Vec<Vec<u8>>, Failure> {
    let Definition { name, version, .. } = endpoint;
    let sealed = rpc.defining.secrets(name, *version, rpc.clock.now()).await;
    sealed.map_err(|error| store_failed(&error))?.ok_or_else(|| {
        let message = format!("the endpoint {name:?} was changed meanwhile: look again");
        Failure::new(ErrorKind::Aborted, message).with_reason("CHANGED", [])
    })
}

/// The secret that is kept. One that the settings have no key for is as if there were none: attempts say so.
async fn secret_of(rpc: &ActionRpc, endpoint: &Definition) -> Result<Option<SecretString>, Failure> {
    let name = &endpoint.name;
    let sealed = sealed_of(rpc, endpoint).await?;
    let (Some(last), Some(secrets)) = (sealed.first(), &rpc.makers.secrets) else { return Ok(None) };
    let opened = secrets.open(name, last);
    Ok(opened
        .inspect_err(|error| tracing::warn!(%error, name, "an endpoint's secret could not be opened"))
        .ok())
}

/// What its secret is from now on; those before it are good for so long.
pub(super) fn seal(
    rpc: &ActionRpc,
    name: &str,
    secret: &SecretString,
    overlap: Duration,
) -> Result<Sealed, Failure> {
    let Some(secrets) = &rpc.makers.secrets else {
        let message =
            "the endpoint has a secret, and this Cornjacket has no key to keep it under: actions.secret_key";
        return Err(Failure::new(ErrorKind::FailedPrecondition, message).with_reason("NO_SECRET_KEY", []));
    };
    let envelope = secrets.seal(name, secret).map_err(|error| {
        tracing::error!(%error, "an endpoint's secret could not be sealed");
        Failure::new(ErrorKind::Internal, "its secret could not be sealed")
    })?;
    Ok(Sealed { envelope, former_until: rpc.clock.now() + overlap })
}

pub(super) fn not_made(error: &SigningError) -> Failure {
    tracing::error!(%error, "an endpoint's secret could not be made");
    Failure::new(ErrorKind::Internal, "its secret could not be made")
}

/// Another channel, or another kind of signature, needs another secret; and what waits was written for this one.
pub(super) fn is_told_alike(before: &Endpoint, after: &Endpoint) -> Result<(), Failure> {
    let message = match (&before.channel, &after.channel) {
        (Some(Channel::Webhook(before)), Some(Channel::Webhook(after))) => {
            let is_ed25519 = |webhook: &Webhook| webhook.signing() == Signing::Ed25519;
            if is_ed25519(before) == is_ed25519(after) {
                return Ok(());
            }
            "an endpoint keeps its kind of signature, which its secret is for: make another endpoint"
        }
        (Some(before), Some(after)) if mem::discriminant(before) == mem::discriminant(after) => return Ok(()),
        _ => "an endpoint keeps its channel, which its secret is for: make another endpoint",
    };
    Err(Failure::new(ErrorKind::FailedPrecondition, message).with_reason("OTHER_SECRET", []))
}

/// A secret is not sent to somebody else than whom it was given for.
fn goes_where_it_went(before: &Endpoint, after: &Endpoint) -> Result<(), Failure> {
    let (was, is) = (secret::destination(before), secret::destination(after));
    match is {
        Some((field, _)) if !before.secret_hint.is_empty() && was != is => {
            let said = "is another place for the secret, which must be given again with it";
            Err(Invalid::Fields(vec![Violation::new(field, Reason::Mismatch, said)]).into_failure("endpoint"))
        }
        _ => Ok(()),
    }
}

fn nobody_names(seen: &Definitions, name: &str) -> Result<(), Failure> {
    for definition in seen.of(DefinitionKind::Rule) {
        let rule = Rule::decode(definition.bytes.as_slice()).unwrap_or_default();
        if rule.endpoints.iter().any(|endpoint| endpoint == name) {
            let message = format!("rule {:?} names it", definition.name);
            return Err(Failure::new(ErrorKind::FailedPrecondition, message).with_reason("IN_USE", []));
        }
    }
    Ok(())
}

/// What is kept of it: what the store knows itself is not.
fn kept(endpoint: &Endpoint) -> Endpoint {
    Endpoint {
        etag: String::new(),
        disabled_reason: String::new(),
        health: None,
        created_by: String::new(),
        create_time: None,
        updated_by: String::new(),
        update_time: None,
        ..endpoint.clone()
    }
}

pub(super) async fn health(rpc: &ActionRpc) -> Result<HashMap<String, cornjacket_store::Health>, Failure> {
    rpc.deliveries.health().await.map_err(|error| store_failed(&error))
}

pub(super) fn decode(definition: &Definition) -> Result<Endpoint, Failure> {
    Endpoint::decode(definition.bytes.as_slice()).map_err(|error| {
        tracing::error!(%error, endpoint = definition.name, "an endpoint that is kept does not decode");
        Failure::new(ErrorKind::Internal, "the endpoint that is kept does not decode")
    })
}

/// An endpoint as it is, with what the store knows of it.
pub(super) fn to_proto(
    definition: &Definition,
    health: &HashMap<String, cornjacket_store::Health>,
) -> Result<Endpoint, Failure> {
    let endpoint = decode(definition)?;
    let health = health.get(&definition.name).cloned().unwrap_or_default();
    Ok(Endpoint {
        etag: etag(definition),
        disabled: endpoint.disabled || health.disabled.is_some(),
        disabled_reason: health.disabled.unwrap_or_default(),
        health: Some(Health {
            failures: health.failures,
            open_until: health.open_until.map(Timestamp::to_proto),
            held_until: health.held_until.map(Timestamp::to_proto),
            failing_since: health.failing_since.map(Timestamp::to_proto),
        }),
        created_by: definition.made.by.clone().unwrap_or_default(),
        create_time: Some(definition.made.at.to_proto()),
        updated_by: definition.changed.by.clone().unwrap_or_default(),
        update_time: Some(definition.changed.at.to_proto()),
        ..endpoint
    })
}
