//! `GetProjection`: the state of one subject, including what a token promises.

use cornjacket_domain::Caller;
use cornjacket_proto::json;
use cornjacket_proto::query::{GetProjectionRequest, GetProjectionResponse};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::State;
use tokio::time::Instant;
use tonic::Request;

use super::consistency::{Maker, snapshot_with};
use super::{QueryRpc, required, store_failed};
use crate::projections::{self, Declared};

pub(super) async fn get_projection(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<GetProjectionRequest>,
) -> Result<GetProjectionResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let GetProjectionRequest { projection: name, subject, consistency_token } = request.into_inner();
    required("projection", &name)?;
    required("subject", &subject)?;
    caller.authorize_state(&subject)?;
    let projection = projections::by_name(&name)
        .ok_or_else(|| Failure::new(ErrorKind::NotFound, format!("there is no projection {name:?}")))?;
    let maker = Maker { consumer: &name, topics: &projection.topics(), subjects: &[&subject] };
    let mut snapshot = snapshot_with(rpc, deadline, &maker, &consistency_token).await?;
    let state = snapshot.state(projection.id, &subject).await.map_err(|error| store_failed(&error))?;
    let none = || Failure::new(ErrorKind::NotFound, format!("{name} has no state for subject {subject:?}"));
    respond(rpc, projection, state.ok_or_else(none)?)?.ok_or_else(none)
}

/// Nothing when all of the state has expired.
fn respond(
    rpc: &QueryRpc,
    projection: &Declared,
    state: State,
) -> Result<Option<GetProjectionResponse>, Failure> {
    let name = projection.id.name;
    let State { subject, json, last_position, event_time } = state;
    let corrupt = |error: serde_json::Error| {
        tracing::error!(%error, projection = name, subject, "a stored state does not decode");
        Failure::new(ErrorKind::Internal, "the stored state does not decode")
    };
    let Some(seen) = projection.seen_at(&json, &rpc.moment()).map_err(corrupt)? else { return Ok(None) };
    let state = Some(json::to_struct(&seen).map_err(corrupt)?);
    Ok(Some(GetProjectionResponse {
        projection: name.to_owned(),
        subject,
        state,
        last_position,
        event_time: Some(event_time.to_proto()),
    }))
}
