//! Arithmetic that takes a processor for a while: on threads that may block, and not on all processors at once.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_proto::status::{ErrorKind, Failure};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::deadline::WAY_BACK;

/// How much of it is done at once.
#[derive(Debug)]
pub struct Fits(Arc<Semaphore>);

/// The right to a processor, for as long as the work takes.
#[derive(Debug)]
pub(crate) struct FitTurn(OwnedSemaphorePermit);

impl Default for Fits {
    /// On half of the processors: whoever takes events in has the others.
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new((processors / 2).max(1))))
    }
}

impl Fits {
    /// Waits for a turn, as long as the caller does.
    pub(crate) async fn turn(&self, deadline: Instant) -> Result<FitTurn, Failure> {
        let turn = timeout_at(deadline - WAY_BACK, self.0.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).map(FitTurn).ok_or_else(|| {
            let message = "others are still being answered whose answers take as much";
            Failure::new(ErrorKind::Unavailable, message)
                .with_reason("BUSY", [])
                .with_retry_after(Duration::from_secs(1))
        })
    }
}

impl FitTurn {
    /// Works. What its caller has left goes on until it ends by itself, and its turn ends no earlier.
    pub async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let done = tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(self.0);
            outcome
        });
        done.await.map_err(|error| {
            tracing::error!(%error, "what took a processor did not end well");
            Failure::new(ErrorKind::Internal, "the answer could not be worked out")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_too_long_for_a_turn_is_told_when_to_come_back() {
        let fits = Fits(Arc::new(Semaphore::new(1)));
        let deadline = Instant::now() + Duration::from_secs(5);
        let other = fits.0.clone().try_acquire_owned().expect("nobody has it");
        let refused = fits.turn(deadline).await.expect_err("taken");
        assert_eq!(refused.kind(), ErrorKind::Unavailable);
        drop(other);
        let deadline = Instant::now() + Duration::from_secs(5);
        let turn = fits.turn(deadline).await.expect("given back");
        let (hold, fit_waits) = std::sync::mpsc::channel::<()>();
        let (begins, begun) = tokio::sync::oneshot::channel();
        let left = tokio::spawn(turn.run(move || {
            begins.send(()).expect("the test waits for it");
            fit_waits.recv().expect_err("the test lets go of it");
        }));
        begun.await.expect("it begins");
        left.abort();
        assert_eq!(fits.0.available_permits(), 0, "its caller has gone, and it goes on");
        drop(hold);
        drop(fits.turn(Instant::now() + Duration::from_secs(5)).await.expect("it has ended"));
    }
}
