//! The port onto letting go of what actions keep once it is over.

use std::fmt::Debug;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;

use crate::StoreError;

/// Until when what is over is let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aged {
    /// Deliveries that arrived or were given up before; groups of which something was told last before, and nothing waits; and decisions whose last event was stored before, unless something that is
    /// kept names them: a delivery, a repeat, or an alarm that lasts.
    pub settled: Timestamp,
    /// Decisions to tell something go only when their event was stored before that, too: a window that began with a later one may
    /// not be over.
    pub windows: Timestamp,
    /// Alarms that were over before.
    pub cleared: Timestamp,
    /// Secrets that were good until then, at the longest.
    pub secrets: Timestamp,
}

/// What was let go of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Deliveries, each with all its attempts.
    pub deliveries: u64,
    /// Rows of the ledger.
    pub decisions: u64,
    /// Alarms.
    pub alarms: u64,
    /// Groups of which nothing waits.
    pub groups: u64,
    /// Secrets of endpoints.
    pub secrets: u64,
}

impl Dropped {
    /// Whether there was nothing.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Lets go of what actions keep. What waits or is under way stays, however old it is.
#[async_trait]
pub trait ActionRetention: Debug + Send + Sync {
    /// Lets go of the oldest, at most `most` of each kind, each kind in a transaction of its own. There may be more, also of what
    /// only then is named by nothing.
    async fn drop_aged(&self, aged: &Aged, most: u32) -> Result<Dropped, StoreError>;
}
