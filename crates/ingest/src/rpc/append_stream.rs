//! `AppendStream`: an outcome for each event, in the order received.

use cornjacket_domain::Caller;
use cornjacket_proto::ingest::{AppendStreamRequest, AppendStreamResponse, Receipt};
use cornjacket_proto::status::Failure;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument;

use super::{adopt_trace, trace_of};
use crate::Acceptor;
use crate::accept::outcome;

/// Events of one stream whose outcome is awaited. Beyond it the stream is not read, which the client feels as flow
/// control.
const IN_FLIGHT: usize = 4_096;

pub(super) type Item = Result<AppendStreamResponse, Status>;
type Pending = BoxFuture<'static, Result<Receipt, Failure>>;

pub(super) fn append_stream(
    acceptor: Acceptor,
    request: Request<Streaming<AppendStreamRequest>>,
) -> Result<Response<BoxStream<'static, Item>>, Status> {
    let caller = Caller::of(request.extensions())?;
    let (taken, pending) = mpsc::channel(IN_FLIGHT);
    tokio::spawn(take_in(acceptor, caller, request, taken).in_current_span());
    let outcomes = ReceiverStream::new(pending).then(|pending: Result<Pending, Status>| async {
        let outcome = outcome(pending?.await);
        Ok(AppendStreamResponse { outcome: Some(outcome) })
    });
    Ok(Response::new(outcomes.boxed()))
}

/// Reads events until the client ends the stream or goes away. What was taken is stored even then.
async fn take_in(
    acceptor: Acceptor,
    caller: Caller,
    request: Request<Streaming<AppendStreamRequest>>,
    taken: mpsc::Sender<Result<Pending, Status>>,
) {
    let trace = trace_of(request.metadata());
    let mut events = request.into_inner();
    while let Some(next) = events.next().await {
        let item = match next {
            Ok(AppendStreamRequest { mut event }) => {
                if let Some(event) = &mut event {
                    adopt_trace(event, trace.as_ref());
                }
                Ok(acceptor.append_later(&caller, event).await.boxed())
            }
            Err(status) => Err(status),
        };
        let broken = item.is_err();
        if taken.send(item).await.is_err() || broken {
            return;
        }
    }
}
