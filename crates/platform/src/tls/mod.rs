//! TLS by setting: certificates of files, which are renewed without a restart.
//!
//! [`Listeners`] makes an [`Acceptor`] for each listener; [`Client`] connects to others. Both look at their files when
//! they are used, through [`Watched`].

mod acceptor;
mod client;
mod files;
mod listeners;
mod stream;
mod watched;

pub use acceptor::Acceptor;
pub use client::Client;
pub use listeners::Listeners;
pub use stream::Stream;

#[cfg(test)]
mod tests;

/// Makes aws-lc what everything in this process does its cryptography with. Before anything else.
pub fn install_provider() {
    // It fails when there is one already: that one is ours too.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}
