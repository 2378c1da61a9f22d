//! Secrets at rest: sealed with a key of the settings, so that a copy of the database has none.
//!
//! An envelope is its version (1), the key's id (8 bytes), a random nonce (12) and the text in AES-256-GCM with its tag. What
//! stands before the text, and the endpoint's name, are authenticated with it: the envelope of one endpoint opens for no
//! other. The key's id follows from the key and gives nothing of it away, so that whoever changed the setting is told that
//! and not that data is broken.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const ID_BYTES: usize = 8;
const HEAD_BYTES: usize = 1 + ID_BYTES;

/// Which key sealed an envelope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; ID_BYTES]);

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// Why a secret cannot be sealed or opened. None of it is better the next time, with the same settings.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretsError {
    /// There is nothing to seal with.
    #[error("there is no key")]
    NoKey,
    /// A key of the settings is none, counted from 1.
    #[error(
        "key {0} must be {KEY_BYTES} random bytes in base64, as `openssl rand -base64 {KEY_BYTES}` prints them"
    )]
    BadKey(usize),
    /// The settings do not have the key.
    #[error("sealed with the key {0}, which the settings do not have; theirs are {1:?}")]
    OtherKey(KeyId, Vec<KeyId>),
    /// A newer program wrote it.
    #[error("sealed in version {0}, which this program does not know")]
    Version(u8),
    /// It is too short, was changed, or belongs to another endpoint.
    #[error("the sealed secret is damaged, or of another endpoint")]
    Damaged,
    /// The machine gave no randomness.
    #[error("could not be sealed")]
    Seal,
}

/// A key for the settings that nobody guesses.
pub fn new_key() -> String {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    aws_lc_rs::rand::fill(&mut *key).expect("the operating system gives random bytes");
    STANDARD.encode(*key)
}

/// Seals and opens secrets.
#[derive(Debug)]
pub struct Secrets {
    first: Key,
    others: Vec<Key>,
}

struct Key {
    id: KeyId,
    cipher: RandomizedNonceKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(formatter)
    }
}

impl Key {
    fn parse(text: &SecretString) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.expose_secret().trim()).ok()?);
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &bytes).ok()?;
        let digest = Sha256::new().chain_update(b"cornjacket secrets").chain_update(&*bytes).finalize();
        let id = digest[..ID_BYTES].try_into().expect("a digest is longer");
        Some(Self { id: KeyId(id), cipher })
    }
}

impl Secrets {
    /// With the keys of the settings. The first one seals, all of them open: a new one is put before the others.
    pub fn new(keys: &[SecretString]) -> Result<Self, SecretsError> {
        let keys = keys.iter().enumerate();
        let keys = keys.map(|(at, key)| Key::parse(key).ok_or(SecretsError::BadKey(at + 1)));
        let mut keys = keys.collect::<Result<Vec<_>, _>>()?.into_iter();
        Ok(Self { first: keys.next().ok_or(SecretsError::NoKey)?, others: keys.collect() })
    }

    /// Seals a secret of an endpoint.
    pub fn seal(&self, endpoint: &str, secret: &SecretString) -> Result<Vec<u8>, SecretsError> {
        let Key { id, cipher } = &self.first;
        let mut envelope = [&[VERSION], id.0.as_slice()].concat();
        // With room for the tag: growing would leave a copy behind.
        let text = secret.expose_secret().as_bytes();
        let mut sealed = Vec::with_capacity(text.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(text);
        let context = context(&envelope, endpoint);
        let nonce = cipher.seal_in_place_append_tag(Aad::from(context), &mut sealed);
        envelope.extend_from_slice(nonce.map_err(|_| SecretsError::Seal)?.as_ref());
        envelope.append(&mut sealed);
        Ok(envelope)
    }

    /// Opens what was sealed for that endpoint.
    pub fn open(&self, endpoint: &str, envelope: &[u8]) -> Result<SecretString, SecretsError> {
        match envelope.first() {
            Some(&VERSION) => {}
            Some(&other) => return Err(SecretsError::Version(other)),
            None => return Err(SecretsError::Damaged),
        }
        let (head, rest) = envelope.split_at_checked(HEAD_BYTES).ok_or(SecretsError::Damaged)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(SecretsError::Damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SecretsError::Damaged)?;
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let context = Aad::from(context(head, endpoint));
        let opened = self.key(head)?.cipher.open_in_place(nonce, context, &mut sealed);
        let text = str::from_utf8(opened.map_err(|_| SecretsError::Damaged)?);
        text.map(Into::into).map_err(|_| SecretsError::Damaged)
    }

    /// Whether an envelope was sealed with a key that no longer seals: it is to be sealed anew before that key goes.
    pub fn is_outdated(&self, envelope: &[u8]) -> bool {
        envelope.get(1..HEAD_BYTES) != Some(&self.first.id.0)
    }

    fn key(&self, head: &[u8]) -> Result<&Key, SecretsError> {
        let id = KeyId(head[1..].try_into().map_err(|_| SecretsError::Damaged)?);
        let all = || std::iter::once(&self.first).chain(&self.others);
        all()
            .find(|key| key.id == id)
            .ok_or_else(|| SecretsError::OtherKey(id, all().map(|key| key.id).collect()))
    }
}

/// What is authenticated beside the text. The head has one length, so that no name can begin in it.
fn context(head: &[u8], endpoint: &str) -> Vec<u8> {
    [head, endpoint.as_bytes()].concat()
}

#[cfg(test)]
mod tests;
