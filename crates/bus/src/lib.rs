//! The road: events on their way from the log to consumers.
//!
//! [`Bus`] is the port. `kafka` puts records on topics and takes them off again; `embedded` has no topics of its own
//! and reads the log. `codec` is what a record looks like. `consumer` is the only consume loop: it hands batches to a
//! [`Handler`] inside a transaction of a [`Checkpoint`], so that an effect and its offset are one.

pub mod checkpoint;
pub mod codec;
pub mod consumer;
pub mod embedded;
mod error;
pub mod kafka;
pub mod log;
pub mod port;
mod published;
pub mod trace;

pub use checkpoint::{
    Checkpoint, CheckpointError, Letter, Milestone, Orders, Parked, ParkedQueue, Progress, Report, Settled,
};
pub use codec::{Delivered, Format, Record, Undecodable};
pub use consumer::{Consumer, Handler, HandlerError};
pub use error::BusError;
pub use log::{LogSource, PartitionedLog};
pub use port::{
    Assigned, Assignment, Begin, Bus, Delivery, Publisher, Records, Subscription, TopicPartition,
};
pub use published::{Mark, Published};
