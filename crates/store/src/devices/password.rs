//! Passwords, as they are stored: in a way that Mosquitto 2 and EMQX 5 can take over as it is.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA512};

/// What PBKDF2 is repeated for new passwords: some 10 ms. Brokers that verify in one thread stay usable, and generated
/// passwords, of 256 bits, need no more; those that people choose should be long. EMQX knows one number for all accounts.
pub const ITERATIONS: u32 = 20_000;

/// Mosquitto takes salts of just this many bytes. EMQX takes them as text, hence ours are ASCII.
pub const SALT_BYTES: usize = 12;

const HASH_BYTES: usize = 64;

/// PBKDF2-HMAC-SHA512 (RFC 8018) of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    /// ASCII.
    pub salt: String,
    /// Above zero; what is not fits no password.
    pub iterations: u32,
    /// 64 bytes; what is not fits no password.
    pub hash: Vec<u8>,
}

impl PasswordHash {
    /// The hash of a new password. `salt` should be random.
    pub fn new(password: &[u8], salt: String) -> Self {
        Self::derive(password, salt, ITERATIONS)
    }

    /// A hash that no password has, and that takes as long to be compared as any.
    pub fn of_nobody() -> Self {
        Self { salt: "nobody".to_owned(), iterations: ITERATIONS, hash: vec![0; HASH_BYTES] }
    }

    fn derive(password: &[u8], salt: String, iterations: u32) -> Self {
        let mut hash = vec![0; HASH_BYTES];
        let rounds = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        pbkdf2::derive(PBKDF2_HMAC_SHA512, rounds, salt.as_bytes(), password, &mut hash);
        Self { salt, iterations, hash }
    }

    /// Whether it is the hash of `password`. Takes as long whether it is or not.
    pub fn fits(&self, password: &[u8]) -> bool {
        let Some(rounds) = NonZeroU32::new(self.iterations) else { return false };
        self.hash.len() == HASH_BYTES
            && pbkdf2::verify(PBKDF2_HMAC_SHA512, rounds, self.salt.as_bytes(), password, &self.hash).is_ok()
    }
}

/// Logs show whose password it is, and nothing to guess it from.
impl fmt::Debug for PasswordHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PasswordHash").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by Python's `hashlib.pbkdf2_hmac("sha512", …)`.
    #[test]
    fn the_hash_is_that_of_others() {
        for (password, salt, iterations, begin) in VECTORS {
            let hash = PasswordHash::derive(password.as_bytes(), salt.into(), iterations).hash;
            assert_eq!(hash.len(), HASH_BYTES);
            assert_eq!(hash[..8], begin, "{password}, {salt}, {iterations}");
        }
    }

    const VECTORS: [(&str, &str, u32, [u8; 8]); 3] = [
        ("password", "salt", 1, [0x86, 0x7f, 0x70, 0xcf, 0x1a, 0xde, 0x02, 0xcf]),
        ("password", "salt", 4_096, [0xd1, 0x97, 0xb1, 0xb3, 0x3d, 0xb0, 0x14, 0x3e]),
        (
            "passwordPASSWORDpassword",
            "saltSALTsaltSALTsaltSALTsaltSALTsalt",
            20_000,
            [0x67, 0xeb, 0xf8, 0x34, 0x0f, 0x35, 0x2f, 0xb8],
        ),
    ];

    #[test]
    fn a_password_fits_its_own_hash_and_no_other() {
        let hash = PasswordHash::new(b"correct horse", "abcdefghijkl".into());
        assert!(hash.fits(b"correct horse"));
        assert!(!hash.fits(b"correct horsf"));
        assert!(!hash.fits(b""));
        let shorter = PasswordHash { hash: hash.hash[..8].to_vec(), ..hash.clone() };
        assert!(!shorter.fits(b"correct horse"), "a part of a hash is none");
        assert!(!PasswordHash { iterations: 0, ..hash }.fits(b"correct horse"));
        assert!(!PasswordHash::of_nobody().fits(b""));
    }

    #[test]
    fn a_hash_is_not_printed() {
        let hash = PasswordHash::new(b"x", "abcdefghijkl".into());
        assert_eq!(format!("{hash:?}"), "PasswordHash { iterations: 20000, .. }");
    }
}
