//! How long a caller waits: `Grpc-Timeout` as gRPC writes it, `Request-Timeout` in seconds.

use std::time::Duration;

use http::HeaderMap;

use crate::field_error::FieldError;

const GRPC: &str = "grpc-timeout";
const SECONDS: &str = "request-timeout";

/// The shorter of the timeouts that the headers have.
pub(crate) fn asked_for(headers: &HeaderMap) -> Result<Option<Duration>, FieldError> {
    let grpc = read(headers, GRPC, grpc, "is up to eight digits and one of H, M, S, m, u, n")?;
    let seconds = read(headers, SECONDS, seconds, "is a number of seconds, and more than 0")?;
    Ok(grpc.into_iter().chain(seconds).min())
}

fn read(
    headers: &HeaderMap,
    name: &str,
    parse: impl Fn(&str) -> Option<Duration>,
    otherwise: &str,
) -> Result<Option<Duration>, FieldError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let timeout = value.to_str().ok().and_then(|text| parse(text.trim()));
    timeout.map(Some).ok_or_else(|| FieldError::new(name, "MALFORMED", otherwise))
}

/// <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>
fn grpc(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let digits = Some(digits)
        .filter(|digits| digits.len() <= 8 && digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// Who does not wait has made a mistake: a call that ends before it begins is no failure of ours.
fn seconds(text: &str) -> Option<Duration> {
    let timeout = Duration::try_from_secs_f64(text.parse().ok()?).ok()?;
    (!timeout.is_zero()).then_some(timeout)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn timeouts_are_understood_or_refused() {
        let millis = |count| Ok(Some(Duration::from_millis(count)));
        let cases = [
            (GRPC, "250m", millis(250)),
            (GRPC, "2S", millis(2_000)),
            (GRPC, "1M", millis(60_000)),
            (SECONDS, "1.5", millis(1_500)),
            (GRPC, "0S", millis(0)),
            (GRPC, "123456789S", Err(GRPC)),
            (GRPC, "+5S", Err(GRPC)),
            (GRPC, "5", Err(GRPC)),
            (GRPC, "", Err(GRPC)),
            (SECONDS, "-1", Err(SECONDS)),
            (SECONDS, "0", Err(SECONDS)),
            (SECONDS, "inf", Err(SECONDS)),
            (SECONDS, "soon", Err(SECONDS)),
            (SECONDS, "NaN", Err(SECONDS)),
        ];
        for (name, text, expected) in cases {
            let value = HeaderValue::from_static(text);
            let headers = HeaderMap::from_iter([(HeaderName::from_static(name), value)]);
            let found = asked_for(&headers).map_err(|error| error.field);
            assert_eq!(found, expected.map_err(ToOwned::to_owned), "{name}: {text}");
        }
    }
}
