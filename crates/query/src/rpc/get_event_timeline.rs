//! `GetEventTimeline`: where an event is.

use cornjacket_domain::{EventKey, StoredEvent};
use cornjacket_proto::query::{GetEventTimelineRequest, GetEventTimelineResponse, Stage};
use cornjacket_proto::status::Failure;
use cornjacket_store::{ConsumerStatus, Snapshot};
use tokio::time::Instant;
use tonic::Request;

use super::consistency::snapshot;
use super::get_event::no_such_event;
use super::{QueryRpc, caller, required, store_failed};

pub(super) async fn get_event_timeline(
    rpc: &QueryRpc,
    deadline: Instant,
    request: Request<GetEventTimelineRequest>,
) -> Result<GetEventTimelineResponse, Failure> {
    let caller = caller(&request);
    let GetEventTimelineRequest { id, source } = request.into_inner();
    required("id", &id)?;
    required("source", &source)?;
    let mut snapshot = snapshot(rpc, deadline).await?;
    let found = snapshot.find(EventKey::new(&source, &id)).await.map_err(|error| store_failed(&error))?;
    let stored = found.ok_or_else(|| no_such_event(&id, &source))?;
    caller.authorize_subject(&stored.subject)?;
    let (topic, partition) = rpc.partitions.place(&stored.event_type, &stored.subject);
    let stored_at = |name: &str| Stage {
        name: name.to_owned(),
        state: "done".to_owned(),
        time: Some(stored.ingest_time.to_proto()),
    };
    let mut stages = vec![stored_at("accepted"), stored_at("stored")];
    stages.extend(published(rpc, &stored).await?);
    for status in rpc.consumers.list().await.map_err(|error| store_failed(&error))? {
        if status.at.topic == topic.name() && status.at.partition == partition {
            stages.push(consumed(snapshot.as_mut(), status, &stored).await?);
        }
    }
    let (topic, partition) = (topic.name().to_owned(), partition.into());
    Ok(GetEventTimelineResponse { position: stored.position, topic, partition, stages })
}

/// Nothing where the log itself is the bus.
async fn published(rpc: &QueryRpc, stored: &StoredEvent) -> Result<Option<Stage>, Failure> {
    let Some(relay) = &rpc.relay else { return Ok(None) };
    let position = relay.position().await.map_err(|error| store_failed(&error))?;
    let state = if position >= stored.position { "done" } else { "waiting" };
    Ok(Some(Stage { name: "published".to_owned(), state: state.to_owned(), time: None }))
}

async fn consumed(
    snapshot: &mut dyn Snapshot,
    status: ConsumerStatus,
    stored: &StoredEvent,
) -> Result<Stage, Failure> {
    let parked = snapshot.parked(&status.at, &stored.subject).await.map_err(|error| store_failed(&error))?;
    let state = if parked.is_some_and(|parked| parked <= stored.position) {
        "parked"
    } else if status.progress.last_position >= stored.position {
        "done"
    } else {
        "waiting"
    };
    Ok(Stage { name: status.at.consumer, state: state.to_owned(), time: None })
}
