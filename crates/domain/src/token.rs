//! Read-your-writes tokens.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;

use crate::topic::Topic;

/// What a receipt promises a reader: once the readers of (topic, partition) have come to `position`, they include the
/// event. Opaque to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsistencyToken {
    /// The epoch of the log that gave the position.
    pub epoch: u32,
    /// The topic of the event.
    pub topic: Topic,
    /// The partition of its subject.
    pub partition: u16,
    /// Its place in the log.
    pub position: u64,
}

/// The text is not a token of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a consistency token")]
pub struct NotAToken;

#[derive(Clone, PartialEq, prost::Message)]
struct Encoded {
    #[prost(uint32, tag = "1")]
    epoch: u32,
    #[prost(message, repeated, tag = "2")]
    marks: Vec<Mark>,
}

/// A list leaves room for tokens that cover several events.
#[derive(Clone, PartialEq, prost::Message)]
struct Mark {
    #[prost(uint32, tag = "1")]
    topic: u32,
    #[prost(uint32, tag = "2")]
    partition: u32,
    #[prost(uint64, tag = "3")]
    position: u64,
}

impl ConsistencyToken {
    /// The text that clients keep.
    pub fn encode(&self) -> String {
        let mark =
            Mark { topic: self.topic.index(), partition: u32::from(self.partition), position: self.position };
        URL_SAFE_NO_PAD.encode(Encoded { epoch: self.epoch, marks: vec![mark] }.encode_to_vec())
    }

    /// Reads a client's text.
    pub fn decode(text: &str) -> Result<Self, NotAToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotAToken)?;
        let encoded = Encoded::decode(bytes.as_slice()).map_err(|_| NotAToken)?;
        let [mark] = encoded.marks.as_slice() else {
            return Err(NotAToken);
        };
        Ok(Self {
            epoch: encoded.epoch,
            topic: Topic::from_index(mark.topic).ok_or(NotAToken)?,
            partition: u16::try_from(mark.partition).map_err(|_| NotAToken)?,
            position: mark.position,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back() {
        let token =
            ConsistencyToken { epoch: 3, topic: Topic::UserActions, partition: 4, position: u64::MAX };
        assert_eq!(ConsistencyToken::decode(&token.encode()), Ok(token));
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        for text in ["", "!", "AAAA", "CAE"] {
            assert_eq!(ConsistencyToken::decode(text), Err(NotAToken), "{text}");
        }
    }
}
