//! The port onto the state that projections make.

use async_trait::async_trait;
use cornjacket_domain::Timestamp;

use crate::StoreError;
use crate::offsets::ConsumerPartition;

/// A version of a projection: another version has states of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProjectionId {
    /// The projection's name.
    pub name: &'static str,
    /// Its version, from 1.
    pub version: u16,
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
        subjects: &[&str],
    ) -> Result<Vec<State>, StoreError>;

    /// Writes states over those of the same subjects. Subjects are distinct.
    async fn save_states(&mut self, projection: ProjectionId, states: &[State]) -> Result<(), StoreError>;
}
