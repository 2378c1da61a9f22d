//! One request: HTTP in, a call, HTTP out.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use prost::Message;
use prost_reflect::{DynamicMessage, Value};
use tonic::{Code, Status};

use crate::bind;
use crate::body;
use crate::cloudevents::{self, Wanted};
use crate::context::CallContext;
use crate::gateway::Gateway;
use crate::idempotency;
use crate::json;
use crate::offload::by_size;
use crate::problem::Problem;
use crate::route::{BodyRule, Route};
use crate::stream;
use crate::template::Capture;

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
const LAST_EVENT_ID: &str = "last-event-id";

pub(crate) async fn answer(
    gateway: &Gateway,
    route: &Arc<Route>,
    captures: &[Capture<'_, '_>],
    parts: &Parts,
    body: Body,
) -> Result<Response, Problem> {
    let streams = route.method.is_server_streaming();
    let options = gateway.options();
    let context = if streams {
        CallContext::new(&parts.headers, None, None)?
    } else {
        gateway.context(&parts.headers)?
    };
    let body = match route.body {
        BodyRule::None => Bytes::new(),
        BodyRule::Whole | BodyRule::Field(_) => body::read(&parts.headers, body, options.body).await?,
    };
    if !body.is_empty() {
        body::expect_json(&parts.headers)?;
    }
    let (size, reading) = (body.len(), Arc::clone(route));
    let mut message = by_size(size, move || bind::read(&reading, &body)).await??;
    bind::complete(&mut message, route, captures, parts.uri.query())?;
    if let Some(keyed) = &route.idempotency {
        idempotency::apply(&mut message, keyed, &parts.headers)?;
    }
    if streams {
        resume(&mut message, route, &parts.headers);
    }
    let request = by_size(size, move || message.encode_to_vec().into()).await?;
    if streams {
        return stream::answer(gateway, route, context, request, &parts.headers).await;
    }
    let answer = gateway.unary(route.grpc_path.clone(), &context, request).await?;
    let (route, wanted) = (Arc::clone(route), Wanted::of(route, &parts.headers));
    by_size(answer.len(), move || written(&route, wanted.as_ref(), answer)).await?
}

/// What the service answered, as it is wanted.
fn written(route: &Route, wanted: Option<&Wanted>, answer: Bytes) -> Result<Response, Problem> {
    let answer = DynamicMessage::decode(route.output.clone(), answer);
    let answer = answer.map_err(|error| Problem::internal(&error))?;
    if let Some(wanted) = wanted {
        return cloudevents::answer(wanted, &answer);
    }
    let json = to_json(route, &answer).map_err(|error| Problem::internal(&error))?;
    Ok(([(CONTENT_TYPE, JSON)], json).into_response())
}

/// A response as the JSON that the route answers.
pub(crate) fn to_json(route: &Route, message: &DynamicMessage) -> Result<Vec<u8>, serde_json::Error> {
    match &route.response_body {
        None => json::encode(message),
        Some(field) => json::encode_field(message, field),
    }
}

/// A browser that lost its stream asks again with the same URL, and says in a header how far it was: that is what counts.
fn resume(message: &mut DynamicMessage, route: &Route, headers: &HeaderMap) {
    let last = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    if let (Some(field), Some(last)) = (&route.resume_from, last) {
        message.set_field(field, Value::String(last.to_owned()));
    }
}

pub(crate) fn deadline_passed() -> Status {
    Status::new(Code::DeadlineExceeded, "the answer was not there by the deadline")
}

/// Tonic's own timer ends a call as cancelled; who waits for it was not the one who cancelled.
pub(crate) fn timed_out(status: Status) -> Status {
    let expired =
        std::error::Error::source(&status).is_some_and(<dyn std::error::Error>::is::<tonic::TimeoutExpired>);
    if expired { deadline_passed() } else { status }
}
