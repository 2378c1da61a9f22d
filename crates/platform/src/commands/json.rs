//! Messages as JSON on a terminal.

use prost::Message;

/// A message in protobuf's JSON form, over several lines.
pub fn pretty<M: Message + prost::Name>(message: &M) -> anyhow::Result<String> {
    let dynamic = cornjacket_proto::decode_dynamic::<M>(&message.encode_to_vec())?;
    Ok(serde_json::to_string_pretty(&dynamic)?)
}
