//! Work that may take a while, within a transaction.

use std::time::{Duration, Instant};

use cornjacket_store::{StoreError, Tx};

/// The database cuts off who is silent for longer than some of these.
const SLICE: Duration = Duration::from_millis(500);

/// When a transaction was last heard of.
#[derive(Debug)]
pub(super) struct Pace(Instant);

impl Pace {
    /// Begins now.
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    /// Between two pieces of work: lets the transaction be heard of, and others have this thread, when it is time.
    pub async fn keep(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        if self.0.elapsed() >= SLICE {
            tokio::task::yield_now().await;
            tx.touch().await?;
            self.0 = Instant::now();
        }
        Ok(())
    }
}
