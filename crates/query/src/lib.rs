//! Out: events become state, and state is asked for.
//!
//! The [`Projector`] is handed events by the bus's consume loop, folds them with a projection of `projections/`, and
//! saves the states in the transaction that moves its offset. The methods of `rpc/` read what it saved; those of
//! `admin/` show operators how consumers are doing, and take their orders.

pub mod admin;
mod fold;
mod pace;
pub mod projections;
pub mod projector;
pub mod rebuild;
pub mod replays;
pub mod rpc;
mod series;

pub use admin::{AdminRpc, Detectors};
pub use projector::Projector;
pub use rpc::{Fit, ForecastQuestion, Forecasts, NoForecast, QueryRpc, Steps};
