//! Work that grows with what a client sends or is sent: not on a thread that other calls wait for, where it is much.

use crate::problem::Problem;

/// JSON or protobuf of up to so many bytes is worked on where it came in. So much JSON of a batch of events takes 0.4 ms to
/// read and as much to encode, and of a `struct` of many small values 3 ms in all (release build, measured); it grows with
/// the bytes. A single event is most often far below, and does not pay for going to another thread.
const AT_ONCE: usize = 16 << 10;

/// Does `work`, which is about so many bytes.
pub(crate) async fn by_size<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    if bytes <= AT_ONCE {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| Problem::internal(&error))
}
