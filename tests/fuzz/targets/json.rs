//! The decoder of JSON: what it reads it can write, and reads again as the same.

use cornjacket_gateway::json;
use cornjacket_proto::descriptor_of;
use cornjacket_proto::events::Event;
use cornjacket_proto::ingest::AppendBatchRequest;

/// Runs the target once.
pub fn run(data: &[u8]) {
    for descriptor in [descriptor_of::<Event>(), descriptor_of::<AppendBatchRequest>()] {
        match json::decode(&descriptor, data, "") {
            Ok(message) => {
                let written = json::encode(&message).expect("what was read can be written");
                let again = json::decode(&descriptor, &written, "");
                let again =
                    again.unwrap_or_else(|error| panic!("{error:?}: {}", String::from_utf8_lossy(&written)));
                // Not the messages, as NaN does not equal itself, and not the texts, as maps have no order.
                assert_eq!(value(&json::encode(&again).expect("it could be written")), value(&written));
            }
            Err(error) => {
                assert!(!error.description.is_empty() && !error.reason.is_empty(), "{error:?}");
                assert!(error.line.is_some_and(|line| line <= data.len() + 1), "{error:?}");
            }
        }
    }
}

fn value(text: &[u8]) -> serde_json::Value {
    serde_json::from_slice(text).expect("what is written is JSON")
}
