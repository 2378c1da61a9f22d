//! `DiscardDeadLetter`: gives one record up, and lets what waits behind it flow.

use cornjacket_domain::Caller;
use cornjacket_proto::admin::DiscardDeadLetterRequest;
use cornjacket_proto::status::Failure;
use tonic::Request;

use super::{Action, AdminRpc, find_letter, letter_id, name, no_such_letter};
use crate::rpc::{printable, required, store_failed};

pub(super) async fn discard_dead_letter(
    rpc: &AdminRpc,
    request: Request<DiscardDeadLetterRequest>,
) -> Result<(), Failure> {
    let caller = Caller::of(request.extensions())?;
    let DiscardDeadLetterRequest { consumer, topic, partition, offset, reason } = request.into_inner();
    let id = letter_id(consumer, topic, partition, offset)?;
    required("reason", &reason)?;
    printable("reason", &reason)?;
    find_letter(rpc, &caller, &id).await?;
    let resource = format!("deadLetters/{}", name(&id));
    rpc.audit(&Action { reason: &reason, ..Action::new(&caller, "discard", resource) }).await?;
    let found = rpc.dead_letters.discard(&id, &reason).await.map_err(|error| store_failed(&error))?;
    if found { Ok(()) } else { Err(no_such_letter(&id)) }
}
