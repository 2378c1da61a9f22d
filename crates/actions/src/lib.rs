//! Act: rules decide which events are told, and endpoints are told.

mod alarms;
mod breaker;
pub mod channels;
mod claim;
pub mod classify;
mod decide;
pub mod deliverer;
mod dial;
mod digest;
pub mod dispatcher;
mod endpoint;
mod gathered;
mod groups;
pub mod guard;
mod ids;
mod limits;
mod message;
mod names;
pub mod outside;
mod printable;
mod progress;
pub mod receiver_url;
pub mod resolve;
mod retention;
mod rpc;
mod rule_set;
pub mod rules;
mod said;
mod schedule;
pub mod secrets;
mod settle;
mod severity;
pub mod signing;
mod silences;
mod span;
#[cfg(test)]
mod testing;
mod verifying;

pub use deliverer::Deliverer;
pub use dispatcher::Dispatcher;
pub use endpoint::Makers;
pub use limits::Rate;
pub use message::{AlarmChange, Message};
pub use retention::{Keep, Retention};
pub use rpc::{ActionRpc, TestTurns};
pub use verifying::{NotVerified, Verifier};
