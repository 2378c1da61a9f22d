//! Verifying signatures of Standard Webhooks 1.0, as a receiver does: see `signing.rs` for the other side.

use std::time::Duration;

use aws_lc_rs::hmac::{self, HMAC_SHA256};
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use cornjacket_domain::Timestamp;
use http::HeaderMap;

/// How far the sender's clock may be from ours.
const TOLERANCE: Duration = Duration::from_mins(5);

/// What a receiver verifies with.
#[derive(Debug)]
pub enum Verifier {
    /// `whsec_…`: the secret that both sides have.
    Hmac(Box<hmac::Key>),
    /// `whpk_…`: the sender's public key.
    Ed25519(Vec<u8>),
}

/// Why a request is not the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// It has no such header, or one that is not what it must be.
    #[error("the header {0} is missing or wrong")]
    Header(&'static str),
    /// It was sent at another time, perhaps by somebody who has recorded it.
    #[error("it was sent more than five minutes from now")]
    Time,
    /// No signature is by the key.
    #[error("no signature is by this key")]
    Signature,
}

impl Verifier {
    /// From the key that an endpoint came with; nothing when it is none.
    pub fn parse(key: &str) -> Option<Self> {
        let decode = |text: &str| STANDARD.decode(text).ok();
        match key.split_once('_')? {
            ("whsec", text) => Some(Self::Hmac(Box::new(hmac::Key::new(HMAC_SHA256, &decode(text)?)))),
            ("whpk", text) => Some(Self::Ed25519(decode(text)?)),
            _ => None,
        }
    }

    /// Whether the request is the sender's, and of now.
    pub fn verify(&self, headers: &HeaderMap, body: &[u8], now: Timestamp) -> Result<(), NotVerified> {
        let text = |name: &'static str| {
            let value = headers.get(name).and_then(|value| value.to_str().ok());
            value.ok_or(NotVerified::Header(name))
        };
        let (id, time) = (text("webhook-id")?, text("webhook-timestamp")?);
        let seconds: i64 = time.parse().map_err(|_| NotVerified::Header("webhook-timestamp"))?;
        let away = seconds.saturating_sub(now.as_micros().div_euclid(1_000_000)).unsigned_abs();
        if away > TOLERANCE.as_secs() {
            return Err(NotVerified::Time);
        }
        let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body].concat();
        let signatures = text("webhook-signature")?;
        let is_ours = signatures.split(' ').any(|signature| self.is_signature(signature, &signed));
        if is_ours { Ok(()) } else { Err(NotVerified::Signature) }
    }

    fn is_signature(&self, signature: &str, signed: &[u8]) -> bool {
        let decode = |text: &str| STANDARD.decode(text).unwrap_or_default();
        match (self, signature.split_once(',')) {
            (Self::Hmac(key), Some(("v1", text))) => hmac::verify(key, signed, &decode(text)).is_ok(),
            (Self::Ed25519(key), Some(("v1a", text))) => {
                UnparsedPublicKey::new(&ED25519, key).verify(signed, &decode(text)).is_ok()
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::actions::Signing;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::signing::{ID, Key, sign};
    use crate::testing::NOW;

    #[test]
    fn what_is_signed_is_verified_and_nothing_else() {
        for signing in [Signing::Hmac, Signing::Ed25519] {
            let (key, other) =
                (Key::generate(signing).expect("a key"), Key::generate(signing).expect("a key"));
            let public = |key: &Key| key.public().unwrap_or_else(|| key.secret().expose_secret().to_owned());
            let verifier = Verifier::parse(&public(&key)).expect("a key");
            let headers = sign(&[other, key], "msg", NOW, b"body").expect("signed");
            assert_eq!(verifier.verify(&headers, b"body", NOW), Ok(()));
            assert_eq!(verifier.verify(&headers, b"other", NOW), Err(NotVerified::Signature));
            assert_eq!(verifier.verify(&headers, b"body", NOW + TOLERANCE * 2), Err(NotVerified::Time));
            let mut changed = headers.clone();
            changed.insert(ID, "other".parse().expect("a value"));
            assert_eq!(verifier.verify(&changed, b"body", NOW), Err(NotVerified::Signature));
            changed.remove(ID);
            assert_eq!(verifier.verify(&changed, b"body", NOW), Err(NotVerified::Header("webhook-id")));
        }
        assert!(Verifier::parse("secret").is_none());
    }
}
