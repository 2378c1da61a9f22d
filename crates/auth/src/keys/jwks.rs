//! Reading a JSON Web Key Set (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{DecodingKey, DecodingKeyKind};
use serde::Deserialize;
use serde_json::Value;

use super::Key;
use crate::Algorithm;

/// A token that names no key is tried with all of them.
const MOST_KEYS: usize = 64;

/// Bytes of an RSA modulus at least: 2,048 bits (RFC 7518, section 3.3).
const SHORTEST_MODULUS: usize = 256;

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// The keys of a document that tokens can be checked with. Others are left out: a set may have keys for other uses, and
/// kinds that came after us.
pub fn parse(document: &[u8]) -> Result<Vec<Key>, String> {
    let document: Document = serde_json::from_slice(document).map_err(|error| error.to_string())?;
    if document.keys.len() > MOST_KEYS {
        return Err(format!("it has {} keys; {MOST_KEYS} is the most", document.keys.len()));
    }
    let keys: Vec<_> = document.keys.into_iter().filter_map(key).collect();
    if keys.is_empty() { Err("it has no key that tokens can be checked with".to_owned()) } else { Ok(keys) }
}

fn key(value: Value) -> Option<Key> {
    let jwk: Jwk = serde_json::from_value(value).ok()?;
    if !is_for_signatures(&jwk) {
        return None;
    }
    let algorithm = algorithm(&jwk)?;
    let material = DecodingKey::from_jwk(&jwk).ok()?;
    let is_short = matches!(material.kind(), DecodingKeyKind::RsaModulusExponent { n, .. } if n.len() < SHORTEST_MODULUS);
    (!is_short).then_some(Key { id: jwk.common.key_id, algorithm, material })
}

fn is_for_signatures(jwk: &Jwk) -> bool {
    let used = jwk.common.public_key_use.as_ref();
    let operations = jwk.common.key_operations.as_ref();
    used.is_none_or(|used| *used == PublicKeyUse::Signature)
        && operations.is_none_or(|operations| operations.contains(&KeyOperations::Verify))
}

/// What the key is for: what the set says, if its kind can do that, and else what its kind is usually for. Secrets are
/// none of a public document's business.
fn algorithm(jwk: &Jwk) -> Option<Algorithm> {
    use Algorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
    let possible: &[Algorithm] = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => &[Rs256, Rs384, Rs512, Ps256, Ps384, Ps512],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Es256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[Es384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[EdDsa],
        _ => &[],
    };
    match jwk.common.key_algorithm {
        None => possible.first().copied(),
        Some(said) => possible.iter().copied().find(|algorithm| algorithm.name() == said.to_string()),
    }
}
