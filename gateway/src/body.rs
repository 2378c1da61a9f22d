//! Reads request bodies whole, within bounds, whatever their encoding.

use std::io::Read;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use cornjacket_proto::status::ErrorKind;
use flate2::read::MultiGzDecoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tonic::Code;

use crate::problem::Problem;

/// What a zstd frame may make us remember: 8 MiB, the most that RFC 9659 lets HTTP use.
const ZSTD_WINDOW_LOG: u32 = 23;

/// How much is read, and how long.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes, on the wire and after decompression.
    pub bytes: usize,
    /// Until the last byte is there.
    pub timeout: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
    Zstd,
}

/// Reads a body to its end and undoes its `Content-Encoding`.
pub async fn read(headers: &HeaderMap, body: Body, limits: BodyLimits) -> Result<Bytes, Problem> {
    let encoding = encoding(headers)?;
    if declared(headers).is_some_and(|length| length > limits.bytes as u64) {
        return Err(too_large(limits.bytes));
    }
    let collected = tokio::time::timeout(limits.timeout, Limited::new(body, limits.bytes).collect());
    let bytes = match collected.await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_large(limits.bytes)),
        Ok(Err(_)) => return Err(Problem::of(ErrorKind::Invalid, "the body ends before it is over")),
        Err(_) => return Err(too_slow()),
    };
    if encoding == Encoding::Identity {
        return Ok(bytes);
    }
    // A few bytes may be megabytes of work: not on a thread that others wait for.
    let inflated = tokio::task::spawn_blocking(move || inflate(encoding, &bytes, limits.bytes)).await;
    inflated.map_err(|error| Problem::internal(&error))?
}

/// Refuses a body that says that it is something else than JSON. One that says nothing is taken for it.
pub(crate) fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let structured = essence.len() > "+json".len()
        && essence.as_bytes()[essence.len() - "+json".len()..].eq_ignore_ascii_case(b"+json");
    if essence.eq_ignore_ascii_case("application/json") || structured {
        return Ok(());
    }
    Err(unsupported("the body is application/json"))
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, Problem> {
    let Some(value) = headers.get(CONTENT_ENCODING) else { return Ok(Encoding::Identity) };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        "zstd" => Ok(Encoding::Zstd),
        _ => Err(unsupported("the body is encoded with gzip, zstd or not at all")
            .with_header(ACCEPT_ENCODING, "gzip, zstd".into())),
    }
}

fn declared(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn inflate(encoding: Encoding, bytes: &[u8], limit: usize) -> Result<Bytes, Problem> {
    let inflated = match encoding {
        Encoding::Identity => Ok(bytes.to_vec()),
        Encoding::Gzip => at_most(limit, MultiGzDecoder::new(bytes)),
        Encoding::Zstd => zstd::stream::read::Decoder::with_buffer(bytes).and_then(|mut decoder| {
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            at_most(limit, decoder)
        }),
    };
    match inflated {
        Ok(inflated) if inflated.len() > limit => Err(too_large(limit)),
        Ok(inflated) => Ok(inflated.into()),
        Err(_) => Err(Problem::of(ErrorKind::Invalid, "the body is not what its Content-Encoding says")),
    }
}

/// Reads to the end, or one byte further than the limit.
fn at_most(limit: usize, reader: impl Read) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn too_large(limit: usize) -> Problem {
    Problem::of(ErrorKind::TooLarge, format!("the body is larger than {limit} bytes, which is the limit"))
}

fn too_slow() -> Problem {
    let status = StatusCode::REQUEST_TIMEOUT.as_u16();
    Problem::new(status, Code::DeadlineExceeded, "the body did not come in time")
}

fn unsupported(detail: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE.as_u16(), Code::InvalidArgument, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_inflated_than_is_allowed() {
        // Without an end: only a bound ends this.
        assert_eq!(at_most(10, std::io::repeat(0)).expect("bytes").len(), 11);
    }
}
