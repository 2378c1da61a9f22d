//! Kinds of error, and what each is called in gRPC and HTTP: the only table.
//!
//! A [`Failure`] is what a caller is told. It carries the kind, a message, and the `google.rpc` details from which a
//! program can tell the bad field, the stable reason, and when to try again.

use std::fmt;
use std::time::Duration;

use prost_types::Any;
use tonic::Code;

use crate::google::rpc;
use crate::google::rpc::bad_request::FieldViolation;

/// The domain of every [`rpc::ErrorInfo`] that Cornjacket sends.
pub const ERROR_DOMAIN: &str = "cornjacket";

/// Why a call failed, as far as its caller has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A field of the request is bad; the same request will fail again.
    Invalid,
    /// What was asked for does not exist.
    NotFound,
    /// The id is taken by other content.
    AlreadyExists,
    /// The caller is not known.
    Unauthenticated,
    /// The caller may not do this.
    PermissionDenied,
    /// The system is not in the state that the request needs.
    FailedPrecondition,
    /// Somebody else has changed it meanwhile: look again, and try again.
    Aborted,
    /// The position or time asked for is outside what is kept.
    OutOfRange,
    /// The request is larger than a stated limit; the same request will fail again.
    TooLarge,
    /// A queue or quota is full; try again after the stated delay.
    Exhausted,
    /// A dependency does not answer; try again after the stated delay.
    Unavailable,
    /// The caller's deadline passed.
    DeadlineExceeded,
    /// A defect of ours. The detail is in the log, not in the answer.
    Internal,
}

impl ErrorKind {
    /// Every kind, for tables and tests.
    pub const ALL: [Self; 13] = [
        Self::Invalid,
        Self::NotFound,
        Self::AlreadyExists,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::TooLarge,
        Self::Exhausted,
        Self::Unavailable,
        Self::DeadlineExceeded,
        Self::Internal,
    ];

    /// The gRPC status code (<https://grpc.io/docs/guides/status-codes/>).
    pub const fn code(self) -> Code {
        match self {
            Self::Invalid => Code::InvalidArgument,
            Self::NotFound => Code::NotFound,
            Self::AlreadyExists => Code::AlreadyExists,
            Self::Unauthenticated => Code::Unauthenticated,
            Self::PermissionDenied => Code::PermissionDenied,
            Self::FailedPrecondition => Code::FailedPrecondition,
            Self::Aborted => Code::Aborted,
            Self::OutOfRange => Code::OutOfRange,
            Self::TooLarge | Self::Exhausted => Code::ResourceExhausted,
            Self::Unavailable => Code::Unavailable,
            Self::DeadlineExceeded => Code::DeadlineExceeded,
            Self::Internal => Code::Internal,
        }
    }

    /// The HTTP status code (RFC 9110).
    pub const fn http_status(self) -> u16 {
        match self {
            Self::Invalid | Self::FailedPrecondition | Self::OutOfRange => 400,
            Self::Unauthenticated => 401,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::TooLarge => 413,
            Self::Exhausted => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }
}

/// What a caller is told of a failed call or a refused event.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    kind: ErrorKind,
    message: String,
    details: Vec<Any>,
}

impl Failure {
    /// A failure of `kind`; `message` is for the caller's developer and names nothing internal.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), details: Vec::new() }
    }

    /// One field is bad: `description` goes on after its name, as in `must not be empty`; `reason` is a stable name for that.
    pub fn invalid(field: &str, description: &str, reason: &str) -> Self {
        let violation = FieldViolation {
            field: field.to_owned(),
            description: description.to_owned(),
            reason: reason.to_owned(),
        };
        Self::new(ErrorKind::Invalid, format!("{field} {description}")).with_violations(vec![violation])
    }

    /// Adds the bad fields.
    #[must_use]
    pub fn with_violations(self, field_violations: Vec<FieldViolation>) -> Self {
        self.with_detail(&rpc::BadRequest { field_violations })
    }

    /// Adds when to try again.
    #[must_use]
    pub fn with_retry_after(self, delay: Duration) -> Self {
        // A delay out of protobuf's range (10,000 years) is never asked for; zero then means "at once".
        let retry_delay = Some(delay.try_into().unwrap_or_default());
        self.with_detail(&rpc::RetryInfo { retry_delay })
    }

    /// Adds a stable reason (`UPPER_SNAKE_CASE`) with its metadata.
    #[must_use]
    pub fn with_reason<const N: usize>(self, reason: &str, metadata: [(&str, String); N]) -> Self {
        self.with_detail(&rpc::ErrorInfo {
            reason: reason.to_owned(),
            domain: ERROR_DOMAIN.to_owned(),
            metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        })
    }

    fn with_detail<M: prost::Name>(mut self, detail: &M) -> Self {
        // `Any::from_msg` would write a bare `/name`; clients expect Google's prefix.
        self.details.push(Any {
            type_url: format!("type.googleapis.com/{}", M::full_name()),
            value: detail.encode_to_vec(),
        });
        self
    }

    /// Why the call failed.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message for the caller's developer.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for rpc::Status {
    fn from(failure: Failure) -> Self {
        Self { code: failure.kind.code() as i32, message: failure.message, details: failure.details }
    }
}

impl From<Failure> for tonic::Status {
    fn from(failure: Failure) -> Self {
        let code = failure.kind.code();
        let status = rpc::Status::from(failure);
        let details = prost::Message::encode_to_vec(&status);
        Self::with_details(code, status.message, details.into())
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn grpc_and_http_agree_on_who_is_to_blame() {
        for kind in ErrorKind::ALL {
            let ours =
                matches!(kind, ErrorKind::Internal | ErrorKind::Unavailable | ErrorKind::DeadlineExceeded);
            assert_eq!(kind.http_status() >= 500, ours, "{kind:?}");
            assert_ne!(kind.code(), Code::Ok, "{kind:?}");
        }
    }

    #[test]
    fn details_survive_the_way_to_a_tonic_status() {
        let status = tonic::Status::from(
            Failure::new(ErrorKind::Exhausted, "the queue is full")
                .with_retry_after(Duration::from_millis(50)),
        );
        let decoded = rpc::Status::decode(status.details()).expect("details are a google.rpc.Status");
        assert_eq!(decoded.code, Code::ResourceExhausted as i32);
        assert_eq!(decoded.details[0].type_url, "type.googleapis.com/google.rpc.RetryInfo");
        let retry = rpc::RetryInfo::decode(decoded.details[0].value.as_ref()).expect("a RetryInfo");
        assert_eq!(retry.retry_delay.expect("a delay").nanos, 50_000_000);
    }
}
