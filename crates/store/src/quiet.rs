//! The port onto quiet: for how long samples would have been seen, and whose silence somebody waits for.

use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::{Sample, SeriesKey, Timestamp};

use crate::StoreError;
use crate::scoring::DetectorKey;

/// A clock that goes only while all doors are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vigil {
    /// What it shows.
    pub open: Duration,
    /// The time up to which that is known.
    pub until: Timestamp,
    /// Since when it goes without having stood; later than `until` where it is about to go.
    pub since: Timestamp,
    /// What it showed then.
    pub open_before: Duration,
}

/// A series that a model waits for.
#[derive(Clone, Debug, PartialEq)]
pub struct Quiet {
    /// Which, and who waits.
    pub key: DetectorKey,
    /// What it is of.
    pub series: SeriesKey,
    /// Its last sample, if there is any left.
    pub last: Option<Sample>,
    /// What is known of it.
    pub heard: Heard,
}

/// When a series was heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// What is known up to this position; 0 for nothing. Nothing about the series came between what is noted here and this.
    pub noted: u64,
    /// What the vigil showed when it was heard last, or later.
    pub at: Duration,
    /// What it shows when to look again.
    pub due: Duration,
    /// The silence since then is an anomaly already.
    pub told: bool,
}

/// A reading of the vigil's clock, as it is kept: microseconds. Three hundred thousand years are enough.
pub(crate) fn to_kept(reading: Duration) -> i64 {
    i64::try_from(reading.as_micros()).unwrap_or(i64::MAX)
}

/// The reading that is kept as that.
pub(crate) const fn from_kept(micros: i64) -> Duration {
    Duration::from_micros(micros.cast_unsigned())
}

/// Waiting for samples, within a transaction.
#[async_trait]
pub trait QuietTx: Send {
    /// Has a model wait for a series, which is looked at next, also where it waits already. Keys are distinct.
    async fn wait_for(&mut self, keys: &[DetectorKey]) -> Result<(), StoreError>;

    /// The vigil, which nobody else sees until the end of this transaction; none was ever kept at first.
    async fn vigil(&mut self) -> Result<Option<Vigil>, StoreError>;

    /// Keeps the vigil.
    async fn keep_vigil(&mut self, vigil: &Vigil) -> Result<(), StoreError>;

    /// Series that are to be looked at when the vigil shows so much, those first that are due for longest.
    async fn due(&mut self, open: Duration, limit: u32) -> Result<Vec<Quiet>, StoreError>;

    /// Notes when series were heard. Keys are distinct.
    async fn note(&mut self, heard: &[(DetectorKey, Heard)]) -> Result<(), StoreError>;

    /// Has models no longer wait for series, but for those that are due at another time than this: somebody has begun to wait
    /// for them meanwhile. Keys are distinct.
    async fn leave(&mut self, left: &[(DetectorKey, Duration)]) -> Result<(), StoreError>;
}
