//! The port onto what is expected of series: what the last forecasts left, and the events that follow from it.

use std::collections::HashMap;
use std::fmt::Debug;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;

use crate::{SeriesId, StoreError};

/// A limit is expected to be crossed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Episode {
    /// The position of the last sample of the forecast that said so first: no other episode has it.
    pub since: u64,
    /// The limit, in the series' unit.
    pub limit: f64,
}

/// What a rule's last forecast of a series left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// The last sample that the forecast has seen: its time and position.
    pub last: (Timestamp, u64),
    /// Whether the upper limit is expected to be crossed.
    pub up: Option<Episode>,
    /// Whether the lower one is.
    pub down: Option<Episode>,
}

/// What is expected of series, by rules of the settings.
#[async_trait]
pub trait Outlooks: Debug + Send + Sync {
    /// What a rule's last forecasts of those series left; nothing of those that it has not looked at. Series are distinct.
    async fn load(&self, rule: &str, series: &[SeriesId]) -> Result<HashMap<SeriesId, Outlook>, StoreError>;

    /// Writes an outlook over the one that it follows, and has events on their way into the log, in one transaction. False, and
    /// nothing of it, when the one that it follows is not there: somebody else has looked at that series meanwhile.
    async fn follow(&self, next: &Next<'_>) -> Result<bool, StoreError>;
}

/// An outlook that follows another.
#[derive(Clone, Copy, Debug)]
pub struct Next<'a> {
    /// Whose.
    pub rule: &'a str,
    /// On which series.
    pub series: SeriesId,
    /// The one that it follows; nothing where it is the first.
    pub before: Option<Outlook>,
    /// What is kept. It has seen another last sample than the one that it follows.
    pub outlook: Outlook,
    /// Events that follow from it, encoded.
    pub events: &'a [Vec<u8>],
}
