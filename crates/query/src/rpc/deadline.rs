//! How long a caller waits.

use std::time::Duration;

use cornjacket_proto::status::{ErrorKind, Failure};
use tokio::time::{Instant, timeout_at};
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
