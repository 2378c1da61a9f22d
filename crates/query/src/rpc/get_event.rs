//! `GetEvent`: one event by its id and source.

use cornjacket_domain::EventKey;
use cornjacket_proto::query::{GetEventRequest, GetEventResponse};
use cornjacket_proto::status::{ErrorKind, Failure};
use tokio::time::Instant;
use tonic::Request;

use super::consistency::snapshot_of_log;
use super::{QueryRpc, caller, decode, required, store_failed};

pub(super) async fn get_event(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<GetEventRequest>,
) -> Result<GetEventResponse, Failure> {
    let caller = caller(&request);
    let GetEventRequest { id, source, consistency_token } = request.into_inner();
    required("id", &id)?;
    required("source", &source)?;
    let mut snapshot = snapshot_of_log(rpc, deadline, &consistency_token).await?;
    let found = snapshot.find(EventKey::new(&source, &id)).await.map_err(|error| store_failed(&error))?;
    let stored = found.ok_or_else(|| no_such_event(&id, &source))?;
    caller.authorize_subject(&stored.subject)?;
    let event = decode(&stored)?;
    Ok(GetEventResponse { event: Some(event) })
}

pub(super) fn no_such_event(id: &str, source: &str) -> Failure {
    Failure::new(ErrorKind::NotFound, format!("no event {id:?} of source {source:?} is stored"))
}
