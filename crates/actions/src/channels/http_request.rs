//! A request to the API of something else, made of templates.
//!
//! What the templates put in comes from devices, and none of it gets out of where it stands: a value in a URL is percent-encoded
//! and scheme, host and port are no template; a value in a header has no end of line; a value in JSON stays within its
//! quotes, and what comes of a template of JSON is sent only if it is JSON. Headers that are secrets are no templates.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use cornjacket_domain::violation::{Reason, Violation};
use cornjacket_proto::actions;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use minijinja::{Value, context};
use secrecy::{ExposeSecret, SecretString};
use serde::de::IgnoredAny;

use super::{Channel, Telling, headers, naming, request, secret};
use crate::guard::Allow;
use crate::outside::{Attempted, Call, Outside};
use crate::receiver_url::ReceiverUrl;
use crate::rules::{Escape, Snippets, View};

const URL: &str = "http.url";
const BODY: &str = "http.body";
const METHODS: [Method; 5] = [Method::POST, Method::GET, Method::PUT, Method::PATCH, Method::DELETE];
const JSON: &str = "application/json";
/// Characters of templates, and bytes of what they become.
const MOST_URL: usize = 2_048;
const MOST_HEADER: usize = 1_024;
const MOST_BODY: (usize, usize) = (16_384, 1 << 20);
/// Bytes that a header becomes before it is cut.
const MOST_HEADER_BYTES: usize = 1 << 20;

/// An endpoint's request.
#[derive(Debug)]
pub struct HttpRequest {
    method: Method,
    /// Where it goes, but for path and query.
    server: ReceiverUrl,
    headers: Vec<HeaderName>,
    /// Nothing where nothing is sent.
    content: Option<Content>,
    secret_headers: HeaderMap,
    snippets: Snippets,
    client_errors_are_final: bool,
}

#[derive(Debug)]
struct Content {
    content_type: HeaderValue,
    escape: Escape,
}

/// What is wrong, as it is found.
#[derive(Default)]
struct Problems(Vec<Violation>);

impl Problems {
    fn add(&mut self, field: &str, reason: Reason, said: impl Into<String>) {
        self.0.push(Violation::new(field, reason, said));
    }

    fn take<T>(&mut self, found: Result<T, Vec<Violation>>) -> Option<T> {
        found.map_err(|found| self.0.extend(found)).ok()
    }

    fn snippet(&mut self, snippets: &mut Snippets, field: &str, source: &str, escape: Escape, most: usize) {
        if let Err((reason, said)) = snippets.add(field, source, escape, most) {
            self.add(field, reason, said);
        }
    }
}

impl HttpRequest {
    /// As set, with the secret headers.
    pub fn new(
        settings: &actions::HttpRequest,
        secrets: &[SecretString],
        client_errors_are_final: bool,
    ) -> Result<Self, Vec<Violation>> {
        let (mut problems, mut snippets) = (Problems::default(), Snippets::default());
        let method = method(&settings.method, &mut problems);
        let server = problems.take(parse_server(&settings.url));
        problems.snippet(&mut snippets, URL, &settings.url, Escape::Url, MOST_URL);
        let headers = problems.take(headers::read(&settings.headers, "http.headers")).unwrap_or_default();
        for (name, source) in &headers {
            // It has been read as one of visible ASCII.
            let source = source.to_str().unwrap_or_default();
            problems.snippet(&mut snippets, &header_field(name), source, Escape::Plain, MOST_HEADER);
        }
        let content = content(settings, method.as_ref(), &mut problems, &mut snippets);
        let secret_headers = problems.take(secret_headers(secrets)).unwrap_or_default();
        for name in secret_headers.keys().filter(|name| headers.contains_key(*name)) {
            let field = format!("http.secret_headers[{:?}]", name.as_str());
            problems.add(&field, Reason::Repeated, "is among the headers too");
        }
        match (method, server) {
            (Some(method), Some(server)) if problems.0.is_empty() => Ok(Self {
                method,
                server,
                headers: headers.keys().cloned().collect(),
                content,
                secret_headers,
                snippets,
                client_errors_are_final,
            }),
            _ => Err(problems.0),
        }
    }

    /// Where it goes, by what is told.
    fn url(&self, said: &Value) -> Result<ReceiverUrl, String> {
        let text =
            self.snippets.render(URL, said, Escape::Url, MOST_URL).map_err(|error| error.to_string())?;
        let path = text.split(['?', '#']).next().unwrap_or_default();
        // They would lead elsewhere.
        if path.split('/').any(|segment| segment == "." || segment == "..") {
            return Err(format!("{URL}: becomes a path with a segment of dots"));
        }
        ReceiverUrl::parse(&text).map_err(|error| format!("{URL}: {error}"))
    }

    fn headers(&self, said: &Value, telling: &Telling<'_>) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::new();
        for name in &self.headers {
            let rendered = self.snippets.render(&header_field(name), said, Escape::Plain, MOST_HEADER_BYTES);
            headers.insert(name, headers::tamed(&rendered.map_err(|error| error.to_string())?));
        }
        headers.extend(self.secret_headers.clone());
        request::introduce(&mut headers, telling)?;
        if let Some(content) = &self.content {
            headers.insert(CONTENT_TYPE, content.content_type.clone());
        }
        Ok(headers)
    }

    fn body(&self, said: &Value) -> Result<Bytes, String> {
        let Some(content) = &self.content else { return Ok(Bytes::new()) };
        let body = self.snippets.render(BODY, said, content.escape, MOST_BODY.1);
        let body = body.map_err(|error| error.to_string())?;
        if content.escape == Escape::Json {
            serde_json::from_str::<IgnoredAny>(&body)
                .map_err(|error| format!("{BODY}: becomes what is no JSON: {error}"))?;
        }
        Ok(body.into())
    }

    async fn attempt(&self, telling: Telling<'_>, outside: &Outside) -> Result<Attempted, String> {
        let said = said(&telling)?;
        let url = self.url(&said)?;
        let call = Call {
            url: &url,
            method: self.method.clone(),
            headers: self.headers(&said, &telling)?,
            body: self.body(&said)?,
            now: telling.now,
            client_errors_are_final: self.client_errors_are_final,
        };
        Ok(outside.attempt(call, telling.deadline).await)
    }
}

#[async_trait]
impl Channel for HttpRequest {
    fn vet(&self, allow: &Allow) -> Result<(), Violation> {
        self.server.vet(allow).map_err(|error| error.of(URL))
    }

    async fn send(&self, telling: Telling<'_>, outside: &Outside) -> Attempted {
        let attempted = self.attempt(telling, outside).await.unwrap_or_else(Attempted::unsendable);
        let secrets: Vec<_> = self.secret_headers.values().filter_map(|value| value.to_str().ok()).collect();
        secret::redacted(attempted, &secrets)
    }
}

/// Scheme, host and port of a URL: all before its path.
pub fn server(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let length = url[host..].find(['/', '?', '#', '\\']).unwrap_or(url.len() - host);
    &url[..host + length]
}

fn parse_server(url: &str) -> Result<ReceiverUrl, Vec<Violation>> {
    let server = server(url);
    if server.contains(['{', '}']) {
        let said = "must have a scheme, host and port that are no template";
        return Err(vec![Violation::new(URL, Reason::Grammar, said)]);
    }
    let server = if url.is_empty() { String::new() } else { format!("{server}/") };
    let parsed = ReceiverUrl::parse(&server).map_err(|error| vec![error.of(URL)])?;
    // What is no template is seen to be wrong now.
    if !url.contains('{') {
        ReceiverUrl::parse(url).map_err(|error| vec![error.of(URL)])?;
    }
    Ok(parsed)
}

fn method(stated: &str, problems: &mut Problems) -> Option<Method> {
    if stated.is_empty() {
        return Some(Method::POST);
    }
    let found = METHODS.into_iter().find(|method| method.as_str() == stated);
    if found.is_none() {
        problems.add("http.method", Reason::Grammar, "must be POST, GET, PUT, PATCH or DELETE");
    }
    found
}

fn content(
    settings: &actions::HttpRequest,
    method: Option<&Method>,
    problems: &mut Problems,
    snippets: &mut Snippets,
) -> Option<Content> {
    let stated = if settings.content_type.is_empty() { JSON } else { &settings.content_type };
    let is_visible = stated.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let content_type =
        HeaderValue::from_str(stated).ok().filter(|_| is_visible && stated.len() <= MOST_HEADER);
    if content_type.is_none() || !stated.contains('/') {
        problems.add("http.content_type", Reason::Grammar, "is no media type: such as application/json");
    }
    if settings.body.is_empty() {
        return None;
    }
    if method == Some(&Method::GET) {
        problems.add(BODY, Reason::Mismatch, "must be empty: GET sends nothing");
    }
    let escape = if is_json(stated) { Escape::Json } else { Escape::Plain };
    problems.snippet(snippets, BODY, &settings.body, escape, MOST_BODY.0);
    content_type.map(|content_type| Content { content_type, escape })
}

fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.ends_with("/json") || essence.ends_with("+json")
}

fn secret_headers(secrets: &[SecretString]) -> Result<HeaderMap, Vec<Violation>> {
    const FIELD: &str = "http.secret_headers";
    let Some(secret) = secrets.first() else { return Ok(HeaderMap::new()) };
    // The error would repeat what it does not understand.
    let read: BTreeMap<String, String> = serde_json::from_str(secret.expose_secret())
        .map_err(|_| vec![Violation::new(FIELD, Reason::Grammar, "cannot be read")])?;
    headers::read_secret(&read, FIELD)
}

fn header_field(name: &HeaderName) -> String {
    format!("http.headers[{:?}]", name.as_str())
}

/// What templates see.
fn said(telling: &Telling<'_>) -> Result<Value, String> {
    let message = telling.message;
    let event = message.event.as_ref().ok_or("the delivery has no event")?;
    let event = View::new(event).written().map_err(ToString::to_string)?;
    Ok(context! {
        delivery => telling.id,
        title => message.title,
        text => message.text,
        rule => message.rule,
        rule_version => message.rule_version,
        severity => crate::severity::name(message.severity()),
        alarm_key => message.alarm_key,
        alarm_change => naming::change(message.alarm_change()).unwrap_or_default(),
        event,
    })
}

#[cfg(test)]
mod tests;
