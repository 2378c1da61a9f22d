//! Pages of lists: opaque cursors that are good for the filter that they were made with and no other.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use cornjacket_proto::status::Failure;
use sha2::{Digest, Sha256};

/// Items of a page when the caller does not say.
const DEFAULT: u32 = 100;
/// Items of a page at the most.
const MOST: u32 = 1_000;

/// How many items a page has: `wanted`, within the limit.
pub fn size(wanted: i32) -> Result<u32, Failure> {
    size_within(wanted, DEFAULT, MOST)
}

/// The same for a list with bounds of its own.
pub fn size_within(wanted: i32, default: u32, most: u32) -> Result<u32, Failure> {
    match u32::try_from(wanted) {
        Ok(0) => Ok(default),
        Ok(wanted) => Ok(wanted.min(most)),
        Err(_) => Err(Failure::invalid("page_size", "must not be negative", "OUT_OF_RANGE")),
    }
}

/// Reads and writes page tokens of one filter.
#[derive(Clone, Debug)]
pub struct Cursor {
    filter: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Token {
    #[prost(bytes = "bytes", tag = "1")]
    filter: Bytes,
    #[prost(bytes = "vec", tag = "2")]
    after: Vec<u8>,
}

impl Cursor {
    /// The cursor of a list with that filter; every part of the filter must be in the text.
    pub fn of(filter: impl AsRef<[u8]>) -> Self {
        Self { filter: Bytes::copy_from_slice(&Sha256::digest(filter)[..16]) }
    }

    /// The token that leads on from `after`.
    pub fn write<M: prost::Message>(&self, after: &M) -> String {
        let token = Token { filter: self.filter.clone(), after: after.encode_to_vec() };
        URL_SAFE_NO_PAD.encode(prost::Message::encode_to_vec(&token))
    }

    /// Where to go on, nothing at the beginning.
    pub fn read<M: prost::Message + Default>(&self, token: &str) -> Result<Option<M>, Failure> {
        if token.is_empty() {
            return Ok(None);
        }
        let not_ours = || Failure::invalid("page_token", "is not a token of this list", "GRAMMAR");
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| not_ours())?;
        let token = <Token as prost::Message>::decode(bytes.as_slice()).map_err(|_| not_ours())?;
        if token.filter != self.filter {
            return Err(Failure::invalid("page_token", "was made for another filter", "MISMATCH"));
        }
        M::decode(token.after.as_slice()).map(Some).map_err(|_| not_ours())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_filter_and_no_other() {
        let cursor = Cursor::of("a");
        let token = cursor.write(&7_u64);
        assert_eq!(cursor.read::<u64>(&token).expect("its own"), Some(7));
        assert_eq!(cursor.read::<u64>("").expect("the beginning"), None);
        assert!(Cursor::of("b").read::<u64>(&token).is_err());
        assert!(cursor.read::<u64>("!").is_err());
        assert!(cursor.read::<u64>("AAAA").is_err());
    }

    #[test]
    fn pages_are_bounded() {
        assert_eq!((size(0).ok(), size(5).ok(), size(5_000).ok()), (Some(100), Some(5), Some(1_000)));
        assert!(size(-1).is_err());
    }
}
