//! The identity and the content of an event, as fixed-size hashes.

use sha2::{Digest, Sha256};
use uuid::{Uuid, Variant};

/// What makes an event one: 16 bytes from (source, id).
///
/// For a UUIDv7 id the first six bytes are its timestamp, so that keys made around the same time lie together in an
/// index and a large ledger costs no more than a small one. The rest, or all of it for other ids, is SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventKey([u8; 16]);

impl EventKey {
    /// The key of (source, id).
    pub fn new(source: &str, id: &str) -> Self {
        let mut hash = Sha256::new();
        // The length keeps ("a", "bc") apart from ("ab", "c").
        hash.update((source.len() as u64).to_be_bytes());
        hash.update(source);
        hash.update(id);
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finalize()[..16]);
        if let Some(millis) = uuid_v7_millis(id) {
            key[..6].copy_from_slice(&millis);
        }
        Self(key)
    }

    /// From the bytes that [`EventKey::as_bytes`] gave.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for storing.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

fn uuid_v7_millis(id: &str) -> Option<[u8; 6]> {
    let uuid = Uuid::try_parse(id).ok()?;
    let is_v7 = uuid.get_version_num() == 7 && uuid.get_variant() == Variant::RFC4122;
    is_v7.then(|| uuid.as_bytes()[..6].try_into().expect("six of sixteen bytes"))
}

/// SHA-256 of texts, each with its length before it: no other texts have the same.
pub fn digest_of<const N: usize>(parts: [&str; N]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// A UUID of version 8 (RFC 9562) of texts: the id of what follows from them and from nothing else.
pub fn id_of<const N: usize>(parts: [&str; N]) -> String {
    let bytes = digest_of(parts)[..16].try_into().expect("a digest is longer");
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

/// SHA-256 over what makes two events the same: everything but position, ingest time and trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentDigest([u8; 32]);

impl ContentDigest {
    /// The digest of an event's canonical encoding without the excluded fields.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// From the bytes that [`ContentDigest::as_bytes`] gave.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for storing.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_and_id_do_not_run_together() {
        assert_ne!(EventKey::new("a", "bc"), EventKey::new("ab", "c"));
        assert_eq!(EventKey::new("a", "bc"), EventKey::new("a", "bc"));
    }

    #[test]
    fn keys_of_uuid_v7_ids_sort_by_time() {
        let earlier = EventKey::new("z", "018f0000-0000-7000-8000-000000000000");
        let later = EventKey::new("a", "018f0000-0001-7000-8000-000000000000");
        assert!(earlier < later);
        assert_ne!(earlier, EventKey::new("y", "018f0000-0000-7000-8000-000000000000"));
    }
}
