//! `PauseConsumer` and `ResumeConsumer`.

use cornjacket_domain::Caller;
use cornjacket_proto::status::{ErrorKind, Failure};

use super::{Action, AdminRpc};
use crate::rpc::{required, store_failed};

pub(super) async fn set_paused(
    rpc: &AdminRpc,
    caller: &Caller,
    consumer: &str,
    paused: bool,
) -> Result<(), Failure> {
    caller.authorize_everything()?;
    required("consumer", consumer)?;
    let known = rpc.consumers.list().await.map_err(|error| store_failed(&error))?;
    if !known.iter().any(|status| status.at.consumer == consumer) {
        return Err(Failure::new(ErrorKind::NotFound, format!("there is no consumer {consumer:?}")));
    }
    let (verb, resource) = (if paused { "pause" } else { "resume" }, format!("consumers/{consumer}"));
    rpc.audit(&Action::new(caller, verb, resource)).await?;
    rpc.consumers.set_paused(consumer, paused).await.map_err(|error| store_failed(&error))
}
