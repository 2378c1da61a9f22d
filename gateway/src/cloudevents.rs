//! CloudEvents 1.0 over HTTP (<https://github.com/cloudevents/spec>, bindings/http-protocol-binding.md): in as one path of
//! its own, out wherever an answer is an event or a list of them and the caller would rather have CloudEvents.

mod outgoing;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use cornjacket_domain::Invalid;
use cornjacket_domain::cloudevents::{self, Mode, Unreadable, http::attribute};
use cornjacket_proto::descriptor_of;
use cornjacket_proto::events::Event;
use cornjacket_proto::ingest::{
    AppendBatchRequest, AppendBatchResponse, AppendRequest, AppendResponse, Outcome, outcome,
};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::{Message, Name};
use prost_reflect::DynamicMessage;
use tonic::Code;

use crate::field_error::FieldError;
use crate::gateway::Gateway;
use crate::idempotency;
use crate::json;
use crate::offload::by_size;
use crate::problem::Problem;
use crate::{body, transcode};

pub(crate) use outgoing::{Wanted, answer};

/// Where CloudEvents come in.
pub const PATH: &str = "/api/v1/ingest/cloudevents";
const APPEND: &str = "/cornjacket.ingest.v1.IngestService/Append";
const APPEND_BATCH: &str = "/cornjacket.ingest.v1.IngestService/AppendBatch";

impl Gateway {
    /// The path on which CloudEvents come in.
    pub fn cloudevents(&self) -> Router {
        let gateway = self.clone();
        let take = move |request: axum::extract::Request| async move {
            let (parts, body) = request.into_parts();
            take_in(&gateway, &parts, body).await.unwrap_or_else(|problem| problem.answer(&parts.headers))
        };
        let other = async || Problem::other_methods(&[http::Method::POST]);
        Router::new().route(PATH, post(take).fallback(other))
    }
}

async fn take_in(gateway: &Gateway, parts: &Parts, body: Body) -> Result<Response, Problem> {
    let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mode = Mode::of(content_type).ok_or_else(unsupported)?;
    let body = body::read(&parts.headers, body, gateway.options().body).await?;
    let size = body.len();
    match mode {
        Mode::Structured => {
            let event = by_size(size, move || cloudevents::from_structured(&body)).await?;
            one(gateway, &parts.headers, event).await
        }
        Mode::Binary => {
            let attributes = attributes(&parts.headers).map_err(refused)?;
            let content_type = content_type.map(str::to_owned);
            let read = move || cloudevents::from_binary(attributes, content_type.as_deref(), body);
            one(gateway, &parts.headers, by_size(size, read).await?).await
        }
        Mode::Batch => {
            let events = by_size(size, move || cloudevents::from_batch(&body)).await?;
            batch(gateway, &parts.headers, events.map_err(refused)?).await
        }
    }
}

fn unsupported() -> Problem {
    let detail = "CloudEvents come as application/cloudevents+json, as application/cloudevents-batch+json, or in headers";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16(), Code::InvalidArgument, detail)
}

/// The attributes of an event in binary mode.
fn attributes(headers: &HeaderMap) -> Result<Vec<(String, String)>, Unreadable> {
    let mut attributes = Vec::new();
    for (name, value) in headers {
        if let Some(name) = attribute(name.as_str()) {
            let value = cloudevents::http::decode(&name, value.as_bytes());
            attributes.push((name, value.map_err(|violation| Unreadable::Fields(vec![violation]))?));
        }
    }
    // Binary mode, or anything at all that has strayed here: without attributes it is named what is missing.
    if let Some(key) = idempotency::key(headers).ok().flatten()
        && !attributes.iter().any(|(name, _)| name == "id")
    {
        attributes.push(("id".to_owned(), key.to_owned()));
    }
    Ok(attributes)
}

async fn one(
    gateway: &Gateway,
    headers: &HeaderMap,
    event: Result<Event, Unreadable>,
) -> Result<Response, Problem> {
    let request = AppendRequest { event: Some(event.map_err(refused)?) };
    let answer: AppendResponse = gateway.call(APPEND, &gateway.context(headers)?, request).await?;
    respond(&answer)
}

/// What cannot be read is refused in its place, and does not spoil the rest.
async fn batch(
    gateway: &Gateway,
    headers: &HeaderMap,
    events: Vec<Result<Event, Unreadable>>,
) -> Result<Response, Problem> {
    let (mut good, mut outcomes) = (Vec::new(), Vec::new());
    for event in events {
        outcomes.push(event.map(|event| good.push(event)).map_err(|unreadable| {
            let failure = Invalid::from(unreadable).into_failure("");
            Outcome { result: Some(outcome::Result::Error(failure.into())) }
        }));
    }
    let request = AppendBatchRequest { events: good };
    let answer: AppendBatchResponse = gateway.call(APPEND_BATCH, &gateway.context(headers)?, request).await?;
    let mut stored = answer.outcomes.into_iter();
    let merged = outcomes.into_iter().map(|outcome| match outcome {
        Ok(()) => stored.next().unwrap_or_default(),
        Err(refused) => refused,
    });
    let answer = AppendBatchResponse { outcomes: merged.collect() };
    by_size(answer.encoded_len(), move || respond(&answer)).await?
}

fn refused(unreadable: Unreadable) -> Problem {
    match unreadable {
        Unreadable::Json { field, line, column, description } => {
            let (line, column) = (Some(line), Some(column));
            FieldError { line, column, ..FieldError::new(field, "SYNTAX", description) }.into()
        }
        fields @ Unreadable::Fields(_) => Invalid::from(fields).into_failure("").into(),
    }
}

fn respond<M: Message + Name>(answer: &M) -> Result<Response, Problem> {
    let answer = DynamicMessage::decode(descriptor_of::<M>(), answer.encode_to_vec().as_slice());
    let json = answer
        .map_err(|error| Problem::internal(&error))
        .and_then(|answer| json::encode(&answer).map_err(|error| Problem::internal(&error)))?;
    Ok(([(CONTENT_TYPE, transcode::JSON)], json).into_response())
}

/// A header for an attribute, where it can be one.
fn header(name: &str, value: &str) -> Option<(http::HeaderName, HeaderValue)> {
    let value = HeaderValue::try_from(cloudevents::http::encode(value)).ok()?;
    Some((http::HeaderName::try_from(cloudevents::http::header(name)).ok()?, value))
}
