//! Who calls: tokens, the keys that they are signed with, and what each scope may do.
//!
//! A door (a gRPC server, the gateway, the MQTT listener) hands what a caller showed to the [`Authenticator`]. That
//! checks the token's signature with the `keys`, its `claims` against the rules, and answers with the
//! `Caller` that every service takes. What it refuses goes through `failures`, which counts it and slows down
//! who guesses. For gRPC, [`AuthLayer`] does this for each call, asks [`access`] which scope the method needs, and ends
//! streams when their token does.

pub mod access;
mod algorithm;
mod authenticator;
mod claims;
mod error;
mod expiry;
mod failures;
mod keys;
mod layer;
mod mint;
mod options;
mod refusal;
#[cfg(test)]
mod testing;
mod token;

pub use algorithm::Algorithm;
pub use authenticator::Authenticator;
pub use error::AuthError;
pub use layer::{AuthLayer, Authenticated, CHALLENGE, ClientAddress};
pub use mint::{DEFAULT_LIFETIME, TokenRequest, mint, new_secret};
pub use options::{KeySource, LONGEST_LIFETIME, Options, SHORTEST_SECRET};
