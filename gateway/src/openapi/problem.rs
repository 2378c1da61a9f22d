//! Errors: problem details as in RFC 9457, with what `google.rpc.Status` carries.

use std::collections::BTreeMap;

use cornjacket_proto::status::ErrorKind;
use serde_json::{Map, Value, json};

use super::schemas::{Schemas, reference};

/// The statuses that come with `Retry-After` where it is known when to try again.
const TRY_AGAIN: [u16; 2] = [429, 503];
/// The response for every status that is not listed, such as those of the HTTP layer itself.
const DEFAULT: &str = "Problem";

/// Every status of the table of errors, with the gRPC codes that become it.
fn statuses() -> BTreeMap<u16, Vec<String>> {
    let mut statuses: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for kind in ErrorKind::ALL {
        let code = format!("`{}`", upper_snake(&format!("{:?}", kind.code())));
        let codes = statuses.entry(kind.http_status()).or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    statuses
}

fn upper_snake(camel: &str) -> String {
    let mut text = String::new();
    for letter in camel.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

/// The name of the response with `status`, in `components/responses`.
fn response_name(status: u16) -> String {
    format!("{DEFAULT}{status}")
}

/// Adds the error responses to those of an operation.
pub(super) fn answer(responses: &mut Map<String, Value>) {
    let response = |name: &str| json!({ "$ref": format!("#/components/responses/{name}") });
    for status in statuses().into_keys() {
        responses.insert(status.to_string(), response(&response_name(status)));
    }
    responses.insert("default".into(), response(DEFAULT));
}

/// The error responses, as `components/responses`.
pub(super) fn responses() -> Map<String, Value> {
    let named = statuses().into_iter().map(|(status, codes)| {
        let mut response = response(&codes.join(", "));
        if TRY_AGAIN.contains(&status) {
            response["headers"]["Retry-After"] = json!({ "$ref": "#/components/headers/RetryAfter" });
        }
        (response_name(status), response)
    });
    named.chain([(DEFAULT.to_owned(), response("Any other error."))]).collect()
}

fn response(description: &str) -> Value {
    json!({
        "description": description,
        "headers": { "x-request-id": { "$ref": "#/components/headers/RequestId" } },
        "content": { "application/problem+json": { "schema": reference(DEFAULT) } },
    })
}

/// The headers of answers, as `components/headers`.
pub(super) fn headers() -> Value {
    json!({
        "RequestId": { "description": "The request's id, as it is in the logs.", "schema": { "type": "string" } },
        "RetryAfter": {
            "description": "After how many seconds to try again.",
            "schema": { "type": "integer", "minimum": 0 },
        },
    })
}

/// Adds the schemas of problems.
pub(super) fn add(schemas: &mut Schemas) {
    schemas.insert(DEFAULT, problem());
    schemas.insert("ProblemField", field());
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "An error (RFC 9457).",
        "required": ["title", "status", "code"],
        "properties": {
            "type": { "type": "string", "format": "uri-reference", "description": "The kind of problem." },
            "title": { "type": "string", "description": "What the status means." },
            "status": { "type": "integer", "minimum": 400, "maximum": 599, "description": "The HTTP status." },
            "detail": { "type": "string", "description": "What is wrong, for the caller's developer." },
            "code": {
                "type": "string",
                "pattern": "^[A-Z_]+$",
                "description": "The name of the google.rpc.Code, such as `INVALID_ARGUMENT`.",
            },
            "requestId": { "type": "string", "description": "The request's id, as in `x-request-id`." },
            "details": {
                "type": "array",
                "items": super::well_known::any(),
                "description": "The details of the google.rpc.Status, such as google.rpc.RetryInfo.",
            },
            "errors": { "type": "array", "items": reference("ProblemField"), "description": "The bad fields." },
        },
        "additionalProperties": true,
    })
}

fn field() -> Value {
    json!({
        "type": "object",
        "description": "One bad field of a request, or the place where its JSON is none.",
        "properties": {
            "field": { "type": "string", "description": "Its path, such as `event.subject`." },
            "description": { "type": "string", "description": "Why it is bad." },
            "reason": { "type": "string", "description": "A stable reason, in UPPER_SNAKE_CASE." },
            "line": { "type": "integer", "minimum": 1, "description": "The line of the JSON." },
            "column": { "type": "integer", "minimum": 0, "description": "The column of the JSON." },
        },
        "additionalProperties": true,
    })
}
