//! What is wrong with the settings of authentication, or with what a token is asked to say.

use std::path::PathBuf;

/// Why authentication does not start, or a token is not minted. It is for operators, never for callers.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// Neither a secret nor a source of keys is set: no token could be good.
    #[error("neither a secret nor a source of keys is set")]
    NoKeys,
    /// A short secret can be guessed from one token.
    #[error("the secret has {0} bytes; it needs at least {least}", least = crate::SHORTEST_SECRET)]
    ShortSecret(usize),
    /// An algorithm is allowed that nothing has keys for.
    #[error("the algorithm {0} is allowed, but there are no keys for it")]
    NoKeysFor(&'static str),
    /// Tokens would live for longer than they may.
    #[error("tokens live for a second at least and for 24 hours at most")]
    Lifetime,
    /// Nothing would be counted, or kept.
    #[error("{0} must not be 0 or empty")]
    Zero(&'static str),
    /// Keys must not be fetched from there.
    #[error("keys cannot be fetched from {url}: {why}")]
    Url {
        /// As set.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file has no keys.
    #[error("the key file {path}: {why}")]
    File {
        /// As set.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// Keys are fetched by TLS, whose provider the process installs first.
    #[error("no TLS provider is installed; the process does that before it starts anything")]
    NoTlsProvider,
    /// The client that fetches keys cannot be made.
    #[error("keys cannot be fetched: {0}")]
    Client(#[from] reqwest::Error),
    /// A token's name must be one that authentication takes.
    #[error("a name has 1 to {most} printable characters", most = crate::claims::LONGEST_NAME)]
    Name,
    /// The token cannot be signed.
    #[error("the token cannot be signed: {0}")]
    Sign(#[from] jsonwebtoken::errors::Error),
}
