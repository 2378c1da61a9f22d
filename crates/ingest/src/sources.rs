//! Doors that events come in by without a call: whoever sends speaks a protocol of its own.

#[cfg(feature = "broker")]
pub mod broker;
pub mod mqtt;
