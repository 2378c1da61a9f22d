//! The port onto the state that projections make.

use async_trait::async_trait;
use cornjacket_domain::Timestamp;

use crate::StoreError;
use crate::offsets::ConsumerPartition;

/// A version of a projection: what another version made is not this one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProjectionId {
    /// The projection's name.
    pub name: &'static str,
    /// Its version, from 1.
    pub version: u16,
}

/// Which states of a projection: those that answer questions, or those of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    /// Those that answer questions.
    Live,
    /// Those of a build that is being made.
    Number(u32),
}

impl Build {
    pub(crate) const fn number(self) -> Option<u32> {
        match self {
            Self::Live => None,
            Self::Number(number) => Some(number),
        }
    }
}

/// What is said when somebody else's fold makes the live states.
pub(crate) fn not_live(projection: ProjectionId) -> StoreError {
    let ProjectionId { name, version } = projection;
    StoreError::Refused(format!(
        "another version of {name} answers questions; `cornjacket projections rebuild {name}` makes version {version}"
    ))
}

/// The state of one subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Whose state it is.
    pub subject: String,
    /// JSON, shaped by the projection.
    pub json: String,
    /// The last event that was folded in.
    pub last_position: u64,
    /// The latest effective time that was folded in.
    pub event_time: Timestamp,
}

/// Reading states, in a snapshot.
#[async_trait]
pub trait ReadModelSnapshot: Send {
    /// The state of a subject.
    async fn state(&mut self, projection: ProjectionId, subject: &str) -> Result<Option<State>, StoreError>;

    /// How far the consumer has come in a partition: the last position whose effect is in.
    async fn included(&mut self, at: &ConsumerPartition) -> Result<u64, StoreError>;

    /// The same of every partition that the consumer has begun.
    async fn progress(&mut self, consumer: &str) -> Result<Vec<(ConsumerPartition, u64)>, StoreError>;

    /// The lowest position of an event of a subject that is parked in a partition; 0 when it is not known.
    async fn parked(&mut self, at: &ConsumerPartition, subject: &str) -> Result<Option<u64>, StoreError>;
}

/// Changing states, within the transaction of an effect.
#[async_trait]
pub trait ReadModelTx: Send {
    /// The states of those subjects that have one, locked until the transaction ends. `subjects` are distinct.
    async fn load_states(
        &mut self,
        projection: ProjectionId,
        build: Build,
        subjects: &[&str],
    ) -> Result<Vec<State>, StoreError>;

    /// Writes states over those of the same subjects. Subjects are distinct. Refused when the live ones are made by
    /// another version.
    async fn save_states(
        &mut self,
        projection: ProjectionId,
        build: Build,
        states: &[State],
    ) -> Result<(), StoreError>;
}
