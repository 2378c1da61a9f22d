//! What of a request's headers goes on with its call: who asks, in which trace, and how long there is.

use std::time::Duration;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;
use tonic::Extensions;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

use crate::field_error::FieldError;
use crate::timeout;

/// The header of the request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// What services get to see. Nothing else passes: not what a proxy would set, and not what tonic means something by.
const PASSED_ON: [HeaderName; 4] = [AUTHORIZATION, TRACEPARENT, TRACESTATE, REQUEST_ID];
const LONGEST_ID: usize = 128;

/// What a call takes along.
#[derive(Clone, Debug)]
pub struct CallContext {
    metadata: HeaderMap,
    deadline: Option<Instant>,
}

impl CallContext {
    /// From a request's headers. `by_default` is how long the call may take when they say nothing, `at_most` whatever they
    /// say; without either the call has no end.
    pub fn new(
        headers: &HeaderMap,
        by_default: Option<Duration>,
        at_most: Option<Duration>,
    ) -> Result<Self, FieldError> {
        let wanted = timeout::asked_for(headers)?.or(by_default);
        let timeout = wanted.map(|wanted| at_most.map_or(wanted, |most| wanted.min(most)));
        let mut metadata = HeaderMap::with_capacity(PASSED_ON.len());
        for name in PASSED_ON {
            if let Some(value) = headers.get(&name) {
                metadata.insert(name, value.clone());
            }
        }
        metadata.insert(REQUEST_ID, request_id(headers));
        // A timeout that the clock cannot count is none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Ok(Self { metadata, deadline })
    }

    /// When the call is given up.
    pub fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// The gRPC request of a message.
    pub fn request<T>(&self, message: T) -> tonic::Request<T> {
        let metadata = MetadataMap::from_headers(self.metadata.clone());
        let mut request = tonic::Request::from_parts(metadata, Extensions::default(), message);
        if let Some(deadline) = self.deadline {
            request.set_timeout(deadline.saturating_duration_since(Instant::now()));
        }
        request
    }
}

/// The caller's id of the request where it is printable and short, else a new one.
pub fn request_id(headers: &HeaderMap) -> HeaderValue {
    let printable = |id: &&HeaderValue| {
        (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(printable).cloned().unwrap_or_else(|| {
        let id = Uuid::now_v7().to_string();
        HeaderValue::try_from(id).expect("a UUID is printable ASCII")
    })
}

/// Gives every request an id, and every answer the ids of its request and trace.
pub(crate) async fn identify(mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    request.headers_mut().insert(REQUEST_ID, id.clone());
    let trace = request.headers().get(TRACEPARENT).cloned();
    let mut response = next.run(request).await;
    response.headers_mut().insert(REQUEST_ID, id);
    if let Some(trace) = trace {
        response.headers_mut().insert(TRACEPARENT, trace);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).expect("a value");
        pairs.iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect()
    }

    #[test]
    fn only_what_is_listed_is_passed_on() {
        let given = headers(&[
            ("authorization", "Bearer x"),
            ("traceparent", "00-a"),
            ("x-forwarded-user", "root"),
            ("cornjacket-caller", "root"),
            ("grpc-timeout", "1S"),
            ("x-request-id", "mine"),
        ]);
        let context = CallContext::new(&given, None, None).expect("a context");
        let request = context.request(()).into_parts().0.into_headers();
        let mut names: Vec<_> = request.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "grpc-timeout", "traceparent", "x-request-id"]);
        assert_eq!(request["x-request-id"], "mine");
    }

    #[test]
    fn ids_that_could_spoil_a_log_are_replaced() {
        for bad in ["", "two words", &"x".repeat(129)] {
            assert_ne!(request_id(&headers(&[("x-request-id", bad)])), bad);
        }
        assert_eq!(request_id(&headers(&[("x-request-id", "a-1")])), "a-1");
    }

    #[tokio::test(start_paused = true)]
    async fn the_maximum_holds_and_the_default_fills_in() {
        let (default, most) = (Some(Duration::from_secs(10)), Some(Duration::from_mins(1)));
        for (given, expected) in [(None, 10), (Some("1S"), 1), (Some("2M"), 60)] {
            let given = given.map_or_else(HeaderMap::new, |text| headers(&[("grpc-timeout", text)]));
            let context = CallContext::new(&given, default, most).expect("a context");
            let left = context.deadline().expect("a deadline") - Instant::now();
            assert_eq!(left, Duration::from_secs(expected));
        }
        assert!(CallContext::new(&HeaderMap::new(), None, most).expect("a context").deadline().is_none());
    }
}
