//! Sending again: one delivery, or what an endpoint has missed.

use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::{Delivery, ResendDeliveriesRequest, ResendDeliveryRequest};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::audit::Action;
use cornjacket_store::{DefinitionKind, Revived};
use tonic::Request;

use super::definitions::found;
use super::{ActionRpc, caller_of, deliveries, no_such, required, store_failed};

pub(super) async fn one(
    rpc: &ActionRpc,
    request: Request<ResendDeliveryRequest>,
) -> Result<Delivery, Failure> {
    let caller = caller_of(&request)?;
    let id = request.into_inner().id;
    required("id", &id)?;
    let told = find(rpc, &id).await?.told;
    if rpc.defined().await?.get(DefinitionKind::Endpoint, &told.endpoint).is_none() {
        let message = format!("its endpoint {:?} is no more", told.endpoint);
        return Err(Failure::new(ErrorKind::FailedPrecondition, message).with_reason("NO_ENDPOINT", []));
    }
    let action = Action::new(&caller, "resend", format!("deliveries/{id}"));
    action.record(rpc.log.as_ref(), rpc.clock.now()).await?;
    revive(rpc, Revived::One(&id)).await?;
    Ok(deliveries::to_proto(&find(rpc, &id).await?))
}

pub(super) async fn missed(
    rpc: &ActionRpc,
    request: Request<ResendDeliveriesRequest>,
) -> Result<u64, Failure> {
    let caller = caller_of(&request)?;
    let ResendDeliveriesRequest { endpoint, since } = request.into_inner();
    required("endpoint", &endpoint)?;
    let since = match since {
        None => Timestamp::from_micros(0),
        Some(since) => Timestamp::from_proto(&since)
            .ok_or_else(|| Failure::invalid("since", "is no time", "OUT_OF_RANGE"))?,
    };
    found(&rpc.defined().await?, DefinitionKind::Endpoint, &endpoint)?;
    let detail = format!("since {}", since.to_proto());
    let action = Action { detail, ..Action::new(&caller, "resend", format!("endpoints/{endpoint}")) };
    action.record(rpc.log.as_ref(), rpc.clock.now()).await?;
    revive(rpc, Revived::Missed(&endpoint, since)).await
}

async fn find(rpc: &ActionRpc, id: &str) -> Result<cornjacket_store::Delivery, Failure> {
    let found = rpc.deliveries.get(id).await.map_err(|error| store_failed(&error))?;
    Ok(found.ok_or_else(|| no_such("delivery", id))?.0)
}

async fn revive(rpc: &ActionRpc, which: Revived<'_>) -> Result<u64, Failure> {
    let revive = async {
        let mut tx = rpc.offsets.begin_apart().await?;
        let revived = tx.revive(&which, rpc.clock.now()).await?;
        tx.commit().await?;
        Ok(revived)
    };
    revive.await.map_err(|error| store_failed(&error))
}
