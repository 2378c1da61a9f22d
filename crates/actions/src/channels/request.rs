//! What requests of all channels have in common.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::Telling;
use crate::outside::Call;
use crate::receiver_url::ReceiverUrl;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("Cornjacket/", env!("CARGO_PKG_VERSION")));
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Adds what we say of ourselves, and which trace the attempt belongs to.
pub fn introduce(headers: &mut HeaderMap, telling: &Telling<'_>) -> Result<(), String> {
    headers.insert(USER_AGENT, AGENT);
    if let Some(traceparent) = telling.traceparent {
        let value = HeaderValue::from_str(traceparent);
        headers.insert(TRACEPARENT, value.map_err(|error| format!("traceparent: {error}"))?);
    }
    Ok(())
}

/// A POST of JSON.
pub fn json<'a>(
    url: &'a ReceiverUrl,
    body: &Value,
    telling: &Telling<'_>,
    client_errors_are_final: bool,
) -> Result<Call<'a>, String> {
    let mut headers = HeaderMap::new();
    introduce(&mut headers, telling)?;
    headers.insert(CONTENT_TYPE, JSON);
    let body = Bytes::from(body.to_string());
    Ok(Call { url, method: Method::POST, headers, body, now: telling.now, client_errors_are_final })
}
