//! Signatures of Standard Webhooks 1.0 (<https://github.com/standard-webhooks/standard-webhooks>, `spec/standard-webhooks.md`):
//! over id, time and body, by each key that is valid at that time, so that receivers change keys when they like.

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::rand;
use aws_lc_rs::signature::{ED25519_PUBLIC_KEY_LEN, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::Signing;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// The delivery, over all of its attempts.
pub const ID: HeaderName = HeaderName::from_static("webhook-id");
/// When the attempt was made, in seconds since 1970.
pub const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
/// The signatures.
pub const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

const SHARED: &str = "whsec_";
const PRIVATE: &str = "whsk_";
const PUBLIC: &str = "whpk_";
/// Bytes of a shared secret: what the specification allows, and what we make.
const SHARED_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const OUR_SHARED_BYTES: usize = 32;
const SEED_BYTES: usize = 32;

/// A key that requests are signed with. It is never shown but by [`Key::secret`].
#[derive(Debug)]
pub struct Key(Material);

enum Material {
    /// Both sides have it.
    Hmac(SecretSlice<u8>),
    /// Receivers have the public half.
    Ed25519 { seed: SecretSlice<u8>, pair: Ed25519KeyPair },
}

impl std::fmt::Debug for Material {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Hmac(_) => "Hmac",
            Self::Ed25519 { .. } => "Ed25519",
        })
    }
}

/// Why there is no key, or no signature. None of it says anything of a secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SigningError {
    /// It does not say what it is.
    #[error("a key begins with {SHARED} or {PRIVATE}")]
    Prefix,
    /// Behind that is no base64.
    #[error("behind its prefix a key is base64")]
    Base64,
    /// A shared secret has so many bytes.
    #[error("a {SHARED} has {least} to {most} bytes, not {0}", least = SHARED_BYTES.start(), most = SHARED_BYTES.end())]
    Length(usize),
    /// A private key is a seed and the public key that follows from it.
    #[error("a {PRIVATE} is a seed of {SEED_BYTES} bytes and its public key")]
    Pair,
    /// The machine gives none.
    #[error("this machine has no randomness")]
    Random,
    /// It would be ambiguous in what is signed, or has no place in a header.
    #[error("an id has visible ASCII without dots, and is not empty")]
    Id,
    /// Nobody could verify anything.
    #[error("there is no key to sign with")]
    NoKey,
}

impl Key {
    /// A new one.
    pub fn generate(signing: Signing) -> Result<Self, SigningError> {
        match signing {
            Signing::Unspecified | Signing::Hmac => {
                let mut secret = Zeroizing::new(vec![0; OUR_SHARED_BYTES]);
                rand::fill(&mut secret).map_err(|_| SigningError::Random)?;
                Self::shared(&secret)
            }
            Signing::Ed25519 => {
                let mut seed = Zeroizing::new([0; SEED_BYTES]);
                rand::fill(&mut *seed).map_err(|_| SigningError::Random)?;
                let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| SigningError::Pair)?;
                Ok(Self(Material::Ed25519 { seed: seed.to_vec().into(), pair }))
            }
        }
    }

    /// Reads what [`Key::secret`] wrote: `whsec_`, or `whsk_` with the seed and the public key.
    pub fn parse(secret: &SecretString) -> Result<Self, SigningError> {
        let text = secret.expose_secret();
        let decode = |text| STANDARD.decode(text).map(Zeroizing::new).map_err(|_| SigningError::Base64);
        if let Some(text) = text.strip_prefix(SHARED) {
            return Self::shared(&decode(text)?);
        }
        let bytes = decode(text.strip_prefix(PRIVATE).ok_or(SigningError::Prefix)?)?;
        if bytes.len() != SEED_BYTES + ED25519_PUBLIC_KEY_LEN {
            return Err(SigningError::Pair);
        }
        let (seed, public) = bytes.split_at(SEED_BYTES);
        let pair = Ed25519KeyPair::from_seed_and_public_key(seed, public);
        Ok(Self(Material::Ed25519 {
            seed: seed.to_vec().into(),
            pair: pair.map_err(|_| SigningError::Pair)?,
        }))
    }

    fn shared(secret: &[u8]) -> Result<Self, SigningError> {
        if !SHARED_BYTES.contains(&secret.len()) {
            return Err(SigningError::Length(secret.len()));
        }
        Ok(Self(Material::Hmac(secret.to_vec().into())))
    }

    /// The whole key, to be kept sealed. Of a shared one it is also what receivers verify with.
    pub fn secret(&self) -> SecretString {
        match &self.0 {
            Material::Hmac(secret) => format!("{SHARED}{}", STANDARD.encode(secret.expose_secret())),
            Material::Ed25519 { seed, pair } => {
                let bytes = Zeroizing::new([seed.expose_secret(), pair.public_key().as_ref()].concat());
                format!("{PRIVATE}{}", STANDARD.encode(&*bytes))
            }
        }
        .into()
    }

    /// What receivers verify with, where that is no secret: `whpk_`.
    pub fn public(&self) -> Option<String> {
        match &self.0 {
            Material::Hmac(_) => None,
            Material::Ed25519 { pair, .. } => {
                Some(format!("{PUBLIC}{}", STANDARD.encode(pair.public_key().as_ref())))
            }
        }
    }

    /// What receivers verify with: the secret itself, or the public key.
    pub fn verification(&self) -> String {
        self.public().unwrap_or_else(|| self.secret().expose_secret().to_owned())
    }

    fn sign(&self, signed: &[u8]) -> String {
        match &self.0 {
            Material::Hmac(secret) => {
                let key = hmac::Key::new(HMAC_SHA256, secret.expose_secret());
                format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed)))
            }
            Material::Ed25519 { pair, .. } => format!("v1a,{}", STANDARD.encode(pair.sign(signed))),
        }
    }
}

/// The fields of a signed request. All keys sign, the first of them first.
pub fn sign(keys: &[Key], id: &str, now: Timestamp, body: &[u8]) -> Result<HeaderMap, SigningError> {
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.') {
        return Err(SigningError::Id);
    }
    if keys.is_empty() {
        return Err(SigningError::NoKey);
    }
    let timestamp = now.as_micros().div_euclid(1_000_000).to_string();
    let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let signatures: Vec<_> = keys.iter().map(|key| key.sign(&signed)).collect();
    let value = |text: String| HeaderValue::try_from(text).expect("ASCII that is visible, and spaces");
    Ok([(ID, id.to_owned()), (TIMESTAMP, timestamp), (SIGNATURE, signatures.join(" "))]
        .map(|(name, text)| (name, value(text)))
        .into_iter()
        .collect())
}

#[cfg(test)]
mod tests;
