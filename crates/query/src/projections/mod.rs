//! Projections: pure folds of events into the state of a subject. A new one is a file here and a line in [`ALL`].

pub mod device_state;
pub mod system_status;
mod time;
pub mod user_session;

use std::fmt;
use std::time::Duration;

use cornjacket_domain::{Timestamp, Topic};
use cornjacket_proto::events::Event;
use cornjacket_store::ProjectionId;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Every projection.
pub const ALL: &[Declared] = &[
    Declared::of::<device_state::DeviceState>(),
    Declared::of::<user_session::UserSession>(),
    Declared::of::<system_status::SystemStatus>(),
];

/// The projection of that name.
pub fn by_name(name: &str) -> Option<&'static Declared> {
    ALL.iter().find(|projection| projection.id.name == name)
}

/// How the state of a subject follows from its events.
///
/// Events of one topic come in order. Those of different topics come in any order, so a fold that reads two topics
/// must come to the same state either way: the last event by (effective time, position) wins.
pub trait Projection: Default + PartialEq + Serialize + DeserializeOwned {
    /// Its name and version: raise the version when old states no longer do.
    const ID: ProjectionId;
    /// The events it reads.
    const TYPES: &'static [TypePattern];

    /// Takes one event in.
    fn fold(&mut self, event: &Happening<'_>, parameters: &Parameters);

    /// The state as it is at a moment in which nothing happened: what is too old is left out, and a state of which
    /// nothing is left is none.
    fn seen_at(self, moment: &Moment) -> Option<Self>;

    /// What is in the state from before the log's beginning, for a rebuild to begin with.
    fn before(self, _log: &Origin) -> Before<Self> {
        Before::Nothing
    }
}

/// What a state has that the log no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before<S> {
    /// Nothing that can be told apart.
    Nothing,
    /// This part of it.
    Part(S),
    /// Its beginning, without which it cannot be made again: it is kept as it is, with the events that are in it. Only of
    /// a fold that reads one topic, where what is in a state is all up to its last event.
    Beginning,
}

/// Where the log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The first position that it has.
    pub position: u64,
    /// When that event was stored.
    pub time: Timestamp,
}

/// What can be set of how states follow from events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// After this long without an action a user's session is over.
    pub session_gap: Duration,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { session_gap: Duration::from_mins(30) }
    }
}

/// When a state is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// Older values have expired.
    pub oldest: Timestamp,
    /// As when the state was made.
    pub parameters: Parameters,
}

/// Which event types a projection reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypePattern {
    /// That type alone.
    Exactly(&'static str),
    /// Every type that begins so; ends in a dot.
    Under(&'static str),
}

impl fmt::Display for TypePattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(wanted) => formatter.write_str(wanted),
            Self::Under(prefix) => write!(formatter, "{prefix}*"),
        }
    }
}

impl TypePattern {
    const fn text(&self) -> &'static str {
        match self {
            Self::Exactly(text) | Self::Under(text) => text,
        }
    }

    fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::Exactly(wanted) => event_type == *wanted,
            Self::Under(prefix) => event_type.starts_with(prefix),
        }
    }
}

/// An event as a fold sees it.
#[derive(Clone, Copy, Debug)]
pub struct Happening<'a> {
    /// The event.
    pub event: &'a Event,
    /// The time that counts: the producer's, but at most five minutes ahead of ours.
    pub time: Timestamp,
}

impl Happening<'_> {
    /// What decides which of two events is the later one.
    pub const fn mark(&self) -> Mark {
        Mark { time: self.time, position: self.event.position }
    }
}

/// When something was last set: by effective time, ties by position.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Mark {
    /// The effective time.
    #[serde(with = "time")]
    pub time: Timestamp,
    /// The position, a string in JSON like every 64-bit number.
    #[serde(with = "time::position")]
    pub position: u64,
}

type FoldJson = fn(Option<&str>, &[Happening<'_>], &Parameters) -> serde_json::Result<Option<String>>;

/// A projection as the registry holds it.
#[derive(Debug)]
pub struct Declared {
    /// Name and version.
    pub id: ProjectionId,
    types: &'static [TypePattern],
    fold_json: FoldJson,
    json_at: fn(&str, &Moment) -> serde_json::Result<Option<String>>,
    json_before: fn(&str, &Origin) -> serde_json::Result<Before<String>>,
}

impl Declared {
    const fn of<P: Projection>() -> Self {
        Self {
            id: P::ID,
            types: P::TYPES,
            fold_json: fold_json::<P>,
            json_at: json_at::<P>,
            json_before: json_before::<P>,
        }
    }

    /// The types of the events that it reads.
    pub fn types(&self) -> impl Iterator<Item = &TypePattern> {
        self.types.iter()
    }

    /// The topics in which its events are.
    pub fn topics(&self) -> Vec<Topic> {
        let read = |topic: &Topic| self.types.iter().any(|pattern| Topic::of_type(pattern.text()) == *topic);
        Topic::ALL.into_iter().filter(read).collect()
    }

    /// Whether it reads events of that type.
    pub fn reads(&self, event_type: &str) -> bool {
        self.types.iter().any(|pattern| pattern.matches(event_type))
    }

    /// The state after `events`, given the state before, both as JSON. Nothing while no event has left anything in it.
    pub fn fold(
        &self,
        state: Option<&str>,
        events: &[Happening<'_>],
        parameters: &Parameters,
    ) -> serde_json::Result<Option<String>> {
        (self.fold_json)(state, events, parameters)
    }

    /// What of a state is from before the log, as JSON.
    pub fn before(&self, state: &str, log: &Origin) -> serde_json::Result<Before<String>> {
        (self.json_before)(state, log)
    }

    /// The state as it is at a moment, as JSON; `None` when all of it has expired.
    pub fn seen_at(&self, state: &str, moment: &Moment) -> serde_json::Result<Option<String>> {
        (self.json_at)(state, moment)
    }
}

fn json_before<P: Projection>(state: &str, log: &Origin) -> serde_json::Result<Before<String>> {
    Ok(match serde_json::from_str::<P>(state)?.before(log) {
        Before::Nothing => Before::Nothing,
        Before::Part(part) => Before::Part(serde_json::to_string(&part)?),
        Before::Beginning => Before::Beginning,
    })
}

fn fold_json<P: Projection>(
    state: Option<&str>,
    events: &[Happening<'_>],
    parameters: &Parameters,
) -> serde_json::Result<Option<String>> {
    let mut state = state.map_or_else(|| Ok(P::default()), serde_json::from_str)?;
    for event in events {
        state.fold(event, parameters);
    }
    (state != P::default()).then(|| serde_json::to_string(&state)).transpose()
}

fn json_at<P: Projection>(state: &str, moment: &Moment) -> serde_json::Result<Option<String>> {
    serde_json::from_str::<P>(state)?.seen_at(moment).map(|state| serde_json::to_string(&state)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_versions_begin_at_one() {
        for (index, projection) in ALL.iter().enumerate() {
            assert!(projection.id.version > 0);
            assert!(ALL[..index].iter().all(|other| other.id.name != projection.id.name));
            assert!(by_name(projection.id.name).is_some());
        }
    }

    #[test]
    fn topics_follow_from_the_types() {
        let device_state = by_name("device_state").expect("it is registered");
        assert_eq!(device_state.topics(), [Topic::SensorEvents, Topic::SystemEvents]);
        assert!(device_state.reads("sensor.reading") && device_state.reads("system.device_offline"));
        assert!(!device_state.reads("system.heartbeat") && !device_state.reads("sensors.reading"));
    }
}
