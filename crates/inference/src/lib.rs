//! Think: what devices measure, and how often events happen, becomes samples of time series, and is scored on its way.
//!
//! The [`Processor`] is handed events by the bus's consume loop. It alone writes samples and their roll-ups, in the
//! transaction that moves its offset. In the same transaction its `scorer` has the [`detectors`] of each series see them: what
//! they say, what they remember, and the anomalies that they find, which wait there until the [`Forwarder`] has appended them
//! to the log. What should have come and did not is found by the [`vigil`].
//! The [`Lookout`] has the [`forecasters`] look ahead at series that the settings name.
//! Models that servers run are asked by a consumer of its own, the [`RemoteScorer`].
//! A [`backtest`] goes over what is stored once more, and leaves nothing behind.

mod anomaly;
pub mod backtest;
mod batch;
pub mod counts;
pub mod detectors;
pub mod feedback;
pub mod forecasters;
pub mod forwarder;
pub mod history;
mod memory;
pub mod nab;
pub mod name;
mod outcome;
pub mod outlook;
mod patience;
pub mod processor;
pub mod remote;
mod scorer;
pub mod vigil;
mod watched;
mod watching;

pub use counts::Counted;
pub use feedback::Feedback;
pub use forwarder::Forwarder;
pub use outlook::Lookout;
pub use processor::Processor;
pub use remote::RemoteScorer;
pub use vigil::Silences;
