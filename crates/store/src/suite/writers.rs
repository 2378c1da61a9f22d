//! Invariant 2 on PostgreSQL: whatever several writers do, a reader that follows the log misses nothing.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_domain::SystemClock;
use sqlx::{Connection, PgConnection};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Backend;
use super::fixtures::{event, positions};
use crate::{Appended, EventLog, Select, Tail};

const DEADLINE: Duration = Duration::from_mins(1);
const PROCESSES: usize = 2;
const WRITERS: usize = 4;
const APPENDS: usize = 50;
const READERS: usize = 4;

/// Numbers that look random and are the same in every run.
fn noise(seed: usize) -> usize {
    let mixed = (seed as u64 ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    usize::try_from(mixed >> 40).expect("24 bits")
}

/// Each process has connections of its own, as if it were one.
async fn process(backend: &Backend) -> anyhow::Result<Arc<dyn EventLog>> {
    Ok(backend.open(Arc::new(SystemClock)).await?.log)
}

async fn write(log: Arc<dyn EventLog>, writer: usize) -> anyhow::Result<usize> {
    let mut stored = 0;
    for append in 0..APPENDS {
        let count = 1 + noise(writer * APPENDS + append) % 7;
        let batch: Vec<_> =
            (0..count).map(|number| event(&format!("{writer}-{append}-{number}"), "a", "x")).collect();
        let outcomes = append_despite_outages(log.as_ref(), &batch).await?;
        stored += outcomes.len();
    }
    Ok(stored)
}

/// As an ingest process does: after an outage, the same events again.
async fn append_despite_outages(
    log: &dyn EventLog,
    batch: &[cornjacket_domain::Event],
) -> anyhow::Result<Vec<Appended>> {
    loop {
        match log.append(batch).await {
            Err(error) if error.is_outage() => {}
            result => return Ok(result?),
        }
    }
}

/// Takes the append lock, stays in the way for a while, and rolls back.
async fn disturb(url: String, rounds: usize, hold: Duration) -> anyhow::Result<()> {
    let mut connection = PgConnection::connect(&url).await?;
    for round in 0..rounds {
        let mut transaction = connection.begin().await?;
        sqlx::query("update event_store.head set position = position + 1000")
            .execute(&mut *transaction)
            .await?;
        let share = u32::try_from(1 + noise(round) % 4).expect("at most 4");
        sqlx::query("select pg_sleep($1)")
            .bind((hold * share / 4).as_secs_f64())
            .execute(&mut *transaction)
            .await?;
        transaction.rollback().await?;
    }
    Ok(())
}

async fn follow(log: Arc<dyn EventLog>, until: u64) -> anyhow::Result<Vec<u64>> {
    let mut tail = Tail::new(log, 0, Select::all());
    let mut seen = Vec::new();
    while seen.last() != Some(&until) {
        seen.extend(positions(&timeout(DEADLINE, tail.next(100)).await??));
    }
    Ok(seen)
}

async fn every_reader_sees_every_position_once(disturbances: usize, hold: Duration) -> anyhow::Result<()> {
    let backend = Backend::postgres().await?;
    let mut readers = JoinSet::new();
    let mut writers = JoinSet::new();
    let expected: usize = (0..WRITERS * APPENDS).map(|seed| 1 + noise(seed) % 7).sum();
    for number in 0..PROCESSES {
        let log = process(&backend).await?;
        for _ in 0..READERS / PROCESSES {
            readers.spawn(follow(process(&backend).await?, expected as u64));
        }
        for writer in (0..WRITERS).filter(|writer| writer % PROCESSES == number) {
            writers.spawn(write(log.clone(), writer));
        }
    }
    let disturber = tokio::spawn(disturb(backend.url.clone(), disturbances, hold));
    let mut stored = 0;
    while let Some(written) = writers.join_next().await {
        stored += written??;
    }
    assert_eq!(stored, expected);
    while let Some(seen) = readers.join_next().await {
        assert_eq!(seen??, (1..=expected as u64).collect::<Vec<_>>());
    }
    disturber.await?
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_that_are_held_open_and_rolled_back_hide_nothing() -> anyhow::Result<()> {
    every_reader_sees_every_position_once(20, Duration::from_millis(200)).await
}

/// Longer than the lock timeout: writers are told of an outage meanwhile, and recover.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_held_for_longer_than_the_lock_timeout_hides_nothing() -> anyhow::Result<()> {
    every_reader_sees_every_position_once(2, Duration::from_secs(6)).await
}

/// A retry may come to another process: one event all the same.
#[tokio::test(flavor = "multi_thread")]
async fn one_event_sent_64_times_over_two_processes_is_stored_once() -> anyhow::Result<()> {
    let backend = Backend::postgres().await?;
    let logs = [process(&backend).await?, process(&backend).await?];
    let mut sends = JoinSet::new();
    for number in 0..64 {
        let log = logs[number % 2].clone();
        sends.spawn(async move { append_despite_outages(log.as_ref(), &[event("same", "a", "x")]).await });
    }
    let mut stored = 0;
    let mut places = Vec::new();
    while let Some(outcomes) = sends.join_next().await {
        places.push(match outcomes??[0] {
            Appended::Stored { position, ingest_time } => {
                stored += 1;
                (position, ingest_time)
            }
            Appended::Duplicate { position, ingest_time } => (position, ingest_time),
            Appended::Conflict => anyhow::bail!("the content is the same"),
        });
    }
    places.dedup();
    assert_eq!((stored, places.len(), logs[0].head().await?.position), (1, 1, 1));
    let other = append_despite_outages(logs[1].as_ref(), &[event("same", "a", "other")]).await?;
    assert_eq!(other, [Appended::Conflict]);
    Ok(())
}

/// `idle_in_transaction_session_timeout` cuts off a writer that stops with the lock in its hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_in_the_middle_leaves_no_hole() -> anyhow::Result<()> {
    let backend = Backend::postgres().await?;
    let log = process(&backend).await?;
    let cutter = async {
        let mut connection = PgConnection::connect(&backend.url).await?;
        for _ in 0..30 {
            sqlx::query(
                "select pg_terminate_backend(pid) from pg_stat_activity
                 where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'",
            )
            .execute(&mut connection)
            .await?;
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    let (written, cut) = tokio::join!(write(log.clone(), 0), cutter);
    cut?;
    let expected = written? as u64;
    assert_eq!(follow(log, expected).await?, (1..=expected).collect::<Vec<_>>());
    Ok(())
}
