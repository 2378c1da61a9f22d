//! The laws of what is kept of when consumers had come how far.

use std::collections::HashMap;
use std::time::Duration;

use cornjacket_domain::{Timestamp, Topic};

use super::fixtures::{clock, noon};
use super::{Backend, laws};
use crate::{ConsumerPartition, DeadLetter, Milestone, Progress, Settled, Store};

laws!(
    an_event_is_reached_by_the_time_of_the_milestone_that_has_it,
    milestones_of_one_second_become_one,
    a_slot_is_written_over_after_an_hour,
    what_was_parked_has_no_time_once_it_is_settled,
);

fn at(consumer: &str, partition: u16) -> ConsumerPartition {
    ConsumerPartition { consumer: consumer.into(), topic: Topic::SensorEvents.name(), partition }
}

/// Of the consumer `one` in partition 0, so many milliseconds after noon.
fn milestone(after: u64, last_position: u64, millis: u64) -> Milestone {
    Milestone { at: at("one", 0), after, last_position, reached_at: later(millis) }
}

fn later(millis: u64) -> Timestamp {
    noon() + Duration::from_millis(millis)
}

/// When the consumer `one` had the event at `position` of partition 0.
async fn reached(store: &Store, position: u64) -> anyhow::Result<Option<Timestamp>> {
    Ok(store.consumers.reached(Topic::SensorEvents, 0, position).await?.remove("one"))
}

async fn an_event_is_reached_by_the_time_of_the_milestone_that_has_it(
    backend: Backend,
) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    store.consumers.keep(&[]).await?;
    let elsewhere = Milestone { at: at("one", 1), ..milestone(0, 99, 1) };
    store.consumers.keep(&[milestone(3, 5, 0), elsewhere]).await?;
    store.consumers.keep(&[milestone(5, 9, 1_500)]).await?;
    store.consumers.keep(&[Milestone { at: at("other", 0), ..milestone(0, 7, 4_000) }]).await?;
    let expected = [(3, None), (4, Some(later(0))), (5, Some(later(0))), (6, Some(later(1_500))), (10, None)];
    for (position, time) in expected {
        assert_eq!(reached(&store, position).await?, time, "{position}");
    }
    let all = store.consumers.reached(Topic::SensorEvents, 0, 5).await?;
    assert_eq!(all, HashMap::from([("one".into(), later(0)), ("other".into(), later(4_000))]));
    assert!(store.consumers.reached(Topic::UserActions, 0, 5).await?.is_empty());
    Ok(())
}

async fn milestones_of_one_second_become_one(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    for milestone in [milestone(0, 5, 0), milestone(5, 9, 999), milestone(9, 12, 1_000)] {
        store.consumers.keep(&[milestone]).await?;
    }
    for (position, millis) in [(1, 999), (6, 999), (10, 1_000)] {
        assert_eq!(reached(&store, position).await?, Some(later(millis)), "{position}");
    }
    Ok(())
}

async fn a_slot_is_written_over_after_an_hour(backend: Backend) -> anyhow::Result<()> {
    const HOUR: u64 = 3_600_000;
    let store = backend.open(clock()).await?;
    let last = [milestone(0, 5, 500), milestone(5, 9, HOUR - 1), milestone(9, 12, HOUR)];
    for (milestone, known) in last.into_iter().zip([true, true, false]) {
        store.consumers.keep(&[milestone]).await?;
        assert_eq!(reached(&store, 5).await?.is_some(), known);
    }
    assert_eq!(reached(&store, 9).await?, Some(later(HOUR - 1)));
    assert_eq!(reached(&store, 10).await?, Some(later(HOUR)));
    Ok(())
}

fn letter(offset: u64) -> DeadLetter {
    DeadLetter {
        at: at("one", 0),
        offset,
        key: "pump".into(),
        position: Some(10 * offset),
        ingest_time: Some(noon()),
        epoch: Some(1),
        format: String::new(),
        value: "x".into(),
        error: None,
        attempts: 0,
        first_time: noon(),
        last_time: noon(),
        discarded: None,
    }
}

async fn what_was_parked_has_no_time_once_it_is_settled(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let (from, to) = (Progress::default(), Progress { next_offset: 4, last_position: 40 });
    let mut tx = store.offsets.begin(&at("one", 0), from, to).await?.expect("nobody else");
    tx.park(&[letter(1), letter(3)]).await?;
    tx.commit().await?;
    for (number, (after, last)) in [(0, 9), (9, 10), (10, 20), (20, 40)].into_iter().enumerate() {
        store.consumers.keep(&[milestone(after, last, 1_000 * u64::try_from(number)?)]).await?;
    }
    let mut tx = store.offsets.begin(&at("one", 0), to, to).await?.expect("nobody else");
    let (key, now) = ("pump".into(), noon());
    tx.settle(&Settled { at: at("one", 0), key, below: 3, letters: 1, failed: None, now }).await?;
    tx.commit().await?;
    for (position, known) in [(9, true), (10, false), (11, true), (30, true)] {
        assert_eq!(reached(&store, position).await?.is_some(), known, "{position}");
    }
    Ok(())
}
