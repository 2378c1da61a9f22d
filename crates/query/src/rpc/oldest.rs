//! What the log no longer has.

use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::{EventLog, Range};

use super::store_failed;

/// The oldest position that is left, if any is.
pub(crate) async fn oldest(log: &dyn EventLog) -> Result<Option<u64>, Failure> {
    let oldest = log.read(&Range::after(0, 1)).await.map_err(|error| store_failed(&error))?;
    Ok(oldest.first().map(|stored| stored.position))
}

/// A log that dropped what is asked for cannot pretend that it never was.
pub(crate) async fn require_there(log: &dyn EventLog, first: u64) -> Result<(), Failure> {
    match oldest(log).await? {
        Some(oldest) if oldest > first => Err(dropped(oldest)),
        _ => Ok(()),
    }
}

pub(crate) fn dropped(oldest: u64) -> Failure {
    Failure::new(ErrorKind::OutOfRange, format!("the oldest position that is left is {oldest}"))
        .with_reason("POSITION_DROPPED", [("oldest", oldest.to_string())])
}
