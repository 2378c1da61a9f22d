//! Streams of a service as server-sent events, or as JSON line by line.
//!
//! Each message is the JSON of the message. What fails before the first one is answered as a problem with its status; what
//! fails later is the last thing in the stream: `event: error`, or a line `{"error": …}`, with the same problem. A stream
//! that ends without one has ended well.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::Stream;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::{Instant, timeout, timeout_at};
use tonic::{Status, Streaming};

use crate::context::{self, CallContext};
use crate::framing::Framing;
use crate::gateway::Gateway;
use crate::problem::Problem;
use crate::route::Route;
use crate::transcode::deadline_passed;

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO: HeaderValue = HeaderValue::from_static("no");
/// nginx and others would hold messages back until there are enough of them.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A stream under way.
struct Messages {
    route: Arc<Route>,
    upstream: Streaming<Bytes>,
    framing: Framing,
    heartbeat: Duration,
    deadline: Option<Instant>,
    request_id: HeaderValue,
    next: Next,
}

/// What is to be sent next.
enum Next {
    /// This, which came before the answer began.
    First(Bytes),
    /// Whatever comes.
    Any,
    /// Nothing: all is said.
    End,
}

/// Calls the method, and answers once its first message is there, or a heartbeat is due.
pub(crate) async fn answer(
    gateway: &Gateway,
    route: &Arc<Route>,
    context: CallContext,
    request: Bytes,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let options = gateway.options();
    let framing = Framing::accepted(headers.get(ACCEPT));
    let path = route.grpc_path.clone();
    let upstream = gateway.upstream(&path)?;
    let call = upstream.server_streaming(path, context.request(request), options.response_bytes);
    let deadline = context.deadline();
    let mut upstream = until(deadline, call).await?.into_inner();
    let next = match timeout(options.heartbeat, until(deadline, upstream.message())).await {
        Ok(Ok(Some(first))) => Next::First(first),
        Ok(Ok(None)) => Next::End,
        Ok(Err(status)) => return Err(status.into()),
        Err(_) => Next::Any,
    };
    let request_id = context::request_id(headers);
    let heartbeat = options.heartbeat;
    let route = Arc::clone(route);
    let messages = Messages { route, upstream, framing, heartbeat, deadline, request_id, next };
    let headers = [(CONTENT_TYPE, framing.media_type()), (CACHE_CONTROL, NO_STORE), (ACCEL_BUFFERING, NO)];
    Ok((headers, Body::from_stream(messages.frames())).into_response())
}

impl Messages {
    fn frames(self) -> impl Stream<Item = Result<Vec<u8>, Infallible>> + Send {
        futures::stream::unfold(self, async |mut messages| {
            let frame = messages.frame().await?;
            Some((Ok(frame), messages))
        })
    }

    async fn frame(&mut self) -> Option<Vec<u8>> {
        match std::mem::replace(&mut self.next, Next::Any) {
            Next::First(message) => return Some(self.message(message)),
            Next::End => {
                self.next = Next::End;
                return None;
            }
            Next::Any => {}
        }
        match timeout(self.heartbeat, until(self.deadline, self.upstream.message())).await {
            Err(_) => Some(self.framing.heartbeat()),
            Ok(Ok(Some(message))) => Some(self.message(message)),
            Ok(Ok(None)) => None,
            Ok(Err(status)) => Some(self.failure(status.into())),
        }
    }

    fn message(&mut self, message: Bytes) -> Vec<u8> {
        match self.framing.message(&self.route, message) {
            Ok(frame) => frame,
            Err(error) => self.failure(Problem::internal(&error)),
        }
    }

    fn failure(&mut self, problem: Problem) -> Vec<u8> {
        self.next = Next::End;
        let problem = problem.with_request_id(self.request_id.to_str().unwrap_or_default());
        self.framing.error(&problem)
    }
}

/// What comes by the deadline. Asking a stream for a message again after giving up on it loses nothing.
async fn until<T>(
    deadline: Option<Instant>,
    outcome: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let Some(deadline) = deadline else { return outcome.await };
    match timeout_at(deadline, outcome).await {
        Ok(outcome) => outcome.map_err(crate::transcode::timed_out),
        Err(_) => Err(deadline_passed()),
    }
}
