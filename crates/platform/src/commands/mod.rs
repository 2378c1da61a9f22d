//! The verbs of the binary, a file for each.

pub mod anomalies;
pub mod backtest;
pub mod bench;
pub mod bus;
pub mod client;
pub mod consumers;
pub mod dead_letters;
pub mod dev;
pub mod devices;
pub mod events;
pub mod feedback;
pub mod forecast;
pub mod migrate;
pub mod models;
mod progress;
pub mod projections;
pub mod series;
pub mod serve;
pub mod simulate;
pub mod state;
mod table;
mod timeline;
pub mod token;
