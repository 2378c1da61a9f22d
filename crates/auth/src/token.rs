//! The parts of a token, before anything in it is believed.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::refusal::Refusal;

/// Tokens come in a header: this is as much as servers take of all headers.
const LONGEST_TOKEN: usize = 16 * 1024;

/// A JSON Web Signature in its compact form (RFC 7515): three parts.
#[derive(Debug)]
pub struct Token<'a> {
    /// What it says of how it is signed.
    pub header: Header,
    /// What is signed: header and claims, encoded.
    pub signed: &'a str,
    /// The signature, encoded.
    pub signature: &'a str,
    claims: &'a str,
}

/// What is read of a token's header. Keys that a header brings along (`jwk`, `jku`, `x5c`) are not.
#[derive(Debug, Deserialize)]
pub struct Header {
    /// Its algorithm.
    pub alg: String,
    /// Its key.
    #[serde(default, deserialize_with = "present")]
    pub kid: Option<String>,
    #[serde(default, deserialize_with = "present")]
    typ: Option<String>,
    #[serde(default, deserialize_with = "present")]
    crit: Option<IgnoredAny>,
}

impl<'a> Token<'a> {
    /// Takes it apart. Refuses critical headers, none of which are understood, and what says that it is another kind
    /// of token (RFC 8725, section 3.11).
    pub fn parse(text: &'a str) -> Result<Self, Refusal> {
        let malformed = Refusal::Malformed("not a JSON Web Token of three parts");
        if text.len() > LONGEST_TOKEN {
            return Err(Refusal::Malformed("the token is longer than 16 KiB"));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(malformed)?;
        if claims.contains('.') {
            return Err(malformed);
        }
        let header: Header =
            decode(header).ok_or(Refusal::Malformed("the token's header is not readable"))?;
        if header.crit.is_some() {
            return Err(Refusal::CriticalHeader);
        }
        if !header.is_access_token() {
            return Err(Refusal::Malformed("the token's typ is neither JWT nor at+jwt"));
        }
        Ok(Self { header, signed, signature, claims })
    }

    /// Its claims. They mean something only once the signature is checked.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        decode(self.claims)
            .ok_or(Refusal::Malformed("the token's claims are not readable, or not of their types"))
    }
}

impl Header {
    fn is_access_token(&self) -> bool {
        let Some(typ) = &self.typ else { return true };
        let typ = typ.to_ascii_lowercase();
        matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
    }
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// A member that may be absent, but not `null`: a list of limits that is `null` must not mean no limit.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(member: D) -> Result<Option<T>, D::Error> {
    T::deserialize(member).map(Some)
}
