//! `ReplayEvents`: a range of the log on the bus once more, for consumers that are not ours.
//!
//! A step reads some of the range, puts it on the bus, waits until it is there, and tells. Steps are taken as the caller
//! takes their messages: one who is slow slows it down, one who hangs up ends it.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::{Bus, BusError, Published, Publisher};
use cornjacket_domain::Caller;
use cornjacket_proto::admin::{ReplayEventsRequest, ReplayEventsResponse};
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::postgres::RelayCheckpoint;
use cornjacket_store::{EventLog, Range, Select};
use futures::StreamExt;
use futures::stream::BoxStream;
use tonic::{Request, Status};

use super::{Action, AdminRpc};
use crate::pace::Pace;
use crate::rpc::list_events::select;
use crate::rpc::oldest::{dropped, oldest, require_there};
use crate::rpc::{invalid, printable, store_failed};

pub(super) type Progresses = BoxStream<'static, Result<ReplayEventsResponse, Status>>;

/// Events of a step, at most.
const AT_ONCE: u32 = 1_000;
/// Positions that a step looks at, at most: where few events are wanted, the caller hears of it nevertheless.
const SPAN: u64 = 20_000;

pub(super) async fn replay_events(
    rpc: &AdminRpc,
    request: Request<ReplayEventsRequest>,
) -> Result<Progresses, Failure> {
    let caller = Caller::of(request.extensions())?;
    caller.authorize_everything()?;
    let request = request.into_inner();
    let Some(checkpoint) = &rpc.relay else { return Err(nobody_else()) };
    printable("subject", &request.subject)?;
    printable("type", &request.r#type)?;
    let positions = positions(rpc.log.as_ref(), &request).await?;
    let resource = format!("events/{}-{}", positions.start(), positions.end());
    let action = Action { detail: detail(&request), ..Action::new(&caller, "replay", resource) };
    let id = rpc.audit(&action).await?;
    let replay = Replay {
        publisher: publisher(rpc.bus.as_ref(), checkpoint, &id).await?,
        id,
        log: rpc.log.clone(),
        pace: Pace::new(request.events_per_second),
        select: select(request.subject, request.r#type),
        after: positions.start() - 1,
        until: *positions.end(),
        published: 0,
    };
    Ok(replay.steps().boxed())
}

async fn publisher(
    bus: &dyn Bus,
    checkpoint: &RelayCheckpoint,
    id: &str,
) -> Result<Box<dyn Publisher>, Failure> {
    let on_bus = checkpoint.published().await.map_err(|error| store_failed(&error))?;
    let publisher = bus.replayer(id, Published::from_text(&on_bus, 0)).await;
    publisher.map_err(|error| bus_failed(&error))?.ok_or_else(nobody_else)
}

/// The positions that are asked for, of which the log has all.
async fn positions(
    log: &dyn EventLog,
    request: &ReplayEventsRequest,
) -> Result<RangeInclusive<u64>, Failure> {
    let head = log.head().await.map_err(|error| store_failed(&error))?.position;
    let (from, until) = (request.from_position, request.until_position);
    let until = if until == 0 { head } else { until };
    let last = from.max(until);
    if last > head {
        let beyond = format!("the log ends at position {head}, before {last}");
        return Err(Failure::new(ErrorKind::OutOfRange, beyond)
            .with_reason("POSITION_NOT_STORED", [("head", head.to_string())]));
    }
    if until < from {
        return Err(invalid("until_position", "must not be before from_position", "OUT_OF_RANGE"));
    }
    // When none is left, it is the one that is stored next; never 0.
    let oldest = oldest(log).await?.unwrap_or(head + 1);
    if from < oldest {
        return Err(dropped(oldest));
    }
    Ok(from..=until)
}

/// What the positions do not say.
fn detail(request: &ReplayEventsRequest) -> String {
    let ReplayEventsRequest { subject, r#type: event_type, events_per_second: rate, .. } = request;
    format!("subject {subject:?}, type {event_type:?}, {rate} events a second")
}

struct Replay {
    id: String,
    log: Arc<dyn EventLog>,
    publisher: Box<dyn Publisher>,
    pace: Pace,
    select: Select,
    /// What is wanted is on the bus up to here.
    after: u64,
    until: u64,
    /// So many events were wanted.
    published: u64,
}

impl Replay {
    fn steps(self) -> impl futures::Stream<Item = Result<ReplayEventsResponse, Status>> {
        futures::stream::unfold(Some(self), |replay| async move {
            let mut replay = replay?;
            match replay.step().await {
                Ok(()) if replay.after < replay.until => Some((Ok(replay.progress()), Some(replay))),
                Ok(()) => {
                    tracing::info!(replay = replay.id, events = replay.published, "replayed");
                    Some((Ok(replay.progress()), None))
                }
                Err(failure) => Some((Err(failure.into()), None)),
            }
        })
    }

    async fn step(&mut self) -> Result<(), Failure> {
        let most = self.pace.at_once(AT_ONCE);
        let until = self.until.min(self.after.saturating_add(SPAN));
        let range = Range { until, select: self.select.clone(), ..Range::after(self.after, most) };
        let events = self.log.read(&range).await.map_err(|error| store_failed(&error))?;
        // After reading: what is there now was there then.
        require_there(self.log.as_ref(), self.after + 1).await?;
        let count = u32::try_from(events.len()).unwrap_or(most);
        if let Some(last) = events.last() {
            self.pace.wait_for(count).await;
            self.publisher.publish(&events).await.map_err(|error| bus_failed(&error))?;
            self.publisher.commit().await.map_err(|error| bus_failed(&error))?;
            self.published += u64::from(count);
            self.after = last.position;
        }
        if count < most {
            self.after = until;
        }
        Ok(())
    }

    fn progress(&self) -> ReplayEventsResponse {
        ReplayEventsResponse {
            replay_id: self.id.clone(),
            position: self.after,
            until_position: self.until,
            published: self.published,
            done: self.after == self.until,
        }
    }
}

fn nobody_else() -> Failure {
    let message = "bus.url is embedded: the bus is the log itself, and nobody else reads it; to make states anew, rebuild \
                   their projection";
    Failure::new(ErrorKind::FailedPrecondition, message).with_reason("BUS_EMBEDDED", [])
}

/// What the caller is told when the bus did not do its part; the detail goes to the log.
fn bus_failed(error: &BusError) -> Failure {
    tracing::warn!(%error, "a replay ends");
    match error {
        BusError::Outage(_) => Failure::new(ErrorKind::Unavailable, "the bus is not available")
            .with_reason("BUS_UNAVAILABLE", [])
            .with_retry_after(Duration::from_secs(1)),
        BusError::Lost(_) => {
            let message = "the bus has lost records; replay when the relay has published them again";
            Failure::new(ErrorKind::FailedPrecondition, message).with_reason("BUS_LOST", [])
        }
        BusError::Fenced | BusError::Refused(_) => {
            Failure::new(ErrorKind::Internal, "the bus refuses records")
        }
    }
}

#[cfg(test)]
mod tests;
