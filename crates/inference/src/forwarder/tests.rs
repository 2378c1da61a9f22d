//! What was found is in the log once and in order, but for what the log cannot take, which holds up nobody.

use std::collections::BTreeSet;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use cornjacket_domain::{Partitions, StoredEvent, SystemClock, Timestamp};
use cornjacket_proto::events::Event as ProtoEvent;
use cornjacket_store::{ConsumerPartition, Head, Options, Progress, Range, Store};
use metrics_exporter_prometheus::PrometheusBuilder;
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::{Semaphore, oneshot};

use super::*;

/// A log that cannot take some events, as the database says so: of the batch that has one of them, nothing is stored.
#[derive(Debug)]
struct Picky {
    log: Arc<dyn EventLog>,
    refuses: BTreeSet<String>,
    is_down: AtomicBool,
    /// Each append takes one away; without one it is never answered.
    answers: Semaphore,
    /// Events of each append.
    appends: Mutex<Vec<usize>>,
}

impl Picky {
    fn appends(&self) -> usize {
        self.appends.lock().expect("no test panics with it").len()
    }
}

#[async_trait]
impl EventLog for Picky {
    async fn append(&self, events: &[Event]) -> Result<Vec<Appended>, StoreError> {
        self.appends.lock().expect("no test panics with it").push(events.len());
        self.answers.acquire().await.expect("it is never closed").forget();
        if events.iter().any(|event| self.refuses.contains(event.id())) {
            return Err(StoreError::Unfit(io::Error::other("one of them").into()));
        }
        if self.is_down.load(Ordering::Relaxed) {
            return Err(StoreError::Outage(io::Error::other("down").into()));
        }
        self.log.append(events).await
    }
    async fn head(&self) -> Result<Head, StoreError> {
        self.log.head().await
    }
    async fn read(&self, range: &Range) -> Result<Vec<StoredEvent>, StoreError> {
        self.log.read(range).await
    }
    fn watch(&self) -> watch::Receiver<u64> {
        self.log.watch()
    }
    async fn drop_before(&self, time: Timestamp, keep_after: u64) -> Result<u64, StoreError> {
        self.log.drop_before(time, keep_after).await
    }
}

/// A store, and a forwarder to its log, which refuses some.
struct Bed {
    store: Store,
    log: Arc<Picky>,
    forwarder: Forwarder,
    _folder: TempDir,
}

impl Bed {
    async fn refusing(ids: impl IntoIterator<Item = usize>) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let store = Store::open(&Options::new(url, Partitions::ONE), clock.clone()).await?;
        let refuses = ids.into_iter().map(|id| id.to_string()).collect();
        let (is_down, appends) = (AtomicBool::new(false), Mutex::default());
        let answers = Semaphore::new(Semaphore::MAX_PERMITS);
        let log = Arc::new(Picky { log: store.log.clone(), refuses, is_down, answers, appends });
        let state = watch::Sender::new(State::Running);
        let forwarder = Forwarder::new(store.outbox.clone(), log.clone(), clock, state);
        Ok(Self { store, log, forwarder, _folder: folder })
    }

    async fn send(&self, found: &[Vec<u8>]) -> anyhow::Result<()> {
        let at = ConsumerPartition { consumer: "law".into(), topic: "sensor-events", partition: 0 };
        let from = self.store.offsets.load(&at).await?;
        let to = Progress { next_offset: from.next_offset + 1, ..from };
        let mut tx = self.store.offsets.begin(&at, from, to).await?.expect("nobody else");
        tx.send(found).await?;
        Ok(tx.commit().await?)
    }

    /// Forwards until nothing waits: the ids that the log has then, in its order.
    async fn forward_all(&self) -> anyhow::Result<Vec<String>> {
        while self.forwarder.forward().await? > 0 {}
        let stored = self.log.read(&Range::after(0, 10_000)).await?;
        stored.iter().map(|event| Ok(event.decode()?.id)).collect()
    }
}

fn found(id: usize) -> Vec<u8> {
    let event = ProtoEvent {
        id: id.to_string(),
        source: "test".into(),
        r#type: "ai.test".into(),
        subject: "pump-7".into(),
        ..ProtoEvent::default()
    };
    event.encode_to_vec()
}

fn ids(ids: impl IntoIterator<Item = usize>) -> Vec<String> {
    ids.into_iter().map(|id| id.to_string()).collect()
}

#[tokio::test]
async fn what_the_log_cannot_take_is_left_out_and_counted_and_holds_up_nobody() -> anyhow::Result<()> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let _metrics = metrics::set_default_local_recorder(&recorder);
    let bed = Bed::refusing([0, 321]).await?;
    let mut all: Vec<Vec<u8>> = (0..600).map(found).collect();
    // What is no protobuf, and an event that says nothing but its name.
    all.insert(17, vec![0xff]);
    all.insert(18, ProtoEvent { id: "nameless".into(), ..ProtoEvent::default() }.encode_to_vec());
    bed.send(&all).await?;
    let wanted = ids((0..600).filter(|id| ![0, 321].contains(id)));
    assert_eq!(bed.forward_all().await?, wanted);
    // Twice the halvings of five hundred for each, and one for each batch that is left.
    assert!(bed.log.appends() < 45, "{}", bed.log.appends());
    let metrics = recorder.handle().render();
    for line in [
        r#"cornjacket_anomalies_refused_total{reason="unfit"} 2"#,
        r#"cornjacket_anomalies_refused_total{reason="invalid"} 2"#,
    ] {
        assert!(metrics.lines().any(|known| known == line), "{line} is not in\n{metrics}");
    }
    Ok(())
}

#[tokio::test]
async fn an_outage_leaves_nobody_out() -> anyhow::Result<()> {
    let bed = Bed::refusing([3]).await?;
    bed.send(&(0..10).map(found).collect::<Vec<_>>()).await?;
    bed.log.is_down.store(true, Ordering::Relaxed);
    let error = bed.forwarder.forward().await.expect_err("it is down");
    assert!(error.is_outage(), "{error}");
    assert_eq!(bed.store.outbox.waiting(100).await?.len(), 10, "all of them still wait");
    bed.log.is_down.store(false, Ordering::Relaxed);
    assert_eq!(bed.forward_all().await?, ids((0..10).filter(|id| *id != 3)));
    Ok(())
}

const SOON: Duration = Duration::from_secs(30);

/// Nothing stops silently: a database whose host is gone answers nothing, not even that it is away.
#[tokio::test]
async fn a_log_that_never_answers_is_waited_for_and_that_is_said_until_it_answers() -> anyhow::Result<()> {
    let bed = Bed::refusing([]).await?;
    let all = AT_ONCE as usize + 100;
    bed.send(&(0..all).map(found).collect::<Vec<_>>()).await?;
    let Bed { store, log, forwarder, _folder } = bed;
    log.answers.forget_permits(Semaphore::MAX_PERMITS);
    let (mut state, (stop, stopped)) = (forwarder.state.subscribe(), oneshot::channel::<()>());
    let running = tokio::spawn(forwarder.run(async move {
        stopped.await.expect_err("nobody sends anything");
    }));
    let begun = async {
        while log.appends() == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, begun).await?;
    // Nobody else works now: time goes by at once.
    tokio::time::pause();
    timeout(SOON, state.wait_for(|state| state.reason().contains("did not answer within"))).await??;
    tokio::time::resume();
    assert_eq!(store.outbox.waiting(1_000).await?.len(), all, "nothing is forgotten");

    log.answers.add_permits(1);
    timeout(SOON, state.wait_for(|state| *state == State::Running)).await??;
    assert_eq!(store.outbox.waiting(1_000).await?.len(), 100, "it works already while others still wait");
    log.answers.add_permits(10);
    let done = async {
        while !store.outbox.waiting(1).await?.is_empty() {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    timeout(SOON, done).await??;
    drop(stop);
    Ok(timeout(SOON, running).await??)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whichever those are that cannot be stored.
    #[test]
    fn all_others_arrive_in_order(count in 0..40_usize, refused in prop::collection::btree_set(0..40_usize, 0..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stored = runtime.block_on(async {
            let bed = Bed::refusing(refused.iter().copied()).await?;
            bed.send(&(0..count).map(found).collect::<Vec<_>>()).await?;
            bed.forward_all().await
        });
        let stored = stored.map_err(|error| TestCaseError::fail(format!("{error:#}")))?;
        prop_assert_eq!(stored, ids((0..count).filter(|id| !refused.contains(id))));
    }
}
