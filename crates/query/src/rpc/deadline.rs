//! How long a caller waits.

use std::time::Duration;

use cornjacket_proto::status::{ErrorKind, Failure};
use tokio::time::{Instant, timeout_at};
use tonic::metadata::MetadataMap;
use tonic::{Response, Status};

/// Left of the caller's deadline for the answer's way back.
pub(super) const WAY_BACK: Duration = Duration::from_millis(50);

/// Runs a call until its deadline.
pub(super) async fn until<T>(
    deadline: Instant,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<Response<T>, Status> {
    match timeout_at(deadline, call).await {
        Ok(answer) => Ok(Response::new(answer?)),
        Err(_) => Err(passed().into()),
    }
}

/// What a caller is told whose time is over.
pub(crate) fn passed() -> Failure {
    Failure::new(ErrorKind::DeadlineExceeded, "the answer was not there by the deadline")
}

/// What the caller's `grpc-timeout` leaves (the gRPC over HTTP/2 protocol: up to eight digits and a unit).
pub(crate) fn time_left(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count.checked_mul(3600)?)),
        "M" => Some(Duration::from_secs(count.checked_mul(60)?)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_deadline_is_understood() {
        for (text, expected) in [
            ("250m", Some(Duration::from_millis(250))),
            ("2S", Some(Duration::from_secs(2))),
            ("1M", Some(Duration::from_mins(1))),
            ("5u", Some(Duration::from_micros(5))),
            ("S", None),
            ("", None),
            ("5x", None),
            ("é", None),
        ] {
            let mut metadata = MetadataMap::new();
            if let Ok(value) = text.parse() {
                metadata.insert("grpc-timeout", value);
            }
            assert_eq!(time_left(&metadata), expected, "{text}");
        }
    }
}
