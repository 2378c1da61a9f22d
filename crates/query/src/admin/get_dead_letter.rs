//! `GetDeadLetter`: one record that could not be handled, or that waits behind one.

use cornjacket_proto::admin::{GetDeadLetterRequest, GetDeadLetterResponse};
use cornjacket_proto::status::Failure;

use super::{AdminRpc, letter_id, no_such_letter, to_proto};
use crate::rpc::store_failed;

pub(super) async fn get_dead_letter(
    rpc: &AdminRpc,
    request: GetDeadLetterRequest,
) -> Result<GetDeadLetterResponse, Failure> {
    let id = letter_id(request.consumer, request.topic, request.partition, request.offset)?;
    let letter = rpc.dead_letters.get(&id).await.map_err(|error| store_failed(&error))?;
    let letter = letter.ok_or_else(|| no_such_letter(&id))?;
    Ok(GetDeadLetterResponse { dead_letter: Some(to_proto(letter)) })
}
