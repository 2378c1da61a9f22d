//! Settings: from defaults, a file, `.env`, the environment and flags to one checked value.

mod keys;
mod load;
mod settings;

pub use load::{Sources, load};
pub use settings::{BusUrl, Log as LogSettings, LogFormat, RecordFormat, Settings};
