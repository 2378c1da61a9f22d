//! The keys that tokens are checked with, and where they come from.

mod endpoint;
mod file;
mod jwks;
mod remote;

use std::fmt;
use std::sync::Arc;

use cornjacket_domain::{Clock, Timestamp};
use jsonwebtoken::DecodingKey;
use secrecy::{ExposeSecret, SecretString};

use self::endpoint::Endpoint;
use self::file::FileKeys;
use self::remote::RemoteKeys;
use crate::refusal::Refusal;
use crate::token::Token;
use crate::{Algorithm, AuthError, KeySource, Options};

/// A key, with the one algorithm that it is for: a token cannot choose another one for it.
pub struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    material: DecodingKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// A secret, which is for HS256.
    pub fn secret(secret: &SecretString) -> Self {
        let material = DecodingKey::from_secret(secret.expose_secret().as_bytes());
        Self { id: None, algorithm: Algorithm::Hs256, material }
    }

    /// Whether the token was signed with it.
    pub fn verifies(&self, token: &Token<'_>) -> bool {
        let algorithm = self.algorithm.implementation();
        jsonwebtoken::crypto::verify(token.signature, token.signed.as_bytes(), &self.material, algorithm)
            .unwrap_or(false)
    }
}

/// The public keys of one time.
#[derive(Debug, Default)]
pub struct KeySet {
    /// Grows with every change: what was checked with the keys of another one has to be checked again.
    pub generation: u64,
    keys: Vec<Key>,
}

impl KeySet {
    /// Checks the token with the key that it names. One that names none is tried with every key for its algorithm.
    pub fn verify(&self, token: &Token<'_>, algorithm: Algorithm) -> Result<(), Refusal> {
        let kid = token.header.kid.as_deref();
        let named = || self.keys.iter().filter(|key| kid.is_none() || key.id.as_deref() == kid);
        if named().next().is_none() {
            return Err(Refusal::KeyUnknown);
        }
        let mut usable = named().filter(|key| key.algorithm == algorithm).peekable();
        if usable.peek().is_none() {
            return Err(Refusal::AlgorithmRefused);
        }
        if usable.any(|key| key.verifies(token)) { Ok(()) } else { Err(Refusal::SignatureInvalid) }
    }

    /// The next one, with these keys.
    fn followed_by(&self, keys: Vec<Key>) -> Arc<Self> {
        Arc::new(Self { generation: self.generation + 1, keys })
    }
}

/// Where public keys come from.
#[derive(Debug)]
pub enum Keys {
    /// There are none: tokens are signed with the secret.
    None(Arc<KeySet>),
    /// A file.
    File(FileKeys),
    /// An endpoint.
    Remote(Arc<RemoteKeys>),
}

impl Keys {
    /// Opens the source. A file is read now, an endpoint when the first token needs it.
    pub fn open(options: &Options, clock: Arc<dyn Clock>) -> Result<Self, AuthError> {
        let endpoint = match &options.keys {
            None => return Ok(Self::None(Arc::default())),
            Some(KeySource::File(path)) => return FileKeys::open(path.clone(), clock).map(Self::File),
            Some(KeySource::Url(url)) => Endpoint::keys_at(url)?,
            Some(KeySource::Issuer(issuer)) => Endpoint::of_issuer(issuer)?,
        };
        Ok(Self::Remote(RemoteKeys::new(endpoint, clock)))
    }

    /// The keys now. Waits for nothing but a file that has changed, and an endpoint that nobody has asked for long.
    pub async fn current(&self) -> Arc<KeySet> {
        match self {
            Self::None(keys) => keys.clone(),
            Self::File(file) => file.current().await,
            Self::Remote(remote) => remote.current().await,
        }
    }

    /// The keys, looked at again for the sake of one that was not among them, and whether the source can be reached.
    pub async fn renewed(&self) -> (Arc<KeySet>, bool) {
        match self {
            Self::None(_) | Self::File(_) => (self.current().await, true),
            Self::Remote(remote) => remote.renewed().await,
        }
    }
}

/// Whether a period is over. It is as well when the clock went back behind its start.
fn is_over(start: Timestamp, period: std::time::Duration, now: Timestamp) -> bool {
    now >= start + period || now < start
}

#[cfg(test)]
mod tests;
