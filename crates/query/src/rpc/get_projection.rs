//! `GetProjection`: the state of one subject, including what a token promises.

use std::time::Duration;

use cornjacket_domain::{ConsistencyToken, Topic};
use cornjacket_proto::query::{GetProjectionRequest, GetProjectionResponse};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::{ConsumerPartition, Reading, State};
use tokio::time::{Instant, sleep_until};
use tonic::Request;
use tonic::metadata::MetadataMap;

use super::{QueryRpc, caller, json, require_epoch, required, store_failed};
use crate::projections::{self, Declared};

/// How often a call that waits for a token looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(4);
/// Left of the caller's deadline for the answer's way back.
const WAY_BACK: Duration = Duration::from_millis(50);

pub(super) async fn get_projection(
    rpc: &QueryRpc,
    request: Request<GetProjectionRequest>,
) -> Result<GetProjectionResponse, Failure> {
    let caller = caller(&request);
    let deadline = Instant::now() + time_left(request.metadata()).unwrap_or(rpc.default_deadline);
    let GetProjectionRequest { projection: name, subject, consistency_token } = request.into_inner();
    required("projection", &name)?;
    required("subject", &subject)?;
    caller.authorize_subject(&subject)?;
    let projection = projections::by_name(&name)
        .ok_or_else(|| Failure::new(ErrorKind::NotFound, format!("there is no projection {name:?}")))?;
    let token = read_token(rpc, projection, &consistency_token)?;
    let state = read(rpc, projection, &subject, token, deadline).await?;
    let none = || Failure::new(ErrorKind::NotFound, format!("{name} has no state for subject {subject:?}"));
    respond(rpc, projection, state.ok_or_else(none)?)?.ok_or_else(none)
}

/// The token that has to be waited for, if any.
fn read_token(
    rpc: &QueryRpc,
    projection: &Declared,
    text: &str,
) -> Result<Option<ConsistencyToken>, Failure> {
    let Some(token) = require_epoch(rpc, text)? else { return Ok(None) };
    // An event of a topic that does not feed the projection will never be in it.
    Ok(projection.topics().contains(&token.topic).then_some(token))
}

/// Reads the state; with a token, again and again until it includes what the token promises.
async fn read(
    rpc: &QueryRpc,
    projection: &Declared,
    subject: &str,
    token: Option<ConsistencyToken>,
    deadline: Instant,
) -> Result<Option<State>, Failure> {
    let (topic, partition) = token.map_or((Topic::SensorEvents, 0), |token| (token.topic, token.partition));
    let consumer = projection.id.name.to_owned();
    let fed_by = ConsumerPartition { consumer, topic: topic.name(), partition };
    loop {
        let read = rpc.read_model.state(projection.id, subject, &fed_by).await;
        let Reading { state, included, parked } = read.map_err(|error| store_failed(&error))?;
        if let (Some(token), Some(parked)) = (token, parked)
            && parked <= token.position
        {
            return Err(parked_failure(projection.id.name, subject));
        }
        let Some(token) = token.filter(|token| token.position > included) else { return Ok(state) };
        let again = Instant::now() + LOOK_AGAIN;
        if again + WAY_BACK > deadline {
            return Err(behind(projection.id.name, included, token.position));
        }
        sleep_until(again).await;
    }
}

fn behind(projection: &str, included: u64, wanted: u64) -> Failure {
    let message = format!("{projection} includes position {included}, not yet {wanted}");
    Failure::new(ErrorKind::Unavailable, message)
        .with_reason("BEHIND", [("included", included.to_string()), ("wanted", wanted.to_string())])
        .with_retry_after(Duration::from_millis(100))
}

/// The event that the token stands for is not in the state, and waiting does not bring it there.
fn parked_failure(projection: &str, subject: &str) -> Failure {
    let message = format!("{projection} could not handle an event of {subject:?}: it waits as a dead letter");
    Failure::new(ErrorKind::FailedPrecondition, message)
        .with_reason("PARKED", [("consumer", projection.to_owned()), ("subject", subject.to_owned())])
}

/// Nothing when all of the state has expired.
fn respond(
    rpc: &QueryRpc,
    projection: &Declared,
    state: State,
) -> Result<Option<GetProjectionResponse>, Failure> {
    let name = projection.id.name;
    let State { subject, json, last_position, event_time } = state;
    let corrupt = |error: serde_json::Error| {
        tracing::error!(%error, projection = name, subject, "a stored state does not decode");
        Failure::new(ErrorKind::Internal, "the stored state does not decode")
    };
    let Some(seen) = projection.seen_at(&json, &rpc.moment()).map_err(corrupt)? else { return Ok(None) };
    let state = Some(json::to_struct(&seen).map_err(corrupt)?);
    Ok(Some(GetProjectionResponse {
        projection: name.to_owned(),
        subject,
        state,
        last_position,
        event_time: Some(event_time.to_proto()),
    }))
}

/// What the caller's `grpc-timeout` leaves (the gRPC over HTTP/2 protocol: up to eight digits and a unit).
fn time_left(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let count: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(count.checked_mul(3600)?)),
        "M" => Some(Duration::from_secs(count.checked_mul(60)?)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_deadline_is_understood() {
        for (text, expected) in [
            ("250m", Some(Duration::from_millis(250))),
            ("2S", Some(Duration::from_secs(2))),
            ("1M", Some(Duration::from_mins(1))),
            ("5u", Some(Duration::from_micros(5))),
            ("S", None),
            ("", None),
            ("5x", None),
            ("é", None),
        ] {
            let mut metadata = MetadataMap::new();
            if let Ok(value) = text.parse() {
                metadata.insert("grpc-timeout", value);
            }
            assert_eq!(time_left(&metadata), expected, "{text}");
        }
    }
}
