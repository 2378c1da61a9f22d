//! From a token's claims (RFC 7519) to a [`Caller`].

use std::time::Duration;

use cornjacket_domain::clean::is_printable;
use cornjacket_domain::{Caller, Patterns, Scope, Timestamp};
use serde::Deserialize;
use serde_json::Number;

use crate::refusal::Refusal;
use crate::token::present;

/// Characters of a name at most.
pub const LONGEST_NAME: usize = 256;

/// The last second of the year 9999, which is where our times end.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// The claims that we read; others are left to others.
#[derive(Debug, Deserialize)]
pub struct Claims {
    #[serde(default, deserialize_with = "present")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    iss: Option<String>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Audience>,
    #[serde(default, deserialize_with = "present")]
    exp: Option<Number>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<Number>,
    #[serde(default, deserialize_with = "present")]
    iat: Option<Number>,
    #[serde(default, deserialize_with = "present")]
    scope: Option<String>,
    #[serde(default, deserialize_with = "present")]
    subjects: Option<Vec<String>>,
    #[serde(default, deserialize_with = "present")]
    sources: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Some(Vec<String>),
}

/// What tokens must say.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whom they are for.
    pub audience: String,
    /// How far the clock of who issues them may be ahead of ours.
    pub leeway: Duration,
    /// How long they may live.
    pub longest_lifetime: Duration,
}

/// A token that was checked once; only time can make it bad.
#[derive(Debug)]
pub struct Verified {
    /// Whom it stands for.
    pub caller: Caller,
    begins: Timestamp,
    expires: Timestamp,
}

impl Verified {
    /// Whether it is good at `now`.
    pub fn check_time(&self, now: Timestamp) -> Result<(), Refusal> {
        if now >= self.expires {
            return Err(Refusal::Expired);
        }
        if now < self.begins {
            return Err(Refusal::NotYetValid);
        }
        Ok(())
    }
}

impl Rules {
    /// Checks the claims of a token whose signature is good, and that comes from `issuer` if one is expected.
    pub fn check(&self, claims: Claims, issuer: Option<&str>, now: Timestamp) -> Result<Verified, Refusal> {
        let expires = claims.exp.as_ref().ok_or(Refusal::Malformed("the token has no claim exp"))?;
        let (expires, made) = (time(expires)?, optional_time(claims.iat.as_ref())?);
        let begins = made.max(optional_time(claims.nbf.as_ref())?).unwrap_or_default() - self.leeway;
        self.check_parties(&claims, issuer)?;
        let verified = Verified { caller: caller(claims)?.until(expires), begins, expires };
        verified.check_time(now)?;
        let longest = self.longest_lifetime;
        if expires > now + longest + self.leeway || made.is_some_and(|made| expires > made + longest) {
            return Err(Refusal::LifetimeTooLong);
        }
        Ok(verified)
    }

    fn check_parties(&self, claims: &Claims, issuer: Option<&str>) -> Result<(), Refusal> {
        if issuer.is_some() && claims.iss.as_deref() != issuer {
            return Err(Refusal::IssuerMismatch);
        }
        let is_for_us = match &claims.aud {
            Some(Audience::One(audience)) => *audience == self.audience,
            Some(Audience::Some(audiences)) => audiences.contains(&self.audience),
            None => false,
        };
        if is_for_us { Ok(()) } else { Err(Refusal::AudienceMismatch) }
    }
}

fn caller(claims: Claims) -> Result<Caller, Refusal> {
    let name = claims.sub.filter(|name| is_name(name));
    let name = name.ok_or(Refusal::Malformed("the claim sub must have 1 to 256 printable characters"))?;
    // Scopes that are not ours are for other services.
    let scopes: Vec<_> =
        claims.scope.as_deref().unwrap_or_default().split(' ').filter_map(Scope::by_name).collect();
    let patterns = |claim: Option<Vec<String>>| claim.map_or(Patterns::All, Patterns::Any);
    Ok(Caller::new(name, &scopes).limited_to(patterns(claims.subjects), patterns(claims.sources)))
}

/// Whether a token's subject may have this name: operators read it in logs and ledgers.
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().count() <= LONGEST_NAME && is_printable(name)
}

/// A `NumericDate`: seconds since 1970, perhaps with a fraction.
fn time(seconds: &Number) -> Result<Timestamp, Refusal> {
    let seconds = seconds.as_f64().filter(|seconds| (0.0..=LAST_SECOND).contains(seconds));
    let seconds =
        seconds.ok_or(Refusal::Malformed("a time of the token is not one of the years 1970 to 9999"))?;
    Ok(Timestamp::default() + Duration::from_secs_f64(seconds))
}

fn optional_time(seconds: Option<&Number>) -> Result<Option<Timestamp>, Refusal> {
    seconds.map(time).transpose()
}
