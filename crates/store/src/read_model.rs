//! The port onto the state that projections make.

use std::fmt::Debug;

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

/// A state, and what it includes, in one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The state, when there is one.
    pub state: Option<State>,
    /// The state includes every event of the partition asked about up to here, but for those that are parked.
    pub included: u64,
    /// The lowest position of an event of the subject that is parked in the partition; 0 when it is not known.
    pub parked: Option<u64>,
}

/// Reading states.
#[async_trait]
pub trait ReadModel: Debug + Send + Sync {
    /// The state of a subject, and what of the partition `fed_by` it includes.
    async fn state(
        &self,
        projection: ProjectionId,
        subject: &str,
        fed_by: &ConsumerPartition,
    ) -> Result<Reading, StoreError>;
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
