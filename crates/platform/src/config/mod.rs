//! Settings: from defaults, a file, `.env`, the environment and flags to one checked value.

mod actions;
mod forecasts;
mod inference;
mod keys;
mod load;
mod refused;
mod retention;
mod sasl;
mod secret;
mod settings;
mod tls;

pub use actions::Actions;
pub use forecasts::Forecast;
pub use inference::Inference;
pub use load::{Sources, load};
pub use retention::Retention;
pub use sasl::Sasl;
pub use secret::Secret;
pub use settings::{Auth, AuthMode, BusUrl, Gateway, Log as LogSettings, LogFormat, RecordFormat, Settings};
pub use tls::Tls;
