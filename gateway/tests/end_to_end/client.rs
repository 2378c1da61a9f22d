//! Asks the gateway as its layers and routes see it, without a connection.

use std::collections::HashMap;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use cornjacket_gateway::{Gateway, Options, Upstream};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use crate::fake::Fake;

pub const INGEST: &str = "/api/v1/ingest/events";
pub const SERVICES: [&str; 2] = ["cornjacket.ingest.v1.IngestService", "cornjacket.query.v1.QueryService"];

pub struct Client {
    pub fake: Fake,
    pub router: Router,
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Short times, so that tests that wait for one are quick.
pub fn options() -> Options {
    let mut options = Options { heartbeat: Duration::from_millis(50), ..Options::default() };
    options.body.bytes = 64 << 10;
    options.body.timeout = Duration::from_millis(200);
    options
}

pub fn upstreams(upstream: &Upstream) -> HashMap<String, Upstream> {
    SERVICES.into_iter().map(|name| (name.to_owned(), upstream.clone())).collect()
}

impl Client {
    pub fn new() -> Self {
        Self::with(options())
    }

    pub fn with(options: Options) -> Self {
        let fake = Fake::default();
        let upstream = Upstream::in_process(fake.routes());
        let gateway = Gateway::new(options, upstreams(&upstream)).expect("a gateway");
        Self { fake, router: gateway.layered(gateway.router().merge(gateway.cloudevents())) }
    }

    /// `what` is `METHOD /path`.
    pub async fn open(&self, what: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
        let (method, path) = what.split_once(' ').expect("method and path");
        let request = Request::builder().method(method).uri(path);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(body.into()).expect("a request");
        self.router.clone().oneshot(request).await.expect("an answer")
    }

    pub async fn ask(&self, what: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let (parts, body) = self.open(what, headers, body).await.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), &[], Body::empty()).await
    }

    /// Appends an event.
    pub async fn append(&self, headers: &[(&str, &str)], event: &str) -> Answer {
        self.ask(&format!("POST {INGEST}"), headers, event.to_owned()).await
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }

    /// Its content type, as `&str`.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// Sees that it is a problem of that status, and returns it.
    pub fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["requestId"], self.header("x-request-id"));
        problem
    }
}
