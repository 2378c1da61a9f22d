//! What a server-streaming method answers: a message a line, or a message a server-sent event.

use serde_json::{Value, json};

use super::schemas::{Schemas, reference};

/// The name of the schema of a stream's last line when the stream fails.
const STREAM_ERROR: &str = "StreamError";

/// The content of a stream of messages that `message` is the schema of.
///
/// `OpenAPI` 3.1 cannot say that a body is a sequence: the schemas are those of one item.
pub(super) fn content(message: &Value) -> Value {
    json!({
        "application/x-ndjson": { "schema": line(message) },
        "text/event-stream": { "schema": server_sent_event(message) },
    })
}

fn line(message: &Value) -> Value {
    json!({
        "description": "One line of the stream. The last one is an error if the stream failed.",
        "anyOf": [message, reference(STREAM_ERROR)],
    })
}

/// One event as in <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
fn server_sent_event(message: &Value) -> Value {
    json!({
        "type": "object",
        "description": "One server-sent event. Its data is a message; or a problem, if its name is `error`.",
        "required": ["data"],
        "properties": {
            "event": { "type": "string" },
            "id": { "type": "string", "description": "Sent back as Last-Event-ID, goes on after this event." },
            "retry": { "type": "integer", "minimum": 0 },
            "data": {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": { "anyOf": [message, reference("Problem")] },
            },
        },
    })
}

/// Adds the schemas that streams refer to.
pub(super) fn add(schemas: &mut Schemas) {
    schemas.insert(
        STREAM_ERROR,
        json!({
            "type": "object",
            "description": "Why a stream ended before its end.",
            "required": ["error"],
            "properties": { "error": reference("Problem") },
            "additionalProperties": false,
        }),
    );
}
