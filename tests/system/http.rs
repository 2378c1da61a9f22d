//! A client of the gateway: any request, or a method of the contract by its annotation.

use std::time::Duration;

use anyhow::Context;
use cornjacket_gateway::template::Segment;
use cornjacket_gateway::{BodyRule, Route};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use prost::bytes::Bytes;
use serde_json::{Map, Value, json};
use tokio::time::timeout;
use tonic::codegen::http::{HeaderMap, Request};

const DEADLINE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| self.text())
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Asks, and reads the answer to its end. `what` is `METHOD /path`.
pub async fn ask(
    port: u16,
    what: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> anyhow::Result<Answer> {
    let (method, path) = what.split_once(' ').context("METHOD /path")?;
    let mut request = Request::builder().method(method).uri(format!("http://127.0.0.1:{port}{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request.body(Full::new(body.into()))?);
    let (parts, body) = timeout(DEADLINE, response).await.context("an answer in time")??.into_parts();
    let body = timeout(DEADLINE, body.collect()).await.context("a body in time")??.to_bytes();
    Ok(Answer { status: parts.status.as_u16(), headers: parts.headers, body })
}

/// Calls a method as its annotation says: `request` is what its message is in JSON, with proto names.
pub async fn call(port: u16, token: Option<&str>, route: &Route, request: &Value) -> anyhow::Result<Answer> {
    let mut left = request.as_object().cloned().unwrap_or_default();
    let mut variables = route.template.variables().iter();
    let mut path = String::new();
    for segment in route.template.segments() {
        path.push('/');
        match segment {
            Segment::Literal(text) => path.push_str(text),
            Segment::One | Segment::Rest => {
                let field = &variables.next().context("a variable")?.field;
                path.push_str(&taken(&mut left, field).map_or_else(|| "0".to_owned(), |value| text(&value)));
            }
        }
    }
    path.extend(route.template.verb().map(|verb| format!(":{verb}")));
    let body = match &route.body {
        BodyRule::None => String::new(),
        BodyRule::Whole => Value::Object(std::mem::take(&mut left)).to_string(),
        BodyRule::Field(field) => left.remove(field.name()).unwrap_or_else(|| json!({})).to_string(),
    };
    let query: Vec<_> = left.iter().flat_map(|(name, value)| parameters(name, value)).collect();
    let what = format!("{} {path}?{}", route.http_method, query.join("&"));
    let authorization = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.iter().map(|value| ("authorization", value.as_str())));
    // A stream that goes on is looked at for a while.
    headers.extend(route.method.is_server_streaming().then_some(("request-timeout", "1")));
    ask(port, &what, &headers, body).await
}

/// What a request says of a field, which may be within another; it does not say it any more.
fn taken(request: &mut Map<String, Value>, field: &[String]) -> Option<Value> {
    match field {
        [] => None,
        [name] => request.remove(name),
        [name, rest @ ..] => taken(request.get_mut(name)?.as_object_mut()?, rest),
    }
}

fn parameters(name: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(|item| parameters(name, item)).collect(),
        Value::Object(fields) => {
            fields.iter().flat_map(|(field, value)| parameters(&format!("{name}.{field}"), value)).collect()
        }
        other => vec![format!("{name}={}", text(other))],
    }
}

/// As in a URL; what tests ask for needs no escapes.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
