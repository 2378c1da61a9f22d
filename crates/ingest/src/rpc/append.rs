//! `Append`: one event, one receipt.

use cornjacket_domain::Caller;
use cornjacket_proto::ingest::{AppendRequest, AppendResponse};
use tonic::{Request, Response, Status};

use super::{adopt_trace, trace_of};
use crate::Acceptor;

pub(super) async fn append(
    acceptor: &Acceptor,
    request: Request<AppendRequest>,
) -> Result<Response<AppendResponse>, Status> {
    let caller = Caller::of(request.extensions())?;
    let trace = trace_of(request.metadata());
    let mut event = request.into_inner().event;
    if let Some(event) = &mut event {
        adopt_trace(event, trace.as_ref());
    }
    let receipt = acceptor.append(&caller, event).await?;
    Ok(Response::new(AppendResponse { receipt: Some(receipt) }))
}
