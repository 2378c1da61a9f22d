//! The laws of [`EventLog`].

use std::time::Duration;

use cornjacket_domain::clock::ManualClock;
use cornjacket_domain::{Clock, Timestamp};
use tokio::time::timeout;

use super::fixtures::{clock, event, events, noon, positions, snapshot};
use super::{Backend, laws};
use crate::{Appended, Range, Select, Tail};

const DEADLINE: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_hours(24);

laws!(
    positions_follow_the_order_given,
    a_retry_gets_the_original_place_and_other_content_none,
    an_id_twice_in_one_batch_is_stored_once,
    a_retry_is_known_after_midnight,
    ranges_are_read_by_position_subject_and_type,
    times_never_go_back_and_lead_to_positions,
    a_tail_is_woken_by_what_is_stored,
    what_was_stored_is_there_after_opening_again,
    old_days_are_dropped_but_not_past_what_is_kept,
    a_large_batch_is_stored_whole,
);

fn stored(position: u64, ingest_time: Timestamp) -> Appended {
    Appended::Stored { position, ingest_time }
}

async fn positions_follow_the_order_given(backend: Backend) -> anyhow::Result<()> {
    let log = backend.open(clock()).await?.log;
    let batch = events("a", 3);
    let outcomes = log.append(&batch).await?;
    assert_eq!(outcomes, [stored(1, noon()), stored(2, noon()), stored(3, noon())]);
    assert_eq!(log.head().await?.position, 3);
    let read = log.read(&Range::after(0, 10)).await?;
    assert_eq!(positions(&read), [1, 2, 3]);
    for (event, sent) in read.iter().zip(&batch) {
        assert_eq!((&event.encoded, event.subject.as_str()), (sent.encoded(), sent.subject()));
    }
    Ok(())
}

async fn a_retry_gets_the_original_place_and_other_content_none(backend: Backend) -> anyhow::Result<()> {
    let clock = clock();
    let log = backend.open(clock.clone()).await?.log;
    log.append(&[event("1", "a", "first")]).await?;
    clock.advance(Duration::from_secs(1));
    let outcomes =
        log.append(&[event("1", "a", "first"), event("1", "a", "other"), event("2", "a", "x")]).await?;
    let duplicate = Appended::Duplicate { position: 1, ingest_time: noon() };
    assert_eq!(outcomes, [duplicate, Appended::Conflict, stored(2, clock.now())]);
    assert_eq!(log.head().await?.position, 2);
    Ok(())
}

async fn an_id_twice_in_one_batch_is_stored_once(backend: Backend) -> anyhow::Result<()> {
    let log = backend.open(clock()).await?.log;
    let outcomes = log.append(&[event("1", "a", "x"), event("1", "a", "x"), event("1", "a", "y")]).await?;
    let duplicate = Appended::Duplicate { position: 1, ingest_time: noon() };
    assert_eq!(outcomes, [stored(1, noon()), duplicate, Appended::Conflict]);
    assert_eq!(positions(&log.read(&Range::after(0, 10)).await?), [1]);
    Ok(())
}

async fn a_retry_is_known_after_midnight(backend: Backend) -> anyhow::Result<()> {
    let clock = clock();
    let log = backend.open(clock.clone()).await?.log;
    log.append(&[event("1", "a", "x")]).await?;
    // Past the partitions made ahead as well.
    for days in [1, 20] {
        clock.advance(DAY * days);
        let outcomes = log.append(&[event("1", "a", "x"), event("1", "a", "y")]).await?;
        let duplicate = Appended::Duplicate { position: 1, ingest_time: noon() };
        assert_eq!(outcomes, [duplicate, Appended::Conflict]);
        let fresh = log.append(&[event(&format!("after {days}"), "a", "x")]).await?;
        assert!(matches!(fresh[0], Appended::Stored { .. }));
    }
    assert_eq!(log.head().await?.position, 3);
    Ok(())
}

async fn ranges_are_read_by_position_subject_and_type(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let log = store.log.clone();
    for number in 0..10 {
        let subject = if number % 2 == 0 { "even" } else { "odd" };
        log.append(&[event(&number.to_string(), subject, "x")]).await?;
    }
    let read = async |after, until, select: &Select, limit| {
        let range = Range { after, until, select: select.clone(), descending: false, limit };
        let ascending = log.read(&range).await.map(|events| positions(&events))?;
        let back = log.read(&Range { limit: 100, descending: true, ..range.clone() }).await?;
        let mut all = positions(&log.read(&Range { limit: 100, ..range }).await?);
        all.reverse();
        assert_eq!(positions(&back), all, "backwards is the same, backwards");
        anyhow::Ok(ascending)
    };
    let subject = |name: &str| Select { subject: Some(name.into()), ..Select::all() };
    let of_type = |name: &str| Select { event_type: Some(name.into()), ..Select::all() };
    assert_eq!(read(3, 6, &Select::all(), 10).await?, [4, 5, 6]);
    assert_eq!(read(3, 6, &Select::all(), 2).await?, [4, 5]);
    assert_eq!(read(0, u64::MAX, &subject("even"), 3).await?, [1, 3, 5]);
    assert_eq!(read(5, u64::MAX, &of_type("test.odd"), 10).await?, [6, 8, 10]);
    assert_eq!(read(0, 10, &subject("none"), 10).await?, [0; 0]);
    let both = |one: &str, other: &str| Select { event_type: of_type(other).event_type, ..subject(one) };
    assert_eq!(read(5, u64::MAX, &both("odd", "test.odd"), 2).await?, [6, 8]);
    assert_eq!(read(0, u64::MAX, &both("odd", "test.even"), 2).await?, [0; 0]);
    let second = event("1", "odd", "x");
    assert_eq!(snapshot(&store).await?.find(second.key()).await?.map(|event| event.position), Some(2));
    assert_eq!(snapshot(&store).await?.find(event("none", "a", "x").key()).await?, None);
    Ok(())
}

async fn times_never_go_back_and_lead_to_positions(backend: Backend) -> anyhow::Result<()> {
    let clock = clock();
    let store = backend.open(clock.clone()).await?;
    let log = store.log.clone();
    log.append(&events("first", 3)).await?;
    clock.set(noon() - Duration::from_mins(1));
    let outcomes = log.append(&[event("back", "a", "x")]).await?;
    assert_eq!(outcomes, [stored(4, noon())], "a clock that goes back does not take the log with it");
    clock.set(noon() + Duration::from_mins(1));
    log.append(&events("later", 2)).await?;
    for (time, position) in [(noon(), 0), (noon() + Duration::from_micros(1), 4), (noon() + DAY, 6)] {
        assert_eq!(snapshot(&store).await?.position_before(time).await?, position);
    }
    Ok(())
}

async fn a_tail_is_woken_by_what_is_stored(backend: Backend) -> anyhow::Result<()> {
    let log = backend.open(clock()).await?.log;
    log.append(&events("early", 5)).await?;
    let mut tail = Tail::new(log.clone(), 2, Select::all());
    assert_eq!(positions(&timeout(DEADLINE, tail.next(2)).await??), [3, 4]);
    assert_eq!(positions(&timeout(DEADLINE, tail.next(9)).await??), [5]);
    let waiting = tokio::spawn(async move { tail.next(9).await });
    tokio::task::yield_now().await;
    log.append(&[event("late", "a", "x")]).await?;
    assert_eq!(positions(&timeout(DEADLINE, waiting).await???), [6]);
    Ok(())
}

async fn what_was_stored_is_there_after_opening_again(backend: Backend) -> anyhow::Result<()> {
    let log = backend.open(clock()).await?.log;
    log.append(&events("a", 3)).await?;
    drop(log);
    // A program that another test is just starting still has every open file, and with them the lock, for a moment.
    let opened = async || backend.open(clock()).await.ok();
    let log = cornjacket_testkit::wait::until_some(DEADLINE, "nobody has the store open", opened).await?.log;
    assert_eq!(*log.watch().borrow(), 3);
    assert_eq!(log.append(&[event("next", "a", "x")]).await?, [stored(4, noon())]);
    Ok(())
}

async fn old_days_are_dropped_but_not_past_what_is_kept(backend: Backend) -> anyhow::Result<()> {
    let clock = clock();
    let log = backend.open(clock.clone()).await?.log;
    for day in 0..4 {
        log.append(&events(&format!("day{day}"), 2)).await?;
        clock.advance(DAY);
    }
    let day_two = ManualClock::at(noon() + DAY * 2).now();
    assert_eq!(log.drop_before(day_two, 2).await?, 3, "somebody has read only up to 2");
    assert_eq!(log.drop_before(day_two, u64::MAX).await?, 5, "days 0 and 1 are gone");
    assert_eq!(log.drop_before(day_two, u64::MAX).await?, 5, "and nothing else");
    assert_eq!(positions(&log.read(&Range::after(0, 10)).await?), [5, 6, 7, 8]);
    // The id left with its event.
    assert_eq!(log.append(&events("day0", 1)).await?, [stored(9, clock.now())]);
    Ok(())
}

async fn a_large_batch_is_stored_whole(backend: Backend) -> anyhow::Result<()> {
    let log = backend.open(clock()).await?.log;
    let batch = events("a", 1_003);
    let outcomes = log.append(&batch).await?;
    assert_eq!(outcomes.last(), Some(&stored(1_003, noon())));
    let read = log.read(&Range::after(0, 2_000)).await?;
    assert_eq!(positions(&read), (1..=1_003).collect::<Vec<_>>());
    assert!(read.iter().zip(&batch).all(|(event, sent)| event.encoded == *sent.encoded()));
    Ok(())
}
