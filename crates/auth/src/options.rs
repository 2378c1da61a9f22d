//! What is asked of tokens, and where keys come from.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::{Algorithm, AuthError};

/// Bytes of a secret at least: as many as HS256 makes of them (RFC 7518, section 3.2).
pub const SHORTEST_SECRET: usize = 32;

/// No token lives longer, whatever the settings say.
pub const LONGEST_LIFETIME: Duration = Duration::from_hours(24);

/// How callers are authenticated.
#[derive(Clone, Debug)]
pub struct Options {
    /// For tokens that are signed with HS256.
    pub secret: Option<SecretString>,
    /// For tokens that are signed with a private key.
    pub keys: Option<KeySource>,
    /// What the claim `iss` must say. With [`KeySource::Issuer`], tokens of its keys must say its URL unless this is
    /// set.
    pub issuer: Option<String>,
    /// What the claim `aud` must have.
    pub audience: String,
    /// How tokens may be signed; if not set HS256 with a secret, and RS256, ES256 and `EdDSA` with a source of keys.
    pub algorithms: Option<Vec<Algorithm>>,
    /// How far the clock of who issues tokens may be ahead of ours: tokens are good so much before `nbf` and `iat`.
    /// None is good after `exp`: that is when streams end, and callers renew their tokens ahead of it.
    pub leeway: Duration,
    /// How long a token may live, from `iat` if it says so, and from now in any case. At most [`LONGEST_LIFETIME`].
    pub longest_lifetime: Duration,
    /// Failures that an address may have in a minute before it is told to wait.
    pub failures_per_minute: NonZeroU32,
    /// Failures that it may have at once.
    pub failure_burst: NonZeroU32,
    /// Tokens whose checked form is kept.
    pub cached_tokens: usize,
}

/// Where public keys come from: a JSON Web Key Set (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A file, which is read again when it changes.
    File(PathBuf),
    /// A URL, `https:` or on this machine.
    Url(String),
    /// An `OpenID` provider: its metadata says where its keys are (`OpenID` Connect Discovery 1.0).
    Issuer(String),
}

impl Default for Options {
    fn default() -> Self {
        let sixty = NonZeroU32::MIN.saturating_add(59);
        Self {
            secret: None,
            keys: None,
            issuer: None,
            audience: "cornjacket".to_owned(),
            algorithms: None,
            leeway: Duration::from_secs(30),
            longest_lifetime: LONGEST_LIFETIME,
            failures_per_minute: sixty,
            failure_burst: sixty,
            cached_tokens: 10_000,
        }
    }
}

impl Options {
    /// Refuses what would let nobody in, or too many.
    pub(crate) fn check(&self) -> Result<(), AuthError> {
        if self.secret.is_none() && self.keys.is_none() {
            return Err(AuthError::NoKeys);
        }
        self.secret.as_ref().map_or(Ok(()), check_secret)?;
        check_lifetime(self.longest_lifetime)?;
        for (name, zero) in [
            ("audience", self.audience.is_empty()),
            ("cached_tokens", self.cached_tokens == 0),
            ("algorithms", self.allowed().is_empty()),
        ] {
            if zero {
                return Err(AuthError::Zero(name));
            }
        }
        let has_keys = |algorithm: &Algorithm| {
            if algorithm.is_symmetric() { self.secret.is_some() } else { self.keys.is_some() }
        };
        let without = self.allowed().into_iter().find(|algorithm| !has_keys(algorithm));
        without.map_or(Ok(()), |algorithm| Err(AuthError::NoKeysFor(algorithm.name())))
    }

    /// The algorithms that tokens may be signed with.
    pub(crate) fn allowed(&self) -> Vec<Algorithm> {
        const OF_KEYS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
        self.algorithms.clone().unwrap_or_else(|| {
            let of_secret = self.secret.iter().map(|_| Algorithm::Hs256);
            of_secret.chain(OF_KEYS.into_iter().filter(|_| self.keys.is_some())).collect()
        })
    }
}

pub(crate) fn check_secret(secret: &SecretString) -> Result<(), AuthError> {
    let bytes = secret.expose_secret().len();
    if bytes < SHORTEST_SECRET { Err(AuthError::ShortSecret(bytes)) } else { Ok(()) }
}

pub(crate) fn check_lifetime(lifetime: Duration) -> Result<(), AuthError> {
    let is_good = (Duration::from_secs(1)..=LONGEST_LIFETIME).contains(&lifetime);
    if is_good { Ok(()) } else { Err(AuthError::Lifetime) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authenticator;
    use crate::testing::{SECRET, clock};

    #[test]
    fn options_that_would_let_nobody_in_or_too_many_are_refused() {
        let good = || Options { secret: Some(SECRET.into()), ..Options::default() };
        let from = |keys| Options { keys: Some(keys), ..Options::default() };
        let algorithms = Some(vec![Algorithm::Rs256]);
        for (options, expected) in [
            (Options::default(), "neither a secret nor a source of keys is set"),
            (
                Options { secret: Some("short".into()), ..good() },
                "the secret has 5 bytes; it needs at least 32",
            ),
            (Options { longest_lifetime: Duration::from_hours(25), ..good() }, "tokens live for a second"),
            (
                Options { algorithms, ..good() },
                "the algorithm RS256 is allowed, but there are no keys for it",
            ),
            (Options { audience: String::new(), ..good() }, "audience must not be 0 or empty"),
            (Options { algorithms: Some(Vec::new()), ..good() }, "algorithms must not be 0 or empty"),
            (Options { cached_tokens: 0, ..good() }, "cached_tokens must not be 0 or empty"),
            (from(KeySource::File("/nowhere/keys.json".into())), "the key file /nowhere/keys.json"),
            (from(KeySource::Url("http://example.com/keys".into())), "keys cannot be fetched from http:"),
            (from(KeySource::Issuer("example.com".into())), "keys cannot be fetched from example.com/"),
        ] {
            let refused = Authenticator::start(&options, clock()).expect_err("bad options").to_string();
            assert!(refused.starts_with(expected), "{refused}");
        }
        assert!(Authenticator::start(&good(), clock()).is_ok());
    }
}
