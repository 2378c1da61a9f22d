//! `google.protobuf.Any` as JSON, also of types that are not in the contract.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use cornjacket_proto::{Any, DESCRIPTOR_POOL};
use prost::Name;
use prost_reflect::{DynamicMessage, MessageDescriptor};
use serde_json::{Value, json};

static ANY: LazyLock<MessageDescriptor> = LazyLock::new(|| {
    let descriptor = DESCRIPTOR_POOL.get_message_by_name("google.protobuf.Any");
    descriptor.expect("google.rpc.Status, which is in the contract, has a field of it")
});

/// A message in an `Any`, with the prefix that clients expect.
pub(crate) fn pack<M: Name>(message: &M) -> Any {
    Any { type_url: format!("type.googleapis.com/{}", M::full_name()), value: message.encode_to_vec() }
}

/// The canonical JSON; where the type is unknown, its bytes in base64 as `value`.
pub(crate) fn to_json(any: &Any) -> Value {
    let mut message = DynamicMessage::new(ANY.clone());
    let known = message.transcode_from(any).ok().and_then(|()| serde_json::to_value(&message).ok());
    known.unwrap_or_else(|| json!({"@type": any.type_url, "value": BASE64_STANDARD.encode(&any.value)}))
}
