//! `ListConsumers`: how far every consumer has come.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_proto::admin::{ConsumerProgress, ListConsumersResponse};
use cornjacket_proto::status::Failure;
use cornjacket_store::{ConsumerStatus, Range, StoreError};

use super::AdminRpc;
use crate::rpc::store_failed;

/// Events of the log that are looked at for one partition: what a lag is counted in.
const LOOK_AT: u32 = 10_000;

pub(super) async fn list_consumers(rpc: &AdminRpc) -> Result<ListConsumersResponse, Failure> {
    let now = rpc.clock.now();
    let mut consumers = Vec::new();
    for status in rpc.consumers.list().await.map_err(|error| store_failed(&error))? {
        let lag = lag(rpc, &status).await.map_err(|error| store_failed(&error))?;
        consumers.push(progress(status, &lag, now));
    }
    Ok(ListConsumersResponse { consumers })
}

/// What a consumer has not read yet.
struct Lag {
    events: u64,
    oldest: Option<Timestamp>,
}

async fn lag(rpc: &AdminRpc, status: &ConsumerStatus) -> Result<Lag, StoreError> {
    let next = rpc.log.read(&Range::after(status.progress.last_position, LOOK_AT)).await?;
    let mut unread = next.iter().filter(|stored| {
        let (topic, partition) = rpc.partitions.place(&stored.event_type, &stored.subject);
        (topic.name(), partition) == (status.at.topic, status.at.partition)
    });
    let oldest = unread.next().map(|stored| stored.ingest_time);
    Ok(Lag { events: u64::from(oldest.is_some()) + unread.count() as u64, oldest })
}

fn progress(status: ConsumerStatus, lag: &Lag, now: Timestamp) -> ConsumerProgress {
    let report = status.report.as_ref();
    let state =
        report.filter(|report| report.is_fresh(now)).map_or("silent", |report| &report.state).to_owned();
    let reason = report.map(|report| report.reason.clone()).unwrap_or_default();
    let gap = |position| {
        let reason = format!("events up to position {position} were dropped before it read them: rebuild");
        ("gap".to_owned(), reason)
    };
    let (state, reason) = status.lost_until.map_or((state, reason), gap);
    let age = |oldest: Timestamp| {
        let micros = u64::try_from(now.as_micros() - oldest.as_micros()).unwrap_or_default();
        Duration::from_micros(micros).try_into().unwrap_or_default()
    };
    ConsumerProgress {
        consumer: status.at.consumer,
        topic: status.at.topic.to_owned(),
        partition: status.at.partition.into(),
        last_position: status.progress.last_position,
        next_offset: status.progress.next_offset,
        lag_events: lag.events,
        lag: lag.oldest.map(age),
        state,
        reason,
        holder: report.map(|report| report.holder.clone()).unwrap_or_default(),
        reported_at: report.map(|report| report.reported_at.to_proto()),
        parked_keys: status.parked_keys,
        dead_letters: status.dead_letters,
    }
}
