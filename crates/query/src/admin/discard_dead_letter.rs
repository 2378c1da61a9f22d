//! `DiscardDeadLetter`: gives one record up, and lets what waits behind it flow.

use cornjacket_proto::admin::DiscardDeadLetterRequest;
use cornjacket_proto::status::Failure;

use super::{Action, AdminRpc, letter_id, name, no_such_letter};
use crate::rpc::{printable, required, store_failed};

pub(super) async fn discard_dead_letter(
    rpc: &AdminRpc,
    request: DiscardDeadLetterRequest,
) -> Result<(), Failure> {
    let DiscardDeadLetterRequest { consumer, topic, partition, offset, reason } = request;
    let id = letter_id(consumer, topic, partition, offset)?;
    required("reason", &reason)?;
    printable("reason", &reason)?;
    let known = rpc.dead_letters.get(&id).await.map_err(|error| store_failed(&error))?;
    known.ok_or_else(|| no_such_letter(&id))?;
    let resource = format!("deadLetters/{}", name(&id));
    rpc.audit(&Action { verb: "discard", resource, reason: &reason, ..Action::default() }).await?;
    let found = rpc.dead_letters.discard(&id, &reason).await.map_err(|error| store_failed(&error))?;
    if found { Ok(()) } else { Err(no_such_letter(&id)) }
}
