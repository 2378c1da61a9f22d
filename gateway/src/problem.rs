//! Failures as `application/problem+json` (RFC 9457), with the status and details that gRPC has.

mod status;
#[cfg(test)]
mod tests;

use axum::response::{IntoResponse, Response};
use cornjacket_proto::google::rpc::BadRequest;
use cornjacket_proto::status::{ErrorKind, Failure};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::{Message, Name};
use serde::Serialize;
use tonic::Code;

use crate::any;
use crate::context;
use crate::field_error::FieldError;

const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
/// What a caller without a valid token is asked for.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"cornjacket\"");

/// What a caller over HTTP is told of a failed call.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    content: Content,
    headers: HeaderMap,
}

/// The members of the problem, in the order in which they are written.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(rename = "type")]
    uri: String,
    title: &'static str,
    status: u16,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
    /// The name of the gRPC code.
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
    /// The `google.rpc` details, as JSON has `Any`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    details: Vec<serde_json::Value>,
}

impl Problem {
    /// A problem of the gateway's own.
    pub fn new(status: u16, code: Code, detail: impl Into<String>) -> Self {
        let name = status::name(code);
        let content = Content {
            uri: format!("urn:cornjacket:problem:{}", name.to_ascii_lowercase().replace('_', "-")),
            title: status::title(status),
            status,
            detail: detail.into(),
            code: name,
            request_id: None,
            errors: Vec::new(),
            details: Vec::new(),
        };
        let mut headers = HeaderMap::new();
        if status == ErrorKind::Unauthenticated.http_status() {
            headers.insert(WWW_AUTHENTICATE, CHALLENGE);
        }
        Self(Box::new(Parts { content, headers }))
    }

    /// A problem of a kind of error.
    pub fn of(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self::new(kind.http_status(), kind.code(), detail)
    }

    /// The path is unknown.
    pub(crate) fn no_such_path() -> Self {
        Self::of(ErrorKind::NotFound, "there is no such path")
    }

    /// The path has other methods.
    pub(crate) fn other_methods(methods: &[http::Method]) -> Self {
        let allow = methods.iter().map(http::Method::as_str).collect::<Vec<_>>().join(", ");
        let code = Code::Unimplemented;
        let detail = format!("this path has only {allow}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED.as_u16(), code, detail).with_header(ALLOW, allow)
    }

    /// A defect of ours: what went wrong is in the log.
    pub(crate) fn internal(what: &dyn std::fmt::Display) -> Self {
        tracing::error!(error = %what, "answered with an internal error");
        Self::of(ErrorKind::Internal, status::HIDDEN)
    }

    /// Who has the problem, for the caller to quote.
    #[must_use]
    pub fn with_request_id(mut self, id: &str) -> Self {
        self.0.content.request_id = Some(id.to_owned());
        self
    }

    /// The answer to the request with these headers, whose id it names.
    pub(crate) fn answer(self, request: &HeaderMap) -> Response {
        let id = context::request_id(request);
        self.with_request_id(id.to_str().unwrap_or_default()).into_response()
    }

    /// One header more; a value that is none is left out.
    #[must_use]
    pub(crate) fn with_header(mut self, name: http::HeaderName, value: String) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.0.headers.insert(name, value);
        }
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.0.content.status
    }

    /// As JSON, for what is inside a stream.
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and numbers: there is nothing in it that JSON cannot say.
        serde_json::to_vec(&self.0.content).unwrap_or_default()
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        let detail = if error.field.is_empty() {
            error.description.clone()
        } else {
            format!("{}: {}", error.field, error.description)
        };
        let bad_request = BadRequest { field_violations: vec![error.violation()] };
        let mut problem = Self::of(ErrorKind::Invalid, detail);
        problem.0.content.errors.push(error);
        problem.0.content.details.push(any::to_json(&any::pack(&bad_request)));
        problem
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        tonic::Status::from(failure).into()
    }
}

impl From<tonic::Status> for Problem {
    fn from(status: tonic::Status) -> Self {
        let status = status::Told::from(status);
        let mut problem = Self::new(status.http, status.code, status.message);
        for detail in &status.details {
            problem.0.content.details.push(any::to_json(detail));
            if detail.type_url.ends_with(&BadRequest::full_name()) {
                let violations =
                    BadRequest::decode(detail.value.as_ref()).unwrap_or_default().field_violations;
                problem.0.content.errors.extend(violations.into_iter().map(FieldError::from_violation));
            }
        }
        match status.retry_after {
            Some(seconds) => problem.with_header(RETRY_AFTER, seconds.to_string()),
            None => problem,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let json = self.to_json();
        let status = StatusCode::from_u16(self.0.content.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, self.0.headers, json).into_response();
        response.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
        response
    }
}
