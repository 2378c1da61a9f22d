//! The port for questions: everything of the store as it is at one moment, for a limited time.

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;

use crate::StoreError;
use crate::event_log::EventLogSnapshot;
use crate::read_model::ReadModelSnapshot;
use crate::scoring::ScoringSnapshot;
use crate::series::SeriesSnapshot;

/// Opens snapshots, on connections that are for questions alone.
#[async_trait]
pub trait Snapshots: Debug + Send + Sync {
    /// A snapshot whose statements end in the database when they take longer than `within`, with
    /// [`StoreError::Deadline`]: whoever asked no longer waits.
    async fn begin(&self, within: Duration) -> Result<Box<dyn Snapshot>, StoreError>;
}

/// The store as it is at one moment: of what is derived from the log, all statements see the same.
pub trait Snapshot: EventLogSnapshot + ReadModelSnapshot + SeriesSnapshot + ScoringSnapshot {}

impl<S: EventLogSnapshot + ReadModelSnapshot + SeriesSnapshot + ScoringSnapshot> Snapshot for S {}
