//! Every sample is scored once, and an anomaly is there once, whatever happens to the process: an undisturbed run and one that
//! is cut off again and again, with hardly any memory, say the same to the last bit.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::{Delivered, Handler};
use cornjacket_domain::{Partitions, SystemClock, Timestamp};
use cornjacket_inference::detectors::KINDS;
use cornjacket_inference::{Counted, Processor, processor};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{Event, Measurement, SensorReading};
use cornjacket_store::{
    ConsumerPartition, Draft, Mode, Options, Progress, Score, SeriesFilter, Store, TimeRange, Tx,
};

const EVENTS: u64 = 3_000;
const PUMPS: u64 = 15;
/// Before these events something changes: what, says [`change`].
const CHANGES: [u64; 4] = [700, 701, 1_200, 2_000];
const ENOUGH: usize = 1 << 30;
const ALWAYS: TimeRange =
    TimeRange { start: Timestamp::from_micros(0), end: Timestamp::from_micros(4_000_000_000_000_000) };

/// Numbers that follow from a seed: a linear congruential generator (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// Readings of some pumps every second or so; one in twenty is late, one in fifty far off.
fn events() -> Vec<Delivered> {
    let mut random = Random(7);
    let event = |position: u64| {
        let late = if random.below(20) == 0 { random.below(40) } else { 0 };
        // The first that a model sees which comes later is older than much that is stored.
        let late = if position == CHANGES[0] { 200 } else { late };
        let seconds = 1_700_000_000 + position.saturating_sub(late);
        let far = if random.below(50) == 0 { 60.0 } else { 0.0 };
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let value = 50.0 + far + (random.below(1_000) as f64) / 100.0;
        let measurement = |metric: &str| Measurement { metric: metric.into(), value, unit: "Cel".into() };
        let reading = SensorReading { measurements: vec![measurement("in"), measurement("out")] };
        let ingest_time = Timestamp::from_micros(i64::try_from(seconds).expect("a time") * 1_000_000);
        let event = Event {
            id: position.to_string(),
            source: "plant".into(),
            r#type: "sensor.reading".into(),
            subject: format!("pump-{}", if position == CHANGES[0] { 1 } else { random.below(PUMPS) }),
            event_time: Some(ingest_time.to_proto()),
            position,
            payload: Some(Payload::SensorReading(reading)),
            ..Event::default()
        };
        Delivered { offset: position - 1, ingest_time, event }
    };
    (1..=EVENTS).map(event).collect()
}

fn processor(state_bytes: usize) -> Processor {
    let keep = Duration::from_hours(24 * 7);
    Processor::new(processor::Options {
        keep,
        counted: Counted::default(),
        partitions: Partitions::ONE,
        state_bytes,
    })
}

async fn begin(store: &Store, events: &[Delivered]) -> anyhow::Result<Box<dyn Tx>> {
    let at = ConsumerPartition { consumer: processor::NAME.into(), topic: "sensor-events", partition: 0 };
    let from = store.offsets.load(&at).await?;
    let last = events.last().expect("some");
    let to = Progress { next_offset: last.offset + 1, last_position: last.event.position };
    Ok(store.offsets.begin(&at, from, to).await?.expect("nobody else"))
}

/// At the beginning a model of each kind, half of them shadows; then one comes later, one is switched, one goes.
async fn change(store: &Store, position: u64) -> anyhow::Result<()> {
    let now = Timestamp::from_micros(0);
    let a_draft = |at: usize, name: &str| Draft {
        name: name.to_owned(),
        detector: KINDS[at].name().to_owned(),
        code: KINDS[at].version().to_owned(),
        subjects: "*".to_owned(),
        metrics: "*".to_owned(),
        parameters: KINDS[at].example().to_string(),
    };
    match CHANGES.iter().position(|at| *at == position) {
        None => {
            for (at, kind) in KINDS.iter().enumerate() {
                let mode = if at % 2 == 0 { Mode::Active } else { Mode::Shadow };
                store.models.register(&a_draft(at, kind.name()), mode, None, now).await?;
            }
        }
        Some(0) => {
            let parameters = r#"{"upper": 80.0}"#.to_owned();
            let draft = Draft { subjects: "pump-1*".to_owned(), parameters, ..a_draft(0, "later") };
            store.models.register(&draft, Mode::Active, None, now).await?;
            store.models.register(&a_draft(1, "later too"), Mode::Shadow, None, now).await?;
        }
        // Only a boundary: what comes late before it is saved alone.
        Some(1) => {}
        Some(2) => {
            let draft = a_draft(0, KINDS[0].name());
            store.models.register(&draft, Mode::Active, Some("ann"), now).await?;
        }
        Some(_) => {
            let first = store.models.list().await?.into_iter().find(|one| one.mode == Mode::Shadow);
            let first = first.expect("one was switched").model.id;
            store.models.set_mode(first, Mode::Off, None, now).await?;
            store.models.set_mode(first, Mode::Active, None, now).await?;
        }
    }
    Ok(())
}

/// What is in the store at the end: scores by series, and the anomalies in their order.
async fn said(store: &Store) -> anyhow::Result<(Vec<Vec<Score>>, Vec<Vec<u8>>)> {
    let mut snapshot = store.snapshots.begin(Duration::from_mins(1)).await?;
    let filter = SeriesFilter { subject: None, since: ALWAYS.start, after: None, limit: 1_000 };
    let mut scores = Vec::new();
    for series in snapshot.list_series(&filter).await? {
        let of_series = snapshot.scores(series.id, ALWAYS, None, 1_000_000).await?;
        // Ids are given as series come, which batches decide.
        scores.push(
            of_series
                .into_iter()
                .map(|score| Score { series: cornjacket_store::SeriesId(0), ..score })
                .collect(),
        );
    }
    let anomalies = store.outbox.waiting(1_000_000).await?;
    Ok((scores, anomalies.into_iter().map(|(_, event)| event).collect()))
}

async fn undisturbed(store: &Store, events: &[Delivered]) -> anyhow::Result<()> {
    let processor = processor(ENOUGH);
    change(store, 0).await?;
    for part in events.chunk_by(|_, next| !CHANGES.contains(&next.event.position)) {
        if CHANGES.contains(&part[0].event.position) {
            change(store, part[0].event.position).await?;
        }
        for batch in part.chunks(500) {
            let mut tx = begin(store, batch).await?;
            processor.handle(&mut tx, batch, ()).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

/// In batches of any size; now and then the transaction never was, or the process is another one, or both.
async fn disturbed(store: &Store, events: &[Delivered], seed: u64, memory: usize) -> anyhow::Result<()> {
    println!("seed {seed}");
    let (mut random, mut processor, mut done) = (Random(seed), processor(memory), 0_usize);
    change(store, 0).await?;
    let mut changed = 0;
    while done < events.len() {
        let position = events[done].event.position;
        if CHANGES.contains(&position) && changed < position {
            change(store, position).await?;
            changed = position;
        }
        let next = CHANGES.iter().map(|at| usize::try_from(*at).expect("small") - 1).find(|at| *at > done);
        let most = next.unwrap_or(events.len()).min(done + 1 + usize::try_from(random.below(120))?);
        let batch = &events[done..most];
        let mut tx = begin(store, batch).await?;
        processor.handle(&mut tx, batch, ()).await?;
        let fate = random.below(10);
        if fate > 2 {
            tx.commit().await?;
            done = most;
        } else {
            drop(tx);
        }
        if fate % 2 == 0 && random.below(3) == 0 {
            processor = self::processor(memory);
        }
    }
    Ok(())
}

async fn law(urls: [String; 3]) -> anyhow::Result<()> {
    let events = events();
    let open = async |url: &String| {
        Store::open(&Options::new(url.clone(), Partitions::ONE), Arc::new(SystemClock)).await
    };
    let store = open(&urls[0]).await?;
    undisturbed(&store, &events).await?;
    let (scores, anomalies) = said(&store).await?;
    let count: usize = scores.iter().map(Vec::len).sum();
    println!("{count} scores, {} anomalies", anomalies.len());
    assert!(count > 10_000 && anomalies.len() > 50, "too little to show anything");
    // A few series have room, and then none has.
    for (url, seed, memory) in [(&urls[1], 1, 20_000), (&urls[2], 2, 0)] {
        let store = open(url).await?;
        disturbed(&store, &events, seed, memory).await?;
        let (other_scores, other_anomalies) = said(&store).await?;
        for (number, (other, one)) in other_scores.iter().zip(&scores).enumerate() {
            let differs = other.iter().zip(one).find(|(other, one)| other != one);
            assert!(differs.is_none() && other.len() == one.len(), "series {number}: {differs:#?}");
        }
        assert_eq!(other_scores.len(), scores.len());
        assert!(other_anomalies == anomalies, "anomalies differ");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_says_the_same_however_often_it_is_cut_off() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite://{}/{name}.db", folder.path().display());
    law(["a", "b", "c"].map(url)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_says_the_same_however_often_it_is_cut_off() -> anyhow::Result<()> {
    let database = cornjacket_testkit::fresh_database;
    law([database().await?, database().await?, database().await?]).await
}
