//! In: from a request to a receipt.
//!
//! A method of `rpc/` hands what it decoded to the [`Acceptor`], which proves each event valid and hands the good
//! ones to the [`GroupCommit`]. That is one task per process: it gathers what is waiting into one transaction of the
//! log, and answers every caller after the commit. Devices that speak MQTT come in by [`sources`]. What is in the log, the [`relay`] publishes on the bus.

pub mod accept;
mod callers;
pub mod group_commit;
pub mod quota;
pub mod relay;
pub mod rpc;
pub mod sources;

pub use accept::Acceptor;
pub use group_commit::GroupCommit;
pub use quota::Quota;
pub use rpc::IngestRpc;
