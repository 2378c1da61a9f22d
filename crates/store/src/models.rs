//! The port onto models: what series are watched with, and the changes to it.

use std::fmt::Debug;

use async_trait::async_trait;
use cornjacket_domain::{SeriesKey, Shard, Timestamp};

use crate::{SeriesId, StoreError};

/// A version of a model in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(pub i32);

/// What a model is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Its name.
    pub name: String,
    /// The kind of detector.
    pub detector: String,
    /// The version of the detector's code.
    pub code: String,
    /// The subjects of the series that it watches, as a pattern with `*`.
    pub subjects: String,
    /// Their metrics, likewise.
    pub metrics: String,
    /// All its parameters, as JSON in one spelling.
    pub parameters: String,
}

/// A version of a model. It never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Which.
    pub id: ModelId,
    /// From 1 on, among those of its name.
    pub version: u32,
    /// What it is made of.
    pub draft: Draft,
}

/// What a model may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It scores, and what it finds is an event.
    Active,
    /// It scores, and that is all.
    Shadow,
    /// It does nothing, and forgets.
    Off,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Shadow, Self::Off];

    /// As it is kept.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// A change to what watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A model may do something else, to all its series.
    Mode(Mode),
    /// An anomaly that a model found in a series was none.
    FalseAlarm(SeriesId),
    /// There was one that it did not find.
    Missed(SeriesId),
}

impl Change {
    /// The change that is kept under that name, of a series or of all.
    pub(crate) fn from_kept(name: &str, series: Option<SeriesId>) -> Self {
        match (name, series) {
            ("false_alarm", Some(series)) => Self::FalseAlarm(series),
            ("missed", Some(series)) => Self::Missed(series),
            (mode, _) => Self::Mode(Mode::from_name(mode).unwrap_or(Mode::Off)),
        }
    }
}

/// What a model may do, as it was last told.
#[derive(Clone, Copy)]
pub(crate) struct Told {
    pub model: ModelId,
    pub mode: Mode,
    /// The last change that put it off; 0 when there is none.
    pub off: u64,
}

/// What each model may do that was ever told.
pub(crate) struct Modes(pub Vec<Told>);

impl Modes {
    /// What one may do: nothing, until it is told.
    pub fn of(&self, model: ModelId) -> Told {
        let told = self.0.iter().find(|told| told.model == model).copied();
        told.unwrap_or(Told { model, mode: Mode::Off, off: 0 })
    }

    /// What changes, in order, when a model is to do something else. What changes nothing is no change.
    pub fn changes(&self, model: ModelId, mode: Mode, namesakes: &[i32]) -> Vec<(ModelId, Mode)> {
        let others = namesakes.iter().map(|id| ModelId(*id)).filter(|_| mode == Mode::Active);
        let shadows =
            others.filter(|other| self.of(*other).mode == Mode::Active).map(|other| (other, Mode::Shadow));
        shadows.chain((self.of(model).mode != mode).then_some((model, mode))).collect()
    }
}

/// A change in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Changes are numbered from 1 on, without holes.
    pub seq: u64,
    /// Of which model.
    pub model: Model,
    /// What changes.
    pub change: Change,
}

/// A model as operators see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedModel {
    /// Which.
    pub model: Model,
    /// What it may do.
    pub mode: Mode,
    /// The last change that put it off, before which it remembers nothing; 0 when there is none.
    pub off: u64,
    /// Who made it; nobody when the settings did.
    pub made_by: Option<String>,
    /// When.
    pub made_at: Timestamp,
}

/// A person's word on what a model made of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<'a> {
    /// The series.
    pub series: &'a SeriesKey,
    /// Its shard.
    pub shard: Shard,
    /// The model's name.
    pub model: &'a str,
    /// Its version.
    pub version: u32,
    /// Whether it found what was nothing; else it did not find something.
    pub is_false_alarm: bool,
    /// Whose word it is.
    pub by: Option<&'a str>,
    /// When it was said.
    pub now: Timestamp,
}

impl Word<'_> {
    /// The change that it is, as that is kept.
    pub(crate) const fn kept(&self) -> &'static str {
        if self.is_false_alarm { "false_alarm" } else { "missed" }
    }
}

/// Changing models, within the transaction of an effect.
#[async_trait]
pub trait ModelsTx: Send {
    /// Takes a person's word as a change to what a model makes of a series. False when there is no such model or series.
    async fn take_word(&mut self, word: &Word<'_>) -> Result<bool, StoreError>;
}

/// Models and their changes.
#[async_trait]
pub trait Models: Debug + Send + Sync {
    /// Makes the next version of a model and has it do something, as [`Models::set_mode`] does. When the last version that
    /// the same hand made is the same, that one is returned as it is: whoever says the same twice changes nothing.
    async fn register(
        &self,
        draft: &Draft,
        mode: Mode,
        by: Option<&str>,
        now: Timestamp,
    ) -> Result<Model, StoreError>;

    /// Has a model do something else from the next event of each shard on. One that becomes active makes a shadow of
    /// the version of its name that was: it goes on learning, so that the way back is as short.
    async fn set_mode(
        &self,
        model: ModelId,
        mode: Mode,
        by: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// The number of the last change, from which on there is news; 0 before the first.
    async fn last_change(&self) -> Result<u64, StoreError>;

    /// All of them, by name and version.
    async fn list(&self) -> Result<Vec<ListedModel>, StoreError>;
}
