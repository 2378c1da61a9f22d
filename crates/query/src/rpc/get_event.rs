//! `GetEvent`: one event by its id and source.

use cornjacket_domain::{Caller, EventKey, StoredEvent};
use cornjacket_proto::query::{GetEventRequest, GetEventResponse};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::Snapshot;
use tokio::time::Instant;
use tonic::Request;

use super::consistency::snapshot_of_log;
use super::{QueryRpc, decode, required, store_failed};

pub(super) async fn get_event(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<GetEventRequest>,
) -> Result<GetEventResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let GetEventRequest { id, source, consistency_token } = request.into_inner();
    required("id", &id)?;
    required("source", &source)?;
    let mut snapshot = snapshot_of_log(rpc, deadline, &consistency_token).await?;
    let stored = find(snapshot.as_mut(), &caller, &id, &source).await?;
    Ok(GetEventResponse { event: Some(decode(&stored)?) })
}

/// The event, if it is there for this caller. Whether there is one that the caller may not see is not said
/// (<https://google.aip.dev/211>).
pub(crate) async fn find(
    snapshot: &mut dyn Snapshot,
    caller: &Caller,
    id: &str,
    source: &str,
) -> Result<StoredEvent, Failure> {
    let found = snapshot.find(EventKey::new(source, id)).await.map_err(|error| store_failed(&error))?;
    let allowed = found.filter(|stored| caller.may_read(&stored.subject, source));
    allowed.ok_or_else(|| {
        let which = format!("event {id:?} of source {source:?}");
        match caller.authorize_everything() {
            Ok(()) => Failure::new(ErrorKind::NotFound, format!("no {which} is stored")),
            Err(_) => Failure::new(ErrorKind::PermissionDenied, format!("the token allows no {which}"))
                .with_reason("EVENT_DENIED", []),
        }
    })
}
