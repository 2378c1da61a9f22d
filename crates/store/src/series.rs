//! The port onto time series: samples and their roll-ups.

use std::collections::HashMap;
use std::fmt::Debug;

use async_trait::async_trait;
use cornjacket_domain::{RollupStep, Sample, SeriesKey, Summary, Timestamp};

use crate::{DetectorKey, ModelId, StoreError};

/// A series in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesId(pub i64);

/// One bucket of a roll-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RollupKey {
    /// Of which series.
    pub series: SeriesId,
    /// Of which length.
    pub step: RollupStep,
    /// When it begins.
    pub bucket: Timestamp,
}

/// Changing series, within the transaction of an effect.
#[async_trait]
pub trait SeriesTx: Send {
    /// The ids of series, in the order asked. Those that are new are made; each has the unit given from now on. Keys are
    /// distinct.
    async fn series(&mut self, wanted: &[(&SeriesKey, &str)]) -> Result<Vec<SeriesId>, StoreError>;

    /// The same for somebody who is not the series' writer and may be ahead of it: those that are new are made with the unit
    /// given, the others keep theirs, and what is said of samples of these times has its place.
    async fn series_ahead(
        &mut self,
        wanted: &[(&SeriesKey, &str)],
        times: &[Timestamp],
    ) -> Result<Vec<SeriesId>, StoreError>;

    /// The summaries of those buckets that have one. Keys are distinct.
    async fn load_rollups(&mut self, keys: &[RollupKey]) -> Result<HashMap<RollupKey, Summary>, StoreError>;

    /// Adds samples. None is there already.
    async fn add_samples(&mut self, samples: &[(SeriesId, Sample)]) -> Result<(), StoreError>;

    /// Writes summaries over those of the same buckets. Keys are distinct.
    async fn save_rollups(&mut self, rollups: &[(RollupKey, Summary)]) -> Result<(), StoreError>;
}

/// From a time on, before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    /// The first time.
    pub start: Timestamp,
    /// The first time that is no longer in it.
    pub end: Timestamp,
}

/// A series that has samples.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedSeries {
    /// Its id.
    pub id: SeriesId,
    /// Which.
    pub key: SeriesKey,
    /// What its values are in.
    pub unit: String,
    /// Its latest sample.
    pub last: Sample,
}

/// Which series to list.
#[derive(Clone, Copy, Debug)]
pub struct SeriesFilter<'a> {
    /// Only those of this subject.
    pub subject: Option<&'a str>,
    /// Only those that have a sample from this time on.
    pub since: Timestamp,
    /// Only those after this one, by subject and metric.
    pub after: Option<SeriesId>,
    /// No more than this many.
    pub limit: u32,
}

/// Reading series, in a snapshot.
#[async_trait]
pub trait SeriesSnapshot: Send {
    /// The series of that key, with its unit.
    async fn find_series(&mut self, key: &SeriesKey) -> Result<Option<(SeriesId, String)>, StoreError>;

    /// Series in the order of subject and metric.
    async fn list_series(&mut self, filter: &SeriesFilter<'_>) -> Result<Vec<ListedSeries>, StoreError>;

    /// The latest sample of a series, if it has one of the hour of `since` or later.
    async fn latest(&mut self, series: SeriesId, since: Timestamp) -> Result<Option<Sample>, StoreError>;

    /// The samples of a range in the order of time and position, beginning after `after`, at most `limit`.
    async fn samples(
        &mut self,
        series: SeriesId,
        range: TimeRange,
        after: Option<(Timestamp, u64)>,
        limit: u32,
    ) -> Result<Vec<Sample>, StoreError>;

    /// Of each series the last samples up to a place of its own: by time, and of lower positions. At most `most` of each, none
    /// from before `since`, in the order of their positions.
    async fn samples_before(
        &mut self,
        places: &[(&SeriesKey, (Timestamp, u64))],
        since: Timestamp,
        most: u32,
    ) -> Result<Vec<Vec<Sample>>, StoreError>;

    /// The summaries of the buckets that begin within a range, in order.
    async fn rollups(
        &mut self,
        series: SeriesId,
        step: RollupStep,
        range: TimeRange,
    ) -> Result<Vec<(Timestamp, Summary)>, StoreError>;
}

/// Ids begin above these ...
pub(crate) const BEFORE_ALL: DetectorKey = (SeriesId(i64::MIN), ModelId(i32::MIN));
/// ... and end here.
pub(crate) const AFTER_ALL: DetectorKey = (SeriesId(i64::MAX), ModelId(i32::MAX));

/// Letting go of old samples.
#[async_trait]
pub trait SeriesRetention: Debug + Send + Sync {
    /// Drops what is of days before that of `oldest`, and has samples of days before that of `compress` compressed
    /// where the store can.
    async fn age(&self, oldest: Timestamp, compress: Timestamp) -> Result<(), StoreError>;

    /// Goes over at most `most` of the states of detectors, those after one, and forgets those that nobody comes back to: of
    /// models that have been off since before `oldest`, and of series that had no sample since then. What is parked may come yet:
    /// states of its subjects stay.
    async fn forget(
        &self,
        oldest: Timestamp,
        after: Option<DetectorKey>,
        most: u32,
    ) -> Result<Forgotten, StoreError>;
}

/// What came of forgetting states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// How many are gone.
    pub states: u64,
    /// The last one that was gone over, when there are more.
    pub next: Option<DetectorKey>,
}
