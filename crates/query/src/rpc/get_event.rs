//! `GetEvent`: one event by its id and source.

use cornjacket_domain::EventKey;
use cornjacket_proto::query::{GetEventRequest, GetEventResponse};
use cornjacket_proto::status::{ErrorKind, Failure};
use tonic::Request;

use super::{QueryRpc, caller, decode, required, store_failed};

pub(super) async fn get_event(
    rpc: &QueryRpc,
    request: Request<GetEventRequest>,
) -> Result<GetEventResponse, Failure> {
    let caller = caller(&request);
    let GetEventRequest { id, source } = request.into_inner();
    required("id", &id)?;
    required("source", &source)?;
    let found = rpc.log.find(EventKey::new(&source, &id)).await.map_err(|error| store_failed(&error))?;
    let stored = found.ok_or_else(|| {
        Failure::new(ErrorKind::NotFound, format!("no event {id:?} of source {source:?} is stored"))
    })?;
    caller.authorize_subject(&stored.subject)?;
    let event = decode(&stored)?;
    Ok(GetEventResponse { event: Some(event) })
}
