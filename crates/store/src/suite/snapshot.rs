//! The laws of snapshots: one moment, and an end.

use std::time::{Duration, Instant};

use cornjacket_domain::Timestamp;

use super::fixtures::{clock, events, noon};
use super::{Backend, laws};
use crate::{Build, ConsumerPartition, Progress, ProjectionId, Range, State, Store, StoreError};

const PROJECTION: ProjectionId = ProjectionId { name: "law", version: 1 };

laws!(what_is_asked_later_is_answered_as_of_the_same_moment, a_question_ends_when_its_time_is_over);

fn at() -> ConsumerPartition {
    ConsumerPartition { consumer: "law".into(), topic: "sensor-events", partition: 0 }
}

async fn effect(store: &Store, from: u64, to: u64) -> anyhow::Result<()> {
    let progress = |position| Progress { next_offset: position, last_position: position };
    let mut tx = store.offsets.begin(&at(), progress(from), progress(to)).await?.expect("nobody else");
    let state = State {
        subject: "pump".into(),
        json: "{}".into(),
        last_position: to,
        event_time: Timestamp::from_micros(0),
    };
    tx.save_states(PROJECTION, Build::Live, &[state]).await?;
    Ok(tx.commit().await?)
}

async fn what_is_asked_later_is_answered_as_of_the_same_moment(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    store.rebuilds.declare(PROJECTION).await?;
    effect(&store, 0, 1).await?;
    let mut snapshot = store.snapshots.begin(Duration::from_mins(1)).await?;
    assert_eq!(snapshot.included(&at()).await?, 1);
    effect(&store, 1, 2).await?;
    let state = snapshot.state(PROJECTION, "pump").await?;
    assert_eq!(state.map(|state| state.last_position), Some(1));
    assert_eq!(snapshot.included(&at()).await?, 1);
    let mut next = store.snapshots.begin(Duration::from_mins(1)).await?;
    assert_eq!(next.included(&at()).await?, 2);
    assert_eq!(next.included(&ConsumerPartition { partition: 1, ..at() }).await?, 0);
    assert_eq!(next.progress(&at().consumer).await?, [(at(), 2)]);
    assert_eq!(next.parked(&at(), "pump").await?, None);
    Ok(())
}

async fn a_question_ends_when_its_time_is_over(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    for number in 0..40 {
        store.log.append(&events(&format!("a{number}"), 5_000)).await?;
    }
    let mut snapshot = store.snapshots.begin(Duration::from_millis(30)).await?;
    let began = Instant::now();
    let all = Range { limit: u32::MAX, ..Range::after(0, 0) };
    let read = snapshot.read(&all).await;
    assert!(matches!(read, Err(StoreError::Deadline(_))), "{:?}", read.map(|events| events.len()));
    assert!(began.elapsed() < Duration::from_secs(2));
    drop(snapshot);
    // The connection is good for the next one.
    let mut snapshot = store.snapshots.begin(Duration::from_mins(1)).await?;
    assert_eq!(snapshot.read(&Range::after(199_999, 5)).await?.len(), 1);
    assert_eq!(snapshot.time_at(1).await?, Some(noon()));
    Ok(())
}
