//! Events that are counted are samples: exactly as many as there were in each minute, scored once, whatever happens to the
//! process, beside what devices measure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::{Delivered, Handler};
use cornjacket_domain::stored::effective_time;
use cornjacket_domain::{Partitions, RollupStep, Sample, SeriesKey, SystemClock, Timestamp, Topic};
use cornjacket_inference::backtest::{How, Material, Question};
use cornjacket_inference::{Counted, Processor, detectors, processor};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AnomalyDetected, Event, Measurement, SensorReading};
use cornjacket_store::{
    ConsumerPartition, Mode, Options, Progress, Score, SeriesFilter, SeriesId, Store, TimeRange,
};
use prost::Message;

const EVENTS: u64 = 3_000;
const SUBJECTS: u64 = 12;
/// Of three topics; the second and the last are not counted.
const TYPES: [&str; 6] = [
    "security.login_failed",
    "security.login",
    "user.action",
    "sensor.door_opened",
    "sensor.reading",
    "system.note",
];
const COUNTED: [&str; 3] = [TYPES[0], TYPES[2], TYPES[3]];
const ENOUGH: usize = 1 << 30;
const ALWAYS: TimeRange =
    TimeRange { start: Timestamp::from_micros(0), end: Timestamp::from_micros(4_000_000_000_000_000) };

type Place = (Topic, u16);
type Logs = BTreeMap<Place, Vec<Delivered>>;

/// Numbers that follow from a seed: a linear congruential generator (Knuth, MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).expect("less than a length")
    }
}

fn partitions() -> Partitions {
    Partitions::new(3).expect("above zero")
}

/// Five a second about some subjects, a few of them late by up to two minutes, as the bus has them.
fn logs() -> Logs {
    let (mut random, mut logs) = (Random(11), Logs::new());
    for position in 1..=EVENTS {
        let event_type = TYPES[random.index(TYPES.len())];
        let late = if random.below(20) == 0 { random.below(120) } else { 0 };
        let now = 1_700_000_000_000_000 + i64::try_from(position).expect("small") * 200_000;
        let time = Timestamp::from_micros(now) - Duration::from_secs(late);
        let value = random.index(100).to_string().parse().expect("a number");
        let measurement = Measurement { metric: "load".into(), value, unit: String::new() };
        let reading = SensorReading { measurements: vec![measurement] };
        let event = Event {
            id: position.to_string(),
            source: "site".into(),
            r#type: event_type.into(),
            subject: format!("user-{}", random.below(SUBJECTS)),
            event_time: Some(time.to_proto()),
            position,
            payload: (event_type == "sensor.reading").then_some(Payload::SensorReading(reading)),
            ..Event::default()
        };
        let log = logs.entry(partitions().place(event_type, &event.subject)).or_default();
        let ingest_time = Timestamp::from_micros(now);
        log.push(Delivered { offset: log.len() as u64, ingest_time, event });
    }
    logs
}

/// What is counted, by plain reckoning.
fn reckoned(logs: &Logs) -> BTreeMap<SeriesKey, Vec<Sample>> {
    let mut events: Vec<_> = logs.values().flatten().collect();
    events.sort_by_key(|one| one.event.position);
    let (mut series, mut minutes) = (BTreeMap::<SeriesKey, Vec<Sample>>::new(), BTreeMap::new());
    for Delivered { event, ingest_time, .. } in events {
        if !COUNTED.contains(&event.r#type.as_str()) {
            continue;
        }
        let (key, time) =
            (SeriesKey::counting(&event.subject, &event.r#type), effective_time(event, *ingest_time));
        let count = minutes.entry((key.clone(), RollupStep::Minute.bucket_of(time))).or_insert(0.0);
        *count += 1.0;
        let sample = Sample { time, position: event.position, value: *count };
        series.entry(key).or_default().push(sample);
    }
    series
}

fn processor(state_bytes: usize) -> anyhow::Result<Processor> {
    let counted = Counted::new(COUNTED.map(str::to_owned))?;
    let keep = Duration::from_hours(24 * 7);
    Ok(Processor::new(processor::Options { keep, counted, partitions: partitions(), state_bytes }))
}

async fn open(url: &str) -> anyhow::Result<Store> {
    let store = Store::open(&Options::new(url.to_owned(), partitions()), Arc::new(SystemClock)).await?;
    for (name, detector, parameters) in [
        ("often", "threshold", r#"{"upper": 5}"#),
        ("odd", "windowed_gaussian", "{}"),
        ("season", "seasonal", "{}"),
    ] {
        let draft = detectors::draft(name, detector, ("*", "*"), &serde_json::from_str(parameters)?)?;
        store.models.register(&draft, Mode::Active, None, ALWAYS.start).await?;
    }
    Ok(store)
}

/// One transaction, which is committed or never was.
async fn handle(
    store: &Store,
    processor: &Processor,
    (topic, partition): Place,
    batch: &[Delivered],
    commit: bool,
) -> anyhow::Result<()> {
    let at = ConsumerPartition { consumer: processor::NAME.into(), topic: topic.name(), partition };
    let from = store.offsets.load(&at).await?;
    let last = batch.last().expect("some");
    let to = Progress { next_offset: last.offset + 1, last_position: last.event.position };
    let mut tx = store.offsets.begin(&at, from, to).await?.expect("nobody else");
    processor.handle(&mut tx, batch, ()).await?;
    if commit {
        tx.commit().await?;
    }
    Ok(())
}

async fn undisturbed(store: &Store, logs: &Logs) -> anyhow::Result<()> {
    let processor = processor(ENOUGH)?;
    let read = |topic: &Topic| Handler::<Box<dyn cornjacket_store::Tx>>::topics(&processor).contains(topic);
    for (place, log) in logs.iter().filter(|((topic, _), _)| read(topic)) {
        for batch in log.chunks(500) {
            handle(store, &processor, *place, batch, true).await?;
        }
    }
    Ok(())
}

/// In batches of any size, of any partition; now and then the transaction never was, or the process is another one, or both.
async fn disturbed(store: &Store, logs: &Logs, seed: u64, memory: usize) -> anyhow::Result<()> {
    println!("seed {seed}");
    let (mut random, mut processor) = (Random(seed), processor(memory)?);
    let mut left: Vec<(Place, &[Delivered])> =
        logs.iter().map(|(place, log)| (*place, log.as_slice())).collect();
    while !left.is_empty() {
        let at = random.index(left.len());
        let (place, log) = left[at];
        let (batch, rest) = log.split_at(log.len().min(1 + random.index(60)));
        let fate = random.below(10);
        handle(store, &processor, place, batch, fate > 2).await?;
        if fate > 2 {
            assert!(processor.state_bytes().await <= memory, "of all topics together");
            left[at].1 = rest;
            left.retain(|(_, log)| !log.is_empty());
        }
        if fate % 2 == 0 && random.below(3) == 0 {
            processor = self::processor(memory)?;
        }
    }
    Ok(())
}

/// What is in the store at the end.
#[derive(Debug, Default, PartialEq)]
struct Said {
    samples: BTreeMap<SeriesKey, Vec<Sample>>,
    scores: BTreeMap<SeriesKey, Vec<Score>>,
    anomalies: BTreeMap<String, AnomalyDetected>,
}

async fn said(store: &Store) -> anyhow::Result<Said> {
    let mut said = Said::default();
    let mut snapshot = store.snapshots.begin(Duration::from_mins(1)).await?;
    let filter = SeriesFilter { subject: None, since: ALWAYS.start, after: None, limit: 1_000 };
    for series in snapshot.list_series(&filter).await? {
        let mut samples = snapshot.samples(series.id, ALWAYS, None, 1_000_000).await?;
        samples.sort_by_key(|sample| sample.position);
        said.samples.insert(series.key.clone(), samples);
        let scores = snapshot.scores(series.id, ALWAYS, None, 1_000_000).await?;
        // Ids are given as series come.
        let scores = scores.into_iter().map(|score| Score { series: SeriesId(0), ..score });
        said.scores.insert(series.key, scores.collect());
    }
    for (_, bytes) in store.outbox.waiting(1_000_000).await? {
        let event = Event::decode(bytes.as_slice())?;
        let Some(Payload::AnomalyDetected(anomaly)) = event.payload else { anyhow::bail!("no anomaly") };
        assert!(said.anomalies.insert(event.id, anomaly).is_none(), "an anomaly is there twice");
    }
    Ok(said)
}

/// The sixth of a minute, and no other, is one too many; and the event that was the sixth is named.
fn the_sixth_is_found(said: &Said, reckoned: &BTreeMap<SeriesKey, Vec<Sample>>) {
    let found = said.anomalies.values().filter(|found| found.model == "often" && found.metric != "load");
    let mut count = 0;
    for found in found {
        let key = SeriesKey { subject: found.series_subject.clone(), metric: found.metric.clone() };
        let cause = reckoned[&key].iter().find(|sample| sample.position.to_string() == found.cause_id);
        assert_eq!(cause.map(|sample| sample.value.to_bits()), Some(found.value.to_bits()), "{found:?}");
        assert_eq!(found.value.to_bits(), 6.0_f64.to_bits(), "{found:?}");
        count += 1;
    }
    assert!(count > 20, "{count} are too few to show anything");
}

/// A backtest of what ran finds what was sent, in every shard.
async fn a_backtest_finds_what_was_sent(store: &Store, said: &Said) -> anyhow::Result<()> {
    let listed = store.models.list().await?.into_iter().find(|listed| listed.model.draft.name == "often");
    let model = listed.expect("registered").model;
    let mut found = 0;
    for key in said.samples.keys() {
        let mut snapshot = store.snapshots.begin(Duration::from_mins(1)).await?;
        let (series, _) = snapshot.find_series(key).await?.expect("it has samples");
        let question = Question {
            series,
            key: key.clone(),
            shard: cornjacket_domain::Shard::of(key, partitions()),
            model: model.clone(),
            how: How::AsItRan,
            range: ALWAYS,
            oldest: ALWAYS.start,
            most: 1_000_000,
            compared: vec![model.id],
        };
        let material = Material::read(snapshot.as_mut(), question).await?;
        let mut begins = Vec::new();
        let all = material.run(&|| true, &mut |seen| {
            if seen.is_active && seen.verdict.is_some_and(|verdict| verdict.finding.is_some()) {
                begins.push(seen.sample.position);
            }
        });
        assert!(all.is_some());
        assert_eq!(begins, material.sent.iter().map(|sent| sent.position).collect::<Vec<_>>(), "{key:?}");
        found += begins.len();
    }
    assert_eq!(found, said.anomalies.values().filter(|anomaly| anomaly.model == "often").count());
    Ok(())
}

async fn law(urls: [String; 3]) -> anyhow::Result<()> {
    let logs = logs();
    let reckoned = reckoned(&logs);
    let store = open(&urls[0]).await?;
    undisturbed(&store, &logs).await?;
    let whole = said(&store).await?;
    let counts: BTreeMap<_, _> = whole
        .samples
        .iter()
        .filter(|(key, _)| key.counts().is_some())
        .map(|(key, samples)| (key.clone(), samples.clone()))
        .collect();
    assert_eq!(counts, reckoned);
    assert_eq!(
        whole.samples.len() - counts.len(),
        usize::try_from(SUBJECTS)?,
        "what is measured is there too"
    );
    the_sixth_is_found(&whole, &reckoned);
    a_backtest_finds_what_was_sent(&store, &whole).await?;
    // A few series have room, and then none has.
    for (url, seed, memory) in [(&urls[1], 1, 20_000), (&urls[2], 2, 0)] {
        let store = open(url).await?;
        disturbed(&store, &logs, seed, memory).await?;
        assert!(said(&store).await? == whole, "it is another one than that of the undisturbed run");
        a_backtest_finds_what_was_sent(&store, &whole).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_counts_the_same_however_often_it_is_cut_off() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = |name: &str| format!("sqlite://{}/{name}.db", folder.path().display());
    law(["a", "b", "c"].map(url)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_counts_the_same_however_often_it_is_cut_off() -> anyhow::Result<()> {
    let database = cornjacket_testkit::fresh_database;
    law([database().await?, database().await?, database().await?]).await
}
