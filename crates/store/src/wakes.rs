//! Telling, after a commit, those in this process who wait for what it brought.

use std::sync::Arc;

use tokio::sync::watch;

/// Who waits for what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wakes {
    /// Changes when something is on its way into the log.
    pub outbox: Arc<watch::Sender<u64>>,
    /// Changes when something is to be told to an endpoint.
    pub deliveries: Arc<watch::Sender<u64>>,
}

/// Whom a transaction wakes when it is committed.
#[derive(Debug)]
pub(crate) struct Wake {
    wakes: Wakes,
    sends: bool,
    tells: bool,
}

impl Wake {
    /// Nobody yet.
    pub fn new(wakes: &Wakes) -> Self {
        Self { wakes: wakes.clone(), sends: false, tells: false }
    }

    /// The transaction sends something into the log.
    pub const fn sends(&mut self) {
        self.sends = true;
    }

    /// The transaction has something told.
    pub const fn tells(&mut self) {
        self.tells = true;
    }

    /// The transaction is committed.
    pub fn wake(self) {
        for (is_due, sender) in [(self.sends, self.wakes.outbox), (self.tells, self.wakes.deliveries)] {
            if is_due {
                sender.send_modify(|count| *count += 1);
            }
        }
    }
}
