//! Making tokens, for development and for tests: where there is an identity provider, tokens come from it.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cornjacket_domain::{Scope, Timestamp};
use jsonwebtoken::{EncodingKey, Header};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::options::{SHORTEST_SECRET, check_lifetime, check_secret};
use crate::{Algorithm, AuthError, claims};

/// How long a token lives that says nothing else.
pub const DEFAULT_LIFETIME: Duration = Duration::from_hours(1);

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// Whom it stands for.
    pub name: String,
    /// What they may do.
    pub scopes: Vec<Scope>,
    /// Patterns of the subjects that it is limited to; all if not set.
    pub subjects: Option<Vec<String>>,
    /// Patterns of the sources that it is limited to; all if not set.
    pub sources: Option<Vec<String>>,
    /// Whom it is for.
    pub audience: String,
    /// Whom it is from.
    pub issuer: Option<String>,
    /// At most 24 hours, and a second at least.
    pub lifetime: Duration,
}

/// A secret to sign tokens with that nobody guesses: 32 random bytes as text.
pub fn new_secret() -> String {
    let mut secret = [0; SHORTEST_SECRET];
    aws_lc_rs::rand::fill(&mut secret).expect("the operating system gives random bytes");
    URL_SAFE_NO_PAD.encode(secret)
}

impl TokenRequest {
    /// One for `audience` that is limited to no subjects and sources, and lives for [`DEFAULT_LIFETIME`].
    pub fn new(name: impl Into<String>, scopes: &[Scope], audience: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            scopes: scopes.to_vec(),
            subjects: None,
            sources: None,
            audience: audience.into(),
            issuer: None,
            lifetime: DEFAULT_LIFETIME,
        }
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    aud: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    iat: i64,
    exp: i64,
    scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subjects: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<&'a [String]>,
}

/// A token that says so, from `now` on, signed with HS256.
pub fn mint(secret: &SecretString, request: &TokenRequest, now: Timestamp) -> Result<String, AuthError> {
    check_secret(secret)?;
    check_lifetime(request.lifetime)?;
    if !claims::is_name(&request.name) {
        return Err(AuthError::Name);
    }
    // Both ends are cut to the second, so that it lives as long as was asked.
    let seconds = |time: Timestamp| time.as_micros().div_euclid(1_000_000);
    let scopes: Vec<_> = request.scopes.iter().map(|scope| scope.name()).collect();
    let claims = Claims {
        sub: &request.name,
        aud: &request.audience,
        iss: request.issuer.as_deref(),
        iat: seconds(now),
        exp: seconds(now + request.lifetime),
        scope: scopes.join(" "),
        subjects: request.subjects.as_deref(),
        sources: request.sources.as_deref(),
    };
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::Hs256.implementation()), &claims, &key)?)
}
