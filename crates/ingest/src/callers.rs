//! Those who wait for an answer. What waits at a broker gives way to them: it has waited already, and nobody counts its milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// So long after a call others are expected.
const LINGER: Duration = Duration::from_millis(250);

/// When somebody last called, in this process.
#[derive(Clone, Debug)]
pub(crate) struct Callers {
    began: Instant,
    /// In milliseconds after `began`; zero when nobody has.
    last: Arc<AtomicU64>,
}

impl Default for Callers {
    fn default() -> Self {
        // A call at the beginning is not one that never was.
        Self { began: Instant::now() - Duration::from_millis(1), last: Arc::default() }
    }
}

impl Callers {
    /// Somebody calls.
    pub fn call(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    /// Whether somebody has called just now.
    pub fn are_here(&self) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last > 0 && u128::from(self.now() - last) <= LINGER.as_millis()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn callers_are_here_for_a_while() {
        let callers = Callers::default();
        assert!(!callers.are_here(), "nobody has called");
        callers.call();
        assert!(callers.are_here());
        advance(LINGER).await;
        assert!(callers.are_here());
        advance(Duration::from_millis(1)).await;
        assert!(!callers.are_here());
    }
}
