//! Events out as CloudEvents, for callers that say so in `Accept`: `application/cloudevents+json` for one,
//! `application/cloudevents-batch+json` for a list, `application/cloudevents` for one in binary mode.

use axum::response::{IntoResponse, Response};
use cornjacket_domain::Violation;
use cornjacket_domain::cloudevents::{self, BATCH, STRUCTURED};
use cornjacket_proto::events::Event;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind};

use super::header;
use crate::problem::Problem;
use crate::route::Route;

const BINARY: &str = "application/cloudevents";
/// A list as CloudEvents has no place for it.
const NEXT_PAGE: HeaderName = HeaderName::from_static("next-page-token");

/// What a caller would rather have than our JSON.
#[derive(Clone, Debug)]
pub(crate) enum Wanted {
    Binary(FieldDescriptor),
    Structured(FieldDescriptor),
    Batch(FieldDescriptor),
}

impl Wanted {
    /// Nothing when the caller does not say so, or the answer has no events.
    pub fn of(route: &Route, headers: &HeaderMap) -> Option<Self> {
        let accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let mut accepted = accept.flat_map(|value| value.split(','));
        let wanted = accepted.find_map(|range| {
            let essence = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            [BINARY, STRUCTURED, BATCH].into_iter().find(|known| *known == essence)
        })?;
        let field = route.output.fields().find(|field| match field.kind() {
            Kind::Message(message) => {
                message.full_name() == Event::full_name() && field.is_list() == (wanted == BATCH)
            }
            _ => false,
        })?;
        Some(match wanted {
            BINARY => Self::Binary(field),
            STRUCTURED => Self::Structured(field),
            _ => Self::Batch(field),
        })
    }
}

/// The answer as the caller wants it.
pub(crate) fn answer(wanted: &Wanted, answer: &DynamicMessage) -> Result<Response, Problem> {
    match wanted {
        Wanted::Binary(field) => binary(&event(answer, field)?),
        Wanted::Structured(field) => {
            let json = cloudevents::to_structured(&event(answer, field)?).map_err(|why| unfit(&why))?;
            Ok(([(CONTENT_TYPE, HeaderValue::from_static(STRUCTURED))], json).into_response())
        }
        Wanted::Batch(field) => batch(answer, field),
    }
}

fn event(answer: &DynamicMessage, field: &FieldDescriptor) -> Result<Event, Problem> {
    let value = answer.get_field(field);
    let event = value.as_message().map(|event| Event::decode(event.encode_to_vec().as_slice()));
    event.unwrap_or_else(|| Ok(Event::default())).map_err(|error| Problem::internal(&error))
}

fn batch(answer: &DynamicMessage, field: &FieldDescriptor) -> Result<Response, Problem> {
    let value = answer.get_field(field);
    let events = value.as_list().unwrap_or_default().iter().filter_map(prost_reflect::Value::as_message);
    let events = events.map(|event| Event::decode(event.encode_to_vec().as_slice()));
    let events = events.collect::<Result<Vec<_>, _>>().map_err(|error| Problem::internal(&error))?;
    let json = cloudevents::to_batch(&events).map_err(|why| unfit(&why))?;
    let mut response = ([(CONTENT_TYPE, HeaderValue::from_static(BATCH))], json).into_response();
    let next = answer.get_field_by_name("next_page_token");
    let next = next.as_deref().and_then(|next| next.as_str()).unwrap_or_default();
    if !next.is_empty()
        && let Ok(next) = HeaderValue::try_from(next)
    {
        response.headers_mut().insert(NEXT_PAGE, next);
    }
    Ok(response)
}

fn binary(event: &Event) -> Result<Response, Problem> {
    let binary = cloudevents::to_binary(event).map_err(|why| unfit(&why))?;
    let mut response = binary.body.into_response();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    if let Some(content_type) = binary.content_type.and_then(|value| HeaderValue::try_from(value).ok()) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    headers.extend(binary.attributes.iter().filter_map(|(name, value)| header(name, value)));
    Ok(response)
}

/// Only an event that was never checked has no place in CloudEvents.
fn unfit(why: &Violation) -> Problem {
    Problem::internal(&format!("a stored event is no CloudEvent: {}: {}", why.field, why.description))
}
