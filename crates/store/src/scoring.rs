//! The port onto what is said of samples: scores, the states of what gives them, and anomalies on their way to the log.

use std::collections::HashMap;
use std::fmt::Debug;

use async_trait::async_trait;
use cornjacket_domain::{Sample, Shard, Timestamp};
use tokio::sync::watch;

use crate::models::Control;
use crate::{ModelId, SeriesId, StoreError, TimeRange};

/// A detector in the store: of which series and model.
pub type DetectorKey = (SeriesId, ModelId);

/// Where a score is among those of its series: the time and position of its sample, and who says it.
pub type ScorePlace = (Timestamp, u64, ModelId);

/// How far a shard is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Counts the shard's transactions, this one included: whoever remembers the one before knows what it left.
    pub number: u64,
    /// Whether the one before was made with this memory too. A number alone does not tell: one that never was is given again,
    /// perhaps to another process.
    pub is_ours: bool,
    /// The last change that the shard has taken.
    pub controls: u64,
    /// The last change that there is.
    pub head: u64,
}

/// What a detector remembers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedState {
    /// The change with which its model began.
    pub since: u64,
    /// The last sample that it has taken in: its time and position.
    pub last: (Timestamp, u64),
    /// Its own words.
    pub state: Vec<u8>,
}

/// What a model says of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Of which series.
    pub series: SeriesId,
    /// Of which sample: its time ...
    pub time: Timestamp,
    /// ... and position.
    pub position: u64,
    /// Who says it.
    pub model: ModelId,
    /// 0 is ordinary, 1 as strange as can be.
    pub score: Option<f64>,
    /// The value that was expected, and the interval around it.
    pub expected: Option<[f64; 3]>,
    /// The severity of an anomaly that begins here, as `AnomalyDetected.Severity` numbers it.
    pub severity: Option<i16>,
    /// Why there is no score, where one was due.
    pub unscored: Option<String>,
}

impl Score {
    /// Where it is.
    pub const fn place(&self) -> ScorePlace {
        (self.time, self.position, self.model)
    }
}

/// Scoring, within the transaction of an effect.
#[async_trait]
pub trait ScoringTx: Send {
    /// Counts this transaction, made with that memory, as the shard's next. Transactions of one shard come one after the other.
    async fn turn(&mut self, shard: Shard, memory: u64) -> Result<Turn, StoreError>;

    /// The changes after one, in order: all of those to modes, and people's words after another one on series of a shard.
    async fn controls(
        &mut self,
        shard: Shard,
        after: u64,
        words_after: u64,
    ) -> Result<Vec<Control>, StoreError>;

    /// Notes that a shard has taken the changes up to one, before its events above a position.
    async fn took_controls(
        &mut self,
        shard: Shard,
        through: u64,
        after_position: u64,
    ) -> Result<(), StoreError>;

    /// Notes that events of a subject, which were parked and come after the shard has gone on, are seen with its changes up
    /// to one, where that is more than their place says: those above a position. What was noted for as many changes stays, since
    /// events of a subject come in order.
    async fn took_late(
        &mut self,
        shard: Shard,
        subject: &str,
        through: u64,
        after_position: u64,
    ) -> Result<(), StoreError>;

    /// The states of those detectors that have one. Keys are distinct.
    async fn load_detectors(
        &mut self,
        keys: &[DetectorKey],
    ) -> Result<HashMap<DetectorKey, SavedState>, StoreError>;

    /// The samples of each series that are later than a mark of its own (by time, then position) and whose positions are
    /// below `until`, in the order of their positions.
    async fn samples_since(
        &mut self,
        marks: &[(SeriesId, (Timestamp, u64))],
        until: u64,
    ) -> Result<HashMap<SeriesId, Vec<Sample>>, StoreError>;

    /// Writes states over those that are there. Keys are distinct.
    async fn save_detectors(&mut self, states: &[(DetectorKey, SavedState)]) -> Result<(), StoreError>;

    /// Adds scores of samples. None is there already.
    async fn add_scores(&mut self, scores: &[Score]) -> Result<(), StoreError>;

    /// Has events on their way into the log, in this order.
    async fn send(&mut self, events: &[Vec<u8>]) -> Result<(), StoreError>;
}

/// Reading scores, in a snapshot.
#[async_trait]
pub trait ScoringSnapshot: Send {
    /// The scores of a range in the order of their places, beginning after one, at most `limit`.
    async fn scores(
        &mut self,
        series: SeriesId,
        range: TimeRange,
        after: Option<ScorePlace>,
        limit: u32,
    ) -> Result<Vec<Score>, StoreError>;

    /// Those of them with which an anomaly begins, and which some models say.
    async fn findings(
        &mut self,
        series: SeriesId,
        models: &[ModelId],
        range: TimeRange,
        after: Option<ScorePlace>,
        limit: u32,
    ) -> Result<Vec<Score>, StoreError>;

    /// The changes that events of a subject of a shard have met, in order, each with its place: all of those to modes, and
    /// people's words on series of the shard.
    async fn taken(&mut self, shard: Shard, subject: &str) -> Result<Vec<Taken>, StoreError>;

    /// What the models are called that say so.
    async fn model_names(&mut self) -> Result<Vec<ModelName>, StoreError>;
}

/// A change that a shard has taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Events of the subject above this position are seen with it.
    pub after_position: u64,
    /// The change.
    pub control: Control,
}

/// What a model is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName {
    /// Which.
    pub id: ModelId,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
}

/// Events on their way into the log.
#[async_trait]
pub trait Outbox: Debug + Send + Sync {
    /// The first of them, in order, each with its number.
    async fn waiting(&self, limit: u32) -> Result<Vec<(i64, Vec<u8>)>, StoreError>;

    /// Forgets those that have arrived.
    async fn arrived(&self, numbers: &[i64]) -> Result<(), StoreError>;

    /// Changes when this process has sent something.
    fn watch(&self) -> watch::Receiver<u64>;
}
