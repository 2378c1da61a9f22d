//! Deliveries: what is told, and every attempt at it.

use cornjacket_domain::Timestamp;
use cornjacket_domain::page::{self, Cursor};
use cornjacket_proto::actions::delivery::State;
use cornjacket_proto::actions::{
    Attempt, Delivery, GetDeliveryRequest, GetDeliveryResponse, ListDeliveriesRequest, ListDeliveriesResponse,
};
use cornjacket_proto::status::Failure;
use cornjacket_store::{DeliveryFilter, DeliveryState};
use tonic::Request;

use super::{ActionRpc, caller_of, no_such, required, store_failed};

pub(super) async fn list(
    rpc: &ActionRpc,
    request: Request<ListDeliveriesRequest>,
) -> Result<ListDeliveriesResponse, Failure> {
    caller_of(&request)?;
    let request = request.into_inner();
    let state = state_of(request.state)?;
    let size = page::size(request.page_size)?;
    let cursor = Cursor::of(format!("{:?}", (&request.endpoint, &request.rule, request.state)));
    let below: Option<i64> = cursor.read(&request.page_token)?;
    let filter = DeliveryFilter {
        endpoint: Some(request.endpoint).filter(|name| !name.is_empty()),
        rule: Some(request.rule).filter(|name| !name.is_empty()),
        decision: None,
        state,
    };
    let found = rpc.deliveries.list(&filter, below, size + 1).await.map_err(|error| store_failed(&error))?;
    let (shown, rest) = found.split_at(found.len().min(size as usize));
    let next = shown.last().filter(|_| !rest.is_empty()).map(|last| cursor.write(&last.number));
    let deliveries = shown.iter().map(to_proto).collect();
    Ok(ListDeliveriesResponse { deliveries, next_page_token: next.unwrap_or_default() })
}

pub(super) async fn get(
    rpc: &ActionRpc,
    request: Request<GetDeliveryRequest>,
) -> Result<GetDeliveryResponse, Failure> {
    caller_of(&request)?;
    let id = request.into_inner().id;
    required("id", &id)?;
    let found = rpc.deliveries.get(&id).await.map_err(|error| store_failed(&error))?;
    let (delivery, attempts) = found.ok_or_else(|| no_such("delivery", &id))?;
    let attempts = attempts.into_iter().map(attempt).collect();
    Ok(GetDeliveryResponse { delivery: Some(to_proto(&delivery)), attempts })
}

fn state_of(state: i32) -> Result<Option<DeliveryState>, Failure> {
    match State::try_from(state) {
        Ok(State::Unspecified) => Ok(None),
        Ok(State::Pending) => Ok(Some(DeliveryState::Pending)),
        Ok(State::Sending) => Ok(Some(DeliveryState::Sending)),
        Ok(State::Delivered) => Ok(Some(DeliveryState::Delivered)),
        Ok(State::Dead) => Ok(Some(DeliveryState::Dead)),
        Ok(State::Gathered) => Ok(Some(DeliveryState::Gathered)),
        Err(_) => Err(Failure::invalid("state", "is no state of a delivery", "OUT_OF_RANGE")),
    }
}

/// A delivery, without what it says.
pub fn to_proto(delivery: &cornjacket_store::Delivery) -> Delivery {
    let told = &delivery.told;
    let state = match delivery.state {
        DeliveryState::Pending => State::Pending,
        DeliveryState::Sending => State::Sending,
        DeliveryState::Delivered => State::Delivered,
        DeliveryState::Dead => State::Dead,
        DeliveryState::Gathered => State::Gathered,
    };
    let is_tried = delivery.state == DeliveryState::Pending;
    Delivery {
        id: told.id.clone(),
        endpoint: told.endpoint.clone(),
        decision: told.decision.clone(),
        rule: told.rule.clone(),
        rule_version: told.rule_version,
        event_source: told.source.clone(),
        event_id: told.event_id.clone(),
        state: state.into(),
        attempts: delivery.attempts,
        create_time: Some(told.now.to_proto()),
        next_attempt_time: is_tried.then(|| delivery.due.to_proto()),
        settle_time: delivery.settled.map(Timestamp::to_proto),
        reason: delivery.reason.clone(),
        told_with: delivery.told_with.clone().unwrap_or_default(),
    }
}

fn attempt(attempt: cornjacket_store::Attempt) -> Attempt {
    let result = attempt.result;
    Attempt {
        number: attempt.number,
        start_time: Some(attempt.began.to_proto()),
        latency: result.took.and_then(|took| took.try_into().ok()),
        outcome: result.outcome.into(),
        status: result.status.into(),
        error: result.error,
        response: result.response.into(),
        address: result.address,
    }
}
