//! The truth: ports onto what is stored, and their two sides, PostgreSQL and SQLite.
//!
//! Each port is a file here ([`event_log`]) with a file of the same name in `postgres/` and in `sqlite/`. `suite.rs`
//! holds the laws of every port and runs them on both.

pub mod action_retention;
pub mod alarms;
pub mod audit;
pub mod consumers;
pub mod dead_letters;
pub mod definitions;
pub mod deliveries;
pub mod devices;
pub mod doors;
mod error;
pub mod event_log;
pub mod groups;
pub mod leases;
pub mod ledger;
pub mod milestones;
pub mod models;
mod numbering;
pub mod offsets;
mod open;
pub mod outlooks;
pub mod postgres;
pub mod quiet;
pub mod read_model;
pub mod rebuild;
pub mod scoring;
pub mod series;
pub mod snapshot;
pub mod sqlite;
mod tail;
mod wakes;

pub use action_retention::{ActionRetention, Aged, Dropped};
pub use alarms::{Alarm, AlarmState, Alarms, AlarmsTx, Lasting};
pub use consumers::{ConsumerReport, ConsumerStatus, Consumers, Gap, Orders};
pub use dead_letters::{
    DeadLetter, DeadLetters, DeadLettersTx, LetterFilter, LetterId, ParkedQueue, Settled, Settlement,
};
pub use definitions::{
    Defining, Definition, DefinitionKind, Definitions, DefinitionsTx, MOST_FORMER_SECRETS, NewSecret,
    Redefined, Redefinition, Signature,
};
pub use deliveries::{
    Attempt, AttemptResult, Deliveries, DeliveriesTx, Delivery, DeliveryFilter, DeliveryState, Health,
    NewDelivery, Revived, Settling, Wanted,
};
pub use devices::{Device, Devices, PasswordHash};
pub use doors::{Door, Doors};
pub use error::StoreError;
pub use event_log::{Appended, EventLog, EventLogSnapshot, Head, Range, Select};
pub use groups::{Group, GroupKey, GroupsTx};
pub use leases::{Leases, holder};
pub use ledger::{DecidedEvent, Decision, Ledger, LedgerTx, Outcome, Window, WindowKey};
pub use milestones::Milestone;
pub use models::{Change, Control, Draft, ListedModel, Mode, Model, ModelId, Models, ModelsTx, Word};
pub use offsets::{ConsumerPartition, MQTT, Offsets, Progress, Tx};
pub use open::{Durability, Options, Store};
pub use outlooks::{Episode, Next, Outlook, Outlooks};
pub use quiet::{Heard, Quiet, QuietTx, Vigil};
pub use read_model::{Build, ProjectionId, ReadModelSnapshot, ReadModelTx, State};
pub use rebuild::{Built, LivePartition, RebuildTx, Rebuilds};
pub use scoring::{
    DetectorKey, ModelName, Outbox, SavedState, Score, ScorePlace, ScoringSnapshot, ScoringTx, Taken, Turn,
};
pub use series::{
    Forgotten, ListedSeries, RollupKey, SeriesFilter, SeriesId, SeriesRetention, SeriesSnapshot, SeriesTx,
    TimeRange,
};
pub use snapshot::{Snapshot, Snapshots};
pub use tail::Tail;

#[cfg(test)]
mod suite;
