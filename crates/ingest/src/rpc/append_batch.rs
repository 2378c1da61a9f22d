//! `AppendBatch`: many events, an outcome for each.

use cornjacket_domain::Caller;
use cornjacket_proto::ingest::{AppendBatchRequest, AppendBatchResponse};
use tonic::{Request, Response, Status};

use super::{adopt_trace, trace_of};
use crate::Acceptor;

pub(super) async fn append_batch(
    acceptor: &Acceptor,
    request: Request<AppendBatchRequest>,
) -> Result<Response<AppendBatchResponse>, Status> {
    let caller = Caller::of(request.extensions())?;
    let trace = trace_of(request.metadata());
    let mut events = request.into_inner().events;
    for event in &mut events {
        adopt_trace(event, trace.as_ref());
    }
    let outcomes = acceptor.append_batch(&caller, events).await?;
    Ok(Response::new(AppendBatchResponse { outcomes }))
}
