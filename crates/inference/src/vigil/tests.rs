//! Where nobody minds silence nothing is begun in the store.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use cornjacket_domain::{SeriesKey, SystemClock};
use cornjacket_store::{ConsumerPartition, Draft, Mode, ModelId, Options, Progress, Store, Word};

use super::*;
use crate::detectors;

/// Counts transactions of the offsets behind it.
#[derive(Debug)]
struct Counting(Arc<dyn Offsets>, AtomicUsize);

#[async_trait]
impl Offsets for Counting {
    async fn load(&self, at: &ConsumerPartition) -> Result<Progress, StoreError> {
        self.0.load(at).await
    }

    async fn begin(
        &self,
        at: &ConsumerPartition,
        from: Progress,
        to: Progress,
    ) -> Result<Option<Box<dyn Tx>>, StoreError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.begin(at, from, to).await
    }

    async fn begin_apart(&self) -> Result<Box<dyn Tx>, StoreError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.begin_apart().await
    }
}

/// A vigil over a store, and how many transactions it has begun.
async fn vigil(url: String) -> anyhow::Result<(Store, Silences, Arc<Counting>)> {
    let store = Store::open(&Options::new(url, Partitions::ONE), Arc::new(SystemClock)).await?;
    let counting = Arc::new(Counting(store.offsets.clone(), AtomicUsize::new(0)));
    let ports =
        Ports { offsets: counting.clone(), ..Ports::of(&store, Counted::default(), Arc::new(SystemClock)) };
    let silences = Silences::new(ports, Duration::ZERO, watch::Sender::new(State::Running));
    Ok((store, silences, counting))
}

fn draft(detector: &str, parameters: &serde_json::Value) -> Draft {
    detectors::draft(detector, detector, ("*", "*"), parameters).expect("a draft")
}

async fn register(store: &Store, draft: &Draft) -> anyhow::Result<ModelId> {
    Ok(store.models.register(draft, Mode::Active, None, SystemClock.now()).await?.id)
}

/// A person's word on a series: a change that is no business of the vigil.
async fn say(store: &Store) -> anyhow::Result<()> {
    let series = SeriesKey { subject: "pump".into(), metric: "x".into() };
    let (shard, by, now) = (Shard::of(&series, Partitions::ONE), None, SystemClock.now());
    let word = Word { series: &series, shard, model: "threshold", version: 1, is_false_alarm: true, by, now };
    let mut tx = store.offsets.begin_apart().await?;
    tx.series(&[(&series, "")]).await?;
    assert!(tx.take_word(&word).await?);
    Ok(tx.commit().await?)
}

/// How many transactions three ticks begin.
async fn begun(silences: &mut Silences, counting: &Counting) -> anyhow::Result<usize> {
    let before = counting.1.load(Ordering::Relaxed);
    for _ in 0..3 {
        silences.tick().await?;
    }
    Ok(counting.1.load(Ordering::Relaxed) - before)
}

async fn law(url: String) -> anyhow::Result<()> {
    let (store, mut silences, counting) = vigil(url).await?;
    assert_eq!(begun(&mut silences, &counting).await?, 0, "nothing watches");
    register(&store, &draft("threshold", &serde_json::json!({ "upper": 5.0 }))).await?;
    assert_eq!(begun(&mut silences, &counting).await?, 1, "it is new, and minds no silence");
    say(&store).await?;
    assert_eq!(begun(&mut silences, &counting).await?, 1, "a word is news once");
    assert_eq!(begun(&mut silences, &counting).await?, 0);
    let quiet = register(&store, &draft("silence", &serde_json::json!({}))).await?;
    assert_eq!(begun(&mut silences, &counting).await?, 3, "it is looked every time");
    store.models.set_mode(quiet, Mode::Off, None, SystemClock.now()).await?;
    assert_eq!(begun(&mut silences, &counting).await?, 1);
    assert_eq!(begun(&mut silences, &counting).await?, 0, "nobody minds any more");
    Ok(())
}

#[tokio::test]
async fn nothing_is_begun_where_nobody_minds_silence_on_sqlite() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    law(format!("sqlite://{}/cornjacket.db", folder.path().display())).await
}

#[tokio::test]
async fn nothing_is_begun_where_nobody_minds_silence_on_postgres() -> anyhow::Result<()> {
    law(cornjacket_testkit::fresh_database().await?).await
}
