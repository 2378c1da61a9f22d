//! From what a caller shows to who it is.

use std::net::IpAddr;
use std::sync::Arc;

use cornjacket_domain::{Caller, Clock};
use cornjacket_proto::status::Failure;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};

use crate::claims::{Rules, Verified};
use crate::failures::Failures;
use crate::keys::{Key, Keys};
use crate::refusal::Refusal;
use crate::token::Token;
use crate::{Algorithm, AuthError, KeySource, Options};

/// Checks tokens. Cheap to clone; all clones share keys, cache and budgets.
#[derive(Clone, Debug)]
pub struct Authenticator(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Arc<dyn Clock>,
    allowed: Vec<Algorithm>,
    secret: Option<Key>,
    keys: Keys,
    /// What tokens of the secret and those of the keys say in `iss`.
    issuers: (Option<String>, Option<String>),
    rules: Rules,
    checked: Cache<[u8; 32], Checked>,
    failures: Failures,
}

/// A token that was good with the keys of one time.
#[derive(Clone, Debug)]
struct Checked {
    generation: u64,
    verified: Arc<Verified>,
}

impl Authenticator {
    /// Ready to check tokens. Where keys come from an endpoint, a TLS provider must be installed; they are fetched when
    /// the first token needs them, so that an identity provider that is down stops nobody from starting.
    pub fn start(options: &Options, clock: Arc<dyn Clock>) -> Result<Self, AuthError> {
        options.check()?;
        let of_provider = match &options.keys {
            Some(KeySource::Issuer(issuer)) => Some(issuer.clone()),
            _ => None,
        };
        Ok(Self(Arc::new(Inner {
            allowed: options.allowed(),
            secret: options.secret.as_ref().map(Key::secret),
            keys: Keys::open(options, clock.clone())?,
            issuers: (options.issuer.clone(), options.issuer.clone().or(of_provider)),
            rules: Rules {
                audience: options.audience.clone(),
                leeway: options.leeway,
                longest_lifetime: options.longest_lifetime,
            },
            checked: Cache::new(options.cached_tokens),
            failures: Failures::new(options),
            clock,
        })))
    }

    /// Who calls, by the header `authorization: Bearer <token>`. `client` is the address whose failures are counted.
    pub async fn authenticate(&self, headers: &HeaderMap, client: Option<IpAddr>) -> Result<Caller, Failure> {
        let caller = match bearer(headers) {
            Ok(token) => self.0.check(token).await,
            Err(refusal) => Err(refusal),
        };
        caller.map_err(|refusal| self.0.failures.answer(refusal, client))
    }

    /// Who calls, by a token that came in another way, such as an MQTT password.
    pub async fn authenticate_token(&self, token: &str, client: Option<IpAddr>) -> Result<Caller, Failure> {
        self.0.check(token).await.map_err(|refusal| self.0.failures.answer(refusal, client))
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }
}

/// The token of the one header of its kind (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() {
        return Err(Refusal::Malformed("there is more than one header authorization"));
    }
    let value = value.to_str().map_err(|_| Refusal::Malformed("the header authorization is no text"))?;
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() { Ok(token) } else { Err(Refusal::Missing) }
}

impl Inner {
    /// A token that was seen before costs a hash and a look at the clock.
    async fn check(&self, text: &str) -> Result<Caller, Refusal> {
        let digest = Sha256::digest(text).into();
        // Looked at first: what was checked with other keys than these does not count.
        let generation = self.keys.current().await.generation;
        if let Some(known) = self.checked.get(&digest).filter(|known| known.generation == generation) {
            known.verified.check_time(self.clock.now())?;
            return Ok(known.verified.caller.clone());
        }
        let known = self.verify(&Token::parse(text)?).await?;
        let caller = known.verified.caller.clone();
        self.checked.insert(digest, known);
        Ok(caller)
    }

    async fn verify(&self, token: &Token<'_>) -> Result<Checked, Refusal> {
        let algorithm = Algorithm::by_name(&token.header.alg).ok_or(Refusal::AlgorithmRefused)?;
        if !self.allowed.contains(&algorithm) {
            return Err(Refusal::AlgorithmRefused);
        }
        let (generation, issuer) = if algorithm.is_symmetric() {
            (self.verify_with_secret(token).await?, self.issuers.0.as_deref())
        } else {
            (self.verify_with_keys(token, algorithm).await?, self.issuers.1.as_deref())
        };
        let verified = Arc::new(self.rules.check(token.claims()?, issuer, self.clock.now())?);
        Ok(Checked { generation, verified })
    }

    /// The generation of the keys beside it, by which the token is cached.
    async fn verify_with_secret(&self, token: &Token<'_>) -> Result<u64, Refusal> {
        let secret = self.secret.as_ref().ok_or(Refusal::AlgorithmRefused)?;
        if !secret.verifies(token) {
            return Err(Refusal::SignatureInvalid);
        }
        Ok(self.keys.current().await.generation)
    }

    /// The generation of the keys that the token is good with.
    async fn verify_with_keys(&self, token: &Token<'_>, algorithm: Algorithm) -> Result<u64, Refusal> {
        let keys = self.keys.current().await;
        match keys.verify(token, algorithm) {
            Err(Refusal::KeyUnknown) => {}
            outcome => return outcome.map(|()| keys.generation),
        }
        let (keys, is_reachable) = self.keys.renewed().await;
        match keys.verify(token, algorithm) {
            // The key may be one of those that could not be fetched.
            Err(Refusal::KeyUnknown) if !is_reachable => Err(Refusal::KeysUnavailable),
            outcome => outcome.map(|()| keys.generation),
        }
    }
}

#[cfg(test)]
mod tests;
