//! What detectors remember of 2,000 series takes no more memory than it may, though it is several times as much; and a series
//! that went to the store and came back is scored as if it had stayed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cornjacket_bus::{Delivered, Handler};
use cornjacket_domain::{Partitions, SystemClock, Timestamp};
use cornjacket_inference::{Counted, Processor, detectors, processor};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{Event, Measurement, SensorReading};
use cornjacket_store::{
    ConsumerPartition, Mode, Options, Progress, Score, SeriesFilter, SeriesId, Store, TimeRange,
};
use tokio::sync::Mutex;

/// How much there is of everything.
#[derive(Clone, Copy, Debug)]
struct Size {
    series: u64,
    /// Samples of each series.
    rounds: u64,
    limit: usize,
}

/// What is promised, and a tenth of it.
const WHOLE: Size = Size { series: 2_000, rounds: 24, limit: 64 << 20 };
const TENTH: Size = Size { series: 200, rounds: 24, limit: (64 << 20) / 10 };
/// Events of a transaction: more than a hundred series each.
const BATCH: usize = 150;
const ALWAYS: TimeRange =
    TimeRange { start: Timestamp::from_micros(0), end: Timestamp::from_micros(4_000_000_000_000_000) };
const DEADLINE: Duration = Duration::from_mins(10);
/// Runs come one after the other: each is about the memory of this process.
static ALONE: Mutex<()> = Mutex::const_new(());

fn long() -> bool {
    std::env::var_os("CORNJACKET_TEST_LONG").is_some()
}

/// Rounds of one sample of each series. Some series have one of their own beside it, so that not the same ones meet again and
/// again.
fn events(size: Size) -> Vec<Delivered> {
    let mut events = Vec::new();
    for round in 0..size.rounds {
        for series in 0..size.series {
            let times = if (series + round) % 7 == 0 { 2 } else { 1 };
            for _ in 0..times {
                events.push(event(events.len() as u64 + 1, series));
            }
        }
    }
    events
}

fn event(position: u64, series: u64) -> Delivered {
    let strange = position.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let value = (strange % 1_000) as f64 / 10.0;
    let measurement = Measurement { metric: "pressure".into(), value, ..Measurement::default() };
    let time =
        Timestamp::from_micros(1_700_000_000_000_000 + i64::try_from(position).expect("small") * 10_000);
    let event = Event {
        id: position.to_string(),
        source: "plant".into(),
        r#type: "sensor.reading".into(),
        subject: format!("pump-{series:04}"),
        event_time: Some(time.to_proto()),
        position,
        payload: Some(Payload::SensorReading(SensorReading { measurements: vec![measurement] })),
        ..Event::default()
    };
    Delivered { offset: position - 1, ingest_time: time, event }
}

/// A forest with large states that is soon warm.
async fn register(store: &Store) -> anyhow::Result<()> {
    let parameters = serde_json::json!({ "features": ["value"], "warm_up": 16, "trees": 60, "samples": 64 });
    let draft = detectors::draft("forest", "random_cut_forest", ("*", "*"), &parameters)?;
    store.models.register(&draft, Mode::Active, None, Timestamp::from_micros(0)).await?;
    Ok(())
}

/// What a run comes to.
#[derive(Debug)]
struct Run {
    /// By series and position.
    scores: Vec<Vec<Score>>,
    /// The most that was remembered between two transactions.
    most: usize,
}

async fn run(url: &str, events: &[Delivered], limit: usize) -> anyhow::Result<Run> {
    let store = Store::open(&Options::new(url.to_owned(), Partitions::ONE), Arc::new(SystemClock)).await?;
    register(&store).await?;
    let keep = Duration::from_hours(24);
    let options = processor::Options {
        keep,
        counted: Counted::default(),
        partitions: Partitions::ONE,
        state_bytes: limit,
    };
    let (processor, mut most) = (Processor::new(options), 0);
    let at = ConsumerPartition { consumer: processor::NAME.into(), topic: "sensor-events", partition: 0 };
    for batch in events.chunks(BATCH) {
        let from = store.offsets.load(&at).await?;
        let last = batch.last().context("some")?;
        let to = Progress { next_offset: last.offset + 1, last_position: last.event.position };
        let mut tx = store.offsets.begin(&at, from, to).await?.context("nobody else")?;
        processor.handle(&mut tx, batch, ()).await?;
        tx.commit().await?;
        let bytes = processor.state_bytes().await;
        assert!(bytes <= limit, "{bytes} bytes are remembered, and {limit} may be");
        most = most.max(bytes);
    }
    Ok(Run { scores: scores(&store).await?, most })
}

async fn scores(store: &Store) -> anyhow::Result<Vec<Vec<Score>>> {
    let mut snapshot = store.snapshots.begin(DEADLINE).await?;
    let filter = SeriesFilter { subject: None, since: ALWAYS.start, after: None, limit: 10_000 };
    let mut all = Vec::new();
    for series in snapshot.list_series(&filter).await? {
        let of_series = snapshot.scores(series.id, ALWAYS, None, 1_000_000).await?;
        // Ids are given as series come.
        all.push(of_series.into_iter().map(|score| Score { series: SeriesId(0), ..score }).collect());
    }
    Ok(all)
}

/// How much memory this process takes, in bytes.
fn resident() -> anyhow::Result<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    Ok(line.context("no VmRSS")?.trim().parse::<usize>()? << 10)
}

async fn law(size: Size, urls: [String; 2]) -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let events = events(size);
    let before = resident()?;
    let limited = run(&urls[0], &events, size.limit).await?;
    let grown = resident()?.saturating_sub(before);
    let roomy = run(&urls[1], &events, usize::MAX).await?;
    let mib = |bytes: usize| bytes >> 20;
    println!(
        "{size:?}: {} MiB remembered with room for all, at most {} MiB with a limit, which took {} MiB of memory",
        mib(roomy.most),
        mib(limited.most),
        mib(grown)
    );
    // Of a small run most is the store's.
    assert!(!long() || grown < roomy.most / 2, "{grown} bytes of memory were taken");
    assert!(roomy.most > 3 * size.limit, "there is room for nearly all: {}", roomy.most);
    assert!(limited.most > size.limit / 2, "the room is not used: {}", limited.most);
    assert_eq!(u64::try_from(roomy.scores.len())?, size.series);
    for (number, (limited, roomy)) in limited.scores.iter().zip(&roomy.scores).enumerate() {
        assert!(roomy.iter().filter(|score| score.score.is_some()).count() > 5, "series {number}: too few");
        let bits = |score: &Score| (score.position, score.score.map(f64::to_bits), score.severity);
        assert!(limited.iter().map(bits).eq(roomy.iter().map(bits)), "series {number} was scored otherwise");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_brings_back_what_has_no_room() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite://{}/{name}.db", folder.path().display());
    law(if long() { WHOLE } else { TENTH }, ["limited", "roomy"].map(url)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_brings_back_what_has_no_room() -> anyhow::Result<()> {
    let database = cornjacket_testkit::fresh_database;
    law(if long() { WHOLE } else { TENTH }, [database().await?, database().await?]).await
}
