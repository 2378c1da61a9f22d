//! `RotateEndpointSecret`: a webhook is signed with a new key, and for a while with those before it as well.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::{Endpoint, RotateEndpointSecretRequest, RotateEndpointSecretResponse};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::Definitions;
use cornjacket_store::audit::Action;
use prost::Message as _;
use tonic::Request;

use super::definitions::{Change, Changing, found, is_seen};
use super::endpoints::{ENDPOINT, decode, health, is_told_alike, not_made, seal, to_proto};
use super::{ActionRpc, caller_of, required};
use crate::channels::{self, secret};
use crate::signing::Key;

/// How long the keys before it sign, when nothing is said and at the most.
const OVERLAP: (Duration, Duration) = (Duration::from_hours(24), Duration::from_hours(24 * 7));

pub(super) async fn rotate(
    rpc: &ActionRpc,
    request: Request<RotateEndpointSecretRequest>,
) -> Result<RotateEndpointSecretResponse, Failure> {
    let caller = caller_of(&request)?;
    let RotateEndpointSecretRequest { name, overlap, etag } = request.into_inner();
    required("name", &name)?;
    let overlap = stated(overlap)?;
    let looked_at = decode(found(&rpc.defined().await?, ENDPOINT, &name)?)?;
    let key = made(&looked_at)?;
    let sealed = seal(rpc, &name, &key.secret(), overlap)?;
    let former_until = (!overlap.is_zero()).then(|| Timestamp::to_proto(sealed.former_until));
    let detail = format!("the keys before it sign for {overlap:?}");
    let action = Action { detail, ..Action::new(&caller, "rotate", format!("endpoints/{name}")) };
    let changing = Changing { kind: ENDPOINT, name: &name, action };
    let change = |seen: &Definitions| {
        let before = found(seen, ENDPOINT, &name)?;
        is_seen(before, &etag)?;
        let endpoint = decode(before)?;
        // Somebody may have ended it meanwhile, and made another one of that name.
        is_told_alike(&looked_at, &endpoint)?;
        Ok(Change { secret: Some(sealed.clone()), ..Change::to(endpoint.encode_to_vec()) })
    };
    let definitions = rpc.change(&changing, change).await?;
    let endpoint = to_proto(found(&definitions, ENDPOINT, &name)?, &health(rpc).await?)?;
    Ok(RotateEndpointSecretResponse {
        endpoint: Some(endpoint),
        verification_key: key.verification(),
        former_until,
    })
}

fn stated(overlap: Option<prost_types::Duration>) -> Result<Duration, Failure> {
    let Some(overlap) = overlap else { return Ok(OVERLAP.0) };
    let overlap = Duration::try_from(overlap).ok().filter(|overlap| *overlap <= OVERLAP.1);
    overlap.ok_or_else(|| Failure::invalid("overlap", "must be 0 seconds to 7 days", "OUT_OF_RANGE"))
}

/// Only what we make can be made anew here.
fn made(endpoint: &Endpoint) -> Result<Key, Failure> {
    let made = secret::made(endpoint).map_err(|error| not_made(&error))?;
    made.ok_or_else(|| {
        let channel = channels::name(endpoint);
        let message = format!("{channel} has the secret that it was given: UpdateEndpoint takes a new one");
        Failure::new(ErrorKind::FailedPrecondition, message).with_reason("GIVEN_SECRET", [])
    })
}
