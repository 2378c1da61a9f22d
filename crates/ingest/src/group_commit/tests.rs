use std::sync::Mutex;

use async_trait::async_trait;
use cornjacket_domain::{Limits, StoredEvent, Timestamp};
use cornjacket_proto::events as proto;
use cornjacket_store::{Head, Range, StoreError};
use tokio::sync::watch;

use super::*;

/// A log whose commits return when the test says so, with what the test says.
#[derive(Debug)]
struct GatedLog {
    commits: Mutex<Vec<usize>>,
    gate: Semaphore,
    outages: Semaphore,
}

impl GatedLog {
    fn new() -> Arc<Self> {
        Arc::new(Self { commits: Mutex::default(), gate: Semaphore::new(0), outages: Semaphore::new(0) })
    }

    fn sizes(&self) -> Vec<usize> {
        self.commits.lock().expect("no test panics with it").clone()
    }
}

#[async_trait]
impl EventLog for GatedLog {
    async fn append(&self, events: &[Event]) -> Result<Vec<Appended>, StoreError> {
        self.commits.lock().expect("no test panics with it").push(events.len());
        self.gate.acquire().await.expect("open").forget();
        if let Ok(outage) = self.outages.try_acquire() {
            outage.forget();
            return Err(std::io::Error::other("down")).map_err(|error| StoreError::Outage(error.into()));
        }
        let stored = |position| Appended::Stored { position, ingest_time: Timestamp::default() };
        Ok((1..=events.len() as u64).map(stored).collect())
    }
    async fn head(&self) -> Result<Head, StoreError> {
        unreachable!("a group commit only appends")
    }
    async fn read(&self, _: &Range) -> Result<Vec<StoredEvent>, StoreError> {
        unreachable!("a group commit only appends")
    }
    fn watch(&self) -> watch::Receiver<u64> {
        unreachable!("a group commit only appends")
    }
    async fn drop_before(&self, _: Timestamp, _: u64) -> Result<u64, StoreError> {
        unreachable!("a group commit only appends")
    }
}

fn event() -> Event {
    let event = proto::Event {
        source: "test".into(),
        r#type: "test".into(),
        subject: "test".into(),
        ..proto::Event::default()
    };
    Event::new(event, Timestamp::default(), &Limits::default()).expect("a valid event")
}

fn events(count: usize) -> Vec<Event> {
    (0..count).map(|_| event()).collect()
}

/// Lets the committer take what is queued and come to its commit.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn callers_that_wait_share_the_next_commit() {
    let log = GatedLog::new();
    let (commit, _task) = GroupCommit::spawn(log.clone(), Options::default());
    let first = commit.try_submit(events(1)).expect("room");
    settle().await;
    let second = commit.try_submit(events(2)).expect("room");
    let third = commit.try_submit(events(3)).expect("room");
    settle().await;
    assert_eq!(log.sizes(), [1], "a lone caller is committed at once");
    log.gate.add_permits(2);
    assert_eq!(first.outcome().await.expect("stored").len(), 1);
    assert_eq!(second.outcome().await.expect("stored").len(), 2);
    let third = third.outcome().await.expect("stored");
    assert!(matches!(third[0], Appended::Stored { position: 3, .. }), "each caller gets its own outcomes");
    assert_eq!(log.sizes(), [1, 5]);
}

#[tokio::test]
async fn a_full_batch_is_closed_and_the_rest_follows() {
    let log = GatedLog::new();
    let options = Options { batch_events: 4, ..Options::default() };
    let (commit, _task) = GroupCommit::spawn(log.clone(), options);
    let pending: Vec<_> = (0..3).map(|_| commit.try_submit(events(2)).expect("room")).collect();
    log.gate.add_permits(9);
    for pending in pending {
        assert_eq!(pending.outcome().await.expect("stored").len(), 2);
    }
    assert_eq!(log.sizes(), [4, 2]);
}

#[tokio::test]
async fn a_full_queue_refuses_all_of_a_batch_and_takes_it_later() {
    let log = GatedLog::new();
    let options = Options { queue_bytes: 3 * size(&events(1)), ..Options::default() };
    let (commit, _task) = GroupCommit::spawn(log.clone(), options);
    let first = commit.try_submit(events(2)).expect("room for three");
    assert_eq!(commit.try_submit(events(2)).err(), Some(Full));
    assert!(commit.try_submit(events(1)).is_ok(), "one still fits");
    log.gate.add_permits(9);
    first.outcome().await.expect("stored");
    assert_eq!(commit.submit(events(2)).await.outcome().await.expect("stored").len(), 2);
}

#[tokio::test]
async fn one_outage_is_bridged_and_two_are_told() {
    let log = GatedLog::new();
    let (commit, _task) = GroupCommit::spawn(log.clone(), Options::default());
    log.gate.add_permits(9);
    log.outages.add_permits(1);
    assert!(commit.submit(events(1)).await.outcome().await.is_ok());
    log.outages.add_permits(2);
    assert_eq!(commit.submit(events(1)).await.outcome().await, Err(CommitFailed::Outage));
    assert!(commit.submit(events(1)).await.outcome().await.is_ok(), "and it goes on afterwards");
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_hangs_is_an_outage() {
    let log = GatedLog::new();
    let (commit, _task) = GroupCommit::spawn(log.clone(), Options::default());
    assert_eq!(commit.submit(events(1)).await.outcome().await, Err(CommitFailed::Outage));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_one_commit_may_take() {
    let log = GatedLog::new();
    let (commit, _task) = GroupCommit::spawn(log.clone(), Options::default());
    let began = tokio::time::Instant::now();
    let under_way = commit.submit(events(1)).await;
    settle().await;
    let waiting = commit.submit(events(1)).await;
    assert_eq!(under_way.outcome().await, Err(CommitFailed::Outage));
    assert_eq!(waiting.outcome().await, Err(CommitFailed::Outage));
    assert!(began.elapsed() < Options::default().commit_timeout * 3 / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_was_taken_is_committed_before_the_task_ends() {
    let log = GatedLog::new();
    let (commit, task) = GroupCommit::spawn(log.clone(), Options::default());
    let pending = commit.try_submit(events(7)).expect("room");
    drop(commit);
    log.gate.add_permits(1);
    task.await.expect("ends by itself");
    assert_eq!(pending.outcome().await.expect("stored").len(), 7);
}

#[tokio::test(start_paused = true)]
async fn who_came_together_is_waited_for_and_who_is_alone_is_not() {
    let log = GatedLog::new();
    let (commit, _task) = GroupCommit::spawn(log.clone(), Options::default());
    log.gate.add_permits(99);
    let together = async || {
        let (one, other) = (commit.submit(events(1)).await, commit.submit(events(1)).await);
        one.outcome().await.and(other.outcome().await).expect("stored");
    };
    let alone = async || commit.submit(events(1)).await.outcome().await.expect("stored");
    let began = Instant::now();
    alone().await;
    alone().await;
    together().await;
    together().await;
    assert_eq!(began.elapsed(), Duration::ZERO, "all who came last time are here");
    alone().await;
    assert_eq!(began.elapsed(), Options::default().pace, "another one was waited for");
    alone().await;
    assert_eq!(began.elapsed(), Options::default().pace, "it is alone by now");
    assert_eq!(log.sizes(), [1, 1, 2, 2, 1, 1]);
    // Whoever comes meanwhile ends the waiting.
    together().await;
    let first = commit.submit(events(1)).await;
    settle().await;
    assert_eq!(log.sizes().len(), 7);
    let second = commit.submit(events(1)).await;
    first.outcome().await.and(second.outcome().await).expect("stored");
    assert_eq!(began.elapsed(), Options::default().pace);
}
