//! `RedriveDeadLetters`: has keys tried again.

use cornjacket_domain::Caller;
use cornjacket_proto::admin::{RedriveDeadLettersRequest, RedriveDeadLettersResponse};
use cornjacket_proto::status::Failure;
use cornjacket_store::LetterFilter;
use tonic::Request;

use super::{Action, AdminRpc, authorize_key};
use crate::rpc::{invalid, store_failed};

pub(super) async fn redrive_dead_letters(
    rpc: &AdminRpc,
    request: Request<RedriveDeadLettersRequest>,
) -> Result<RedriveDeadLettersResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let RedriveDeadLettersRequest { consumer, topic, key, all } = request.into_inner();
    let filter = super::list_dead_letters::filter(consumer, topic, key)?;
    match &filter.key {
        Some(key) => authorize_key(&caller, key)?,
        None => caller.authorize_everything()?,
    }
    if filter == LetterFilter::default() && !all {
        return Err(invalid("all", "must be set when no consumer, topic or key is given", "REQUIRED"));
    }
    let resource = format!(
        "deadLetters/{}/{}",
        filter.consumer.as_deref().unwrap_or("*"),
        filter.topic.as_deref().unwrap_or("*")
    );
    rpc.audit(&Action::new(&caller, "redrive", resource)).await?;
    let keys = rpc.dead_letters.mark_redrive(&filter).await.map_err(|error| store_failed(&error))?;
    Ok(RedriveDeadLettersResponse { keys })
}
