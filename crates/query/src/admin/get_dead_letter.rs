//! `GetDeadLetter`: one record that could not be handled, or that waits behind one.

use cornjacket_domain::Caller;
use cornjacket_proto::admin::{GetDeadLetterRequest, GetDeadLetterResponse};
use cornjacket_proto::status::Failure;
use tonic::Request;

use super::{AdminRpc, find_letter, letter_id, to_proto};

pub(super) async fn get_dead_letter(
    rpc: &AdminRpc,
    request: Request<GetDeadLetterRequest>,
) -> Result<GetDeadLetterResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let request = request.into_inner();
    let id = letter_id(request.consumer, request.topic, request.partition, request.offset)?;
    let letter = find_letter(rpc, &caller, &id).await?;
    Ok(GetDeadLetterResponse { dead_letter: Some(to_proto(letter)) })
}
