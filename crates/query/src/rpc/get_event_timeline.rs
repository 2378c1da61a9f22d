//! `GetEventTimeline`: where an event is.

use cornjacket_domain::{Caller, StoredEvent, Timestamp};
use cornjacket_proto::query::{GetEventTimelineRequest, GetEventTimelineResponse, Stage};
use cornjacket_proto::status::Failure;
use cornjacket_store::{ConsumerStatus, Snapshot};
use tokio::time::Instant;
use tonic::Request;

use super::consistency::snapshot;
use super::{QueryRpc, get_event, required, store_failed};

const PUBLISHED: &str = "published";

/// A stage after the log.
#[derive(Debug)]
struct Reached {
    name: String,
    state: &'static str,
    time: Option<Timestamp>,
}

impl Reached {
    fn into_proto(self) -> Stage {
        Stage { name: self.name, state: self.state.to_owned(), time: self.time.map(Timestamp::to_proto) }
    }
}

pub(super) async fn get_event_timeline(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<GetEventTimelineRequest>,
) -> Result<GetEventTimelineResponse, Failure> {
    let caller = Caller::of(request.extensions())?;
    let GetEventTimelineRequest { id, source } = request.into_inner();
    required("id", &id)?;
    required("source", &source)?;
    let mut snapshot = snapshot(rpc, deadline).await?;
    let stored = get_event::find(snapshot.as_mut(), &caller, &id, &source).await?;
    let (topic, partition) = rpc.partitions.place(&stored.event_type, &stored.subject);
    let mut way = vec![];
    way.extend(published(rpc, &stored).await?);
    let reached = rpc.consumers.reached(topic, partition, stored.position).await;
    let mut reached = reached.map_err(|error| store_failed(&error))?;
    for status in rpc.consumers.list().await.map_err(|error| store_failed(&error))? {
        if status.at.topic == topic.name() && status.at.partition == partition {
            let time = reached.remove(&status.at.consumer);
            way.push(consumed(snapshot.as_mut(), status, time, &stored).await?);
        }
    }
    let stages = in_order(way, stored.ingest_time);
    let (topic, partition) = (topic.name().to_owned(), partition.into());
    Ok(GetEventTimelineResponse { position: stored.position, topic, partition, stages })
}

/// Nothing where the log itself is the bus.
async fn published(rpc: &QueryRpc, stored: &StoredEvent) -> Result<Option<Reached>, Failure> {
    let Some(relay) = &rpc.relay else { return Ok(None) };
    let position = relay.position().await.map_err(|error| store_failed(&error))?;
    if position < stored.position {
        return Ok(Some(Reached { name: PUBLISHED.to_owned(), state: "waiting", time: None }));
    }
    let time = relay.reached(stored.position).await.map_err(|error| store_failed(&error))?;
    Ok(Some(Reached { name: PUBLISHED.to_owned(), state: "done", time }))
}

async fn consumed(
    snapshot: &mut dyn Snapshot,
    status: ConsumerStatus,
    time: Option<Timestamp>,
    stored: &StoredEvent,
) -> Result<Reached, Failure> {
    // Of the same moment, so that what is parked is not taken for done.
    let parked = snapshot.parked(&status.at, &stored.subject).await.map_err(|error| store_failed(&error))?;
    let included = snapshot.included(&status.at).await.map_err(|error| store_failed(&error))?;
    let state = if parked.is_some_and(|parked| parked <= stored.position) {
        "parked"
    } else if included >= stored.position {
        "done"
    } else {
        "waiting"
    };
    Ok(Reached { name: status.at.consumer, state, time: time.filter(|_| state == "done") })
}

/// The stages in the order of the event's way, with times in that order: what is known of one bounds the others.
fn in_order(mut way: Vec<Reached>, stored: Timestamp) -> Vec<Stage> {
    // Other clocks than the log's say when the others were reached.
    for time in way.iter_mut().filter_map(|reached| reached.time.as_mut()) {
        *time = stored.max(*time);
    }
    // Consumers have what the relay has not yet made sure of, and what a consumer has is published.
    let first = way.iter().filter_map(|reached| reached.time).min();
    for published in way.iter_mut().filter(|reached| reached.name == PUBLISHED && reached.state == "done") {
        published.time = first;
    }
    let done = |name: &str| Reached { name: name.to_owned(), state: "done", time: Some(stored) };
    [done("accepted"), done("stored")].into_iter().chain(way).map(Reached::into_proto).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const STORED: Timestamp = Timestamp::from_micros(1_000_000);

    fn reached(name: &str, state: &'static str, after: Option<u64>) -> Reached {
        let time = after.map(|after| STORED + Duration::from_secs(after));
        Reached { name: name.to_owned(), state, time }
    }

    fn seconds(way: Vec<Reached>) -> Vec<Option<i64>> {
        let stages = in_order(way, STORED).into_iter();
        stages.map(|stage| stage.time.map(|time| time.seconds - 1)).collect()
    }

    #[test]
    fn what_a_consumer_has_is_published_by_then() {
        let published = |after| reached(PUBLISHED, "done", after);
        let consumers = || [reached("a", "done", Some(3)), reached("b", "done", Some(2))];
        for (relay, told) in [(Some(5), 2), (Some(1), 1), (None, 2)] {
            let way = [published(relay)].into_iter().chain(consumers()).collect();
            assert_eq!(seconds(way), [Some(0), Some(0), Some(told), Some(3), Some(2)]);
        }
    }

    #[test]
    fn what_is_not_known_or_not_done_has_no_time() {
        let way = vec![reached(PUBLISHED, "done", None), reached("a", "parked", None)];
        assert_eq!(seconds(way), [Some(0), Some(0), None, None]);
        let way = vec![reached(PUBLISHED, "waiting", None), reached("a", "done", Some(1))];
        assert_eq!(seconds(way), [Some(0), Some(0), None, Some(1)]);
    }

    #[test]
    fn no_clock_puts_a_stage_before_the_log() {
        let early = Some(STORED - Duration::from_secs(1));
        let way = ["a", PUBLISHED].map(|name| Reached { name: name.to_owned(), state: "done", time: early });
        assert_eq!(seconds(way.into()), [Some(0); 4]);
    }
}
