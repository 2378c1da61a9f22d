//! Think: what devices measure becomes samples of time series.
//!
//! The [`Processor`] is handed events by the bus's consume loop. It alone writes samples and their roll-ups, in the
//! transaction that moves its offset.

mod batch;
pub mod detectors;
pub mod forecasters;
pub mod nab;
pub mod processor;

pub use processor::Processor;
