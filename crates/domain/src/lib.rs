//! The meaning of Cornjacket: what an event is, when it is valid, where it goes. Pure: no async, no I/O.
//!
//! [`Event`] is the way in: it exists only when a [`cornjacket_proto::events::Event`] passed every check, and carries
//! the one encoding that log, bus and consumers share. [`StoredEvent`] is the way out: the same bytes with the
//! position and time that the log gave them.

pub mod caller;
pub mod clean;
pub mod clock;
pub mod cloudevents;
pub mod event;
pub mod event_types;
pub mod key;
pub mod limits;
pub mod page;
pub mod series;
pub mod shard;
pub mod stored;
pub mod token;
pub mod topic;
pub mod violation;

pub use caller::{Caller, FEEDBACK_SOURCE, Patterns, Scope};
pub use clock::{Clock, SystemClock, Timestamp};
pub use event::Event;
pub use key::{ContentDigest, EventKey, digest_of, id_of};
pub use limits::Limits;
pub use series::{RollupStep, Sample, SeriesKey, Summary};
pub use shard::Shard;
pub use stored::StoredEvent;
pub use token::ConsistencyToken;
pub use topic::{Partitions, Topic};
pub use violation::{Invalid, Violation};
