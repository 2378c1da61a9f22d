//! `RedriveDeadLetters`: has keys tried again.

use cornjacket_proto::admin::{RedriveDeadLettersRequest, RedriveDeadLettersResponse};
use cornjacket_proto::status::Failure;
use cornjacket_store::LetterFilter;

use super::{Action, AdminRpc};
use crate::rpc::{invalid, store_failed};

pub(super) async fn redrive_dead_letters(
    rpc: &AdminRpc,
    request: RedriveDeadLettersRequest,
) -> Result<RedriveDeadLettersResponse, Failure> {
    let RedriveDeadLettersRequest { consumer, topic, key, all } = request;
    let filter = super::list_dead_letters::filter(consumer, topic, key)?;
    if filter == LetterFilter::default() && !all {
        return Err(invalid("all", "must be set when no consumer, topic or key is given", "REQUIRED"));
    }
    let resource = format!(
        "deadLetters/{}/{}",
        filter.consumer.as_deref().unwrap_or("*"),
        filter.topic.as_deref().unwrap_or("*")
    );
    rpc.audit(&Action { verb: "redrive", resource, ..Action::default() }).await?;
    let keys = rpc.dead_letters.mark_redrive(&filter).await.map_err(|error| store_failed(&error))?;
    Ok(RedriveDeadLettersResponse { keys })
}
