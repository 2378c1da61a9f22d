//! What of a gRPC status is told over HTTP.

use std::error::Error;

use cornjacket_proto::Any;
use cornjacket_proto::google::rpc::{self, RetryInfo};
use cornjacket_proto::status::ErrorKind;
use prost::{Message, Name};
use tonic::{Code, Status};

/// What is said instead of what is ours alone.
pub(super) const HIDDEN: &str = "a defect of the server; the request's id leads to it in the log";
const UNREACHABLE: &str = "the service does not answer";
/// A client that hung up reads no answer; nginx named this status, and logs show it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// The part of a status that is for the caller.
pub(super) struct Told {
    pub(super) code: Code,
    pub(super) http: u16,
    pub(super) message: String,
    pub(super) details: Vec<Any>,
    /// In seconds, at least one; only where trying again may help.
    pub(super) retry_after: Option<u64>,
}

impl From<Status> for Told {
    fn from(status: Status) -> Self {
        let code = told_code(&status);
        let (message, details) = match code {
            _ if code != status.code() => (UNREACHABLE.to_owned(), Vec::new()),
            Code::Internal | Code::Unknown | Code::DataLoss => (HIDDEN.to_owned(), Vec::new()),
            _ => (status.message().to_owned(), details(&status)),
        };
        if message == HIDDEN || message == UNREACHABLE {
            tracing::error!(code = name(status.code()), error = %status, "a call failed");
        }
        let delay = details.iter().find(|any| any.type_url.ends_with(&RetryInfo::full_name()));
        let http = http_status(code, &details);
        let again =
            http == ErrorKind::Exhausted.http_status() || http == ErrorKind::Unavailable.http_status();
        let retry_after = again.then(|| delay.map_or(1, seconds));
        Self { code, http, message, details, retry_after }
    }
}

/// A status with a source was made here, by the transport: the service was not reached, whatever it says.
fn told_code(status: &Status) -> Code {
    match status.code() {
        code @ (Code::Cancelled | Code::DeadlineExceeded) => code,
        _ if status.source().is_some() => Code::Unavailable,
        code => code,
    }
}

fn details(status: &Status) -> Vec<Any> {
    rpc::Status::decode(status.details()).map(|status| status.details).unwrap_or_default()
}

fn seconds(retry_info: &Any) -> u64 {
    let delay =
        RetryInfo::decode(retry_info.value.as_ref()).unwrap_or_default().retry_delay.unwrap_or_default();
    let whole = u64::try_from(delay.seconds).unwrap_or_default();
    (whole + u64::from(delay.nanos > 0)).max(1)
}

/// The one table, read from code to kind.
fn http_status(code: Code, details: &[Any]) -> u16 {
    match code {
        Code::Ok => 200,
        Code::Cancelled => CLIENT_CLOSED_REQUEST,
        Code::Unimplemented => 501,
        Code::Aborted => ErrorKind::Aborted.http_status(),
        Code::ResourceExhausted => exhausted(details).http_status(),
        Code::Unknown | Code::DataLoss => ErrorKind::Internal.http_status(),
        _ => {
            let kind = ErrorKind::ALL.into_iter().find(|kind| kind.code() == code);
            kind.unwrap_or(ErrorKind::Internal).http_status()
        }
    }
}

/// What is too large names its field and no time to try again; what is exhausted is the other way round.
fn exhausted(details: &[Any]) -> ErrorKind {
    let has = |name: &str| details.iter().any(|any| any.type_url.ends_with(name));
    let too_large = has(&rpc::BadRequest::full_name()) && !has(&RetryInfo::full_name());
    if too_large { ErrorKind::TooLarge } else { ErrorKind::Exhausted }
}

/// The code's name in the gRPC specification.
pub(super) const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// The status in words.
pub(super) fn title(status: u16) -> &'static str {
    let known = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    known.unwrap_or("Client Closed Request")
}
