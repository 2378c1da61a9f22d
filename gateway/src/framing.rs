//! How messages of a stream are told apart: server-sent events, or lines.

use bytes::Bytes;
use http::HeaderValue;
use prost_reflect::DynamicMessage;

use crate::problem::Problem;
use crate::route::Route;
use crate::transcode::to_json;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// A form of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
    Sse,
    /// One JSON text for each line.
    NdJson,
}

impl Framing {
    /// Server-sent events where the client takes them, else lines.
    pub(crate) fn accepted(accept: Option<&HeaderValue>) -> Self {
        let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essences = accept.split(',').filter_map(|range| range.split(';').next());
        let sse = essences.map(str::trim).any(|essence| essence.eq_ignore_ascii_case("text/event-stream"));
        if sse { Self::Sse } else { Self::NdJson }
    }

    pub(crate) const fn media_type(self) -> HeaderValue {
        match self {
            Self::Sse => HeaderValue::from_static("text/event-stream"),
            Self::NdJson => HeaderValue::from_static("application/x-ndjson"),
        }
    }

    /// One message, with its resume token as the event's id.
    pub(crate) fn message(self, route: &Route, message: Bytes) -> Result<Vec<u8>, Error> {
        let message = DynamicMessage::decode(route.output.clone(), message)?;
        let mut json = to_json(route, &message)?;
        if self == Self::NdJson {
            json.push(b'\n');
            return Ok(json);
        }
        let token = route.resume_token.as_ref().map(|field| message.get_field(field));
        let token = token.as_ref().and_then(|token| token.as_str()).filter(|token| !token.is_empty());
        // A line's end within it would begin a field of the event.
        let token = token.filter(|token| !token.contains(['\r', '\n', '\0']));
        let id = token.map_or_else(String::new, |token| format!("id: {token}\n"));
        Ok([id.as_bytes(), b"data: ", &json, b"\n\n"].concat())
    }

    /// The last thing of a stream that failed.
    pub(crate) fn error(self, problem: &Problem) -> Vec<u8> {
        let json = problem.to_json();
        match self {
            Self::Sse => [b"event: error\ndata: ".as_slice(), &json, b"\n\n"].concat(),
            Self::NdJson => [b"{\"error\":".as_slice(), &json, b"}\n"].concat(),
        }
    }

    /// What means nothing, and keeps the connection alive.
    pub(crate) fn heartbeat(self) -> Vec<u8> {
        match self {
            Self::Sse => b":\n\n".to_vec(),
            Self::NdJson => b"\n".to_vec(),
        }
    }
}
