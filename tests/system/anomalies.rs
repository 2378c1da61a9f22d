//! What devices measure is scored on its way, and what detectors find is an event: once, whatever happens.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context;
use cornjacket_bus::{Delivered, Handler};
use cornjacket_domain::{Clock, StoredEvent, SystemClock, Timestamp, Topic};
use cornjacket_inference::{Counted, Processor, processor};
use cornjacket_proto::admin::{Model, ModelMode, RegisterModelRequest, SetModelModeRequest};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AnomalyDetected, Event, TraceContext};
use cornjacket_proto::json::to_struct;
use cornjacket_proto::query::tail_events_response::Message as Told;
use cornjacket_proto::query::{ListAnomaliesRequest, QuerySeriesRequest, SeriesKey, TailEventsRequest};
use cornjacket_simulator::{Options, Share, Simulation};
use cornjacket_store::{ConsumerPartition, Progress, Score, SeriesFilter, SeriesId, Store, TimeRange};
use cornjacket_testkit::{Process, fresh_database, wait};
use futures::StreamExt;
use prost::Message;
use tokio::time::timeout;

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::expected::until_read;
use super::full_stack::{FullStack, open, read_log};
use super::load::{Random, long, send_all};

const DEADLINE: Duration = Duration::from_mins(10);
const SOON: Duration = Duration::from_secs(30);
pub(super) const ALWAYS: TimeRange =
    TimeRange { start: Timestamp::from_micros(0), end: Timestamp::from_micros(4_000_000_000_000_000) };

/// What watches in the crash laws: a name, a detector, its parameters, and whether it only looks on.
const MODELS: [(&str, &str, &str, ModelMode); 4] = [
    ("season", "seasonal", "{}", ModelMode::Active),
    ("jumps", "rate_of_change", r#"{"per_seconds": 60, "rise": 3, "fall": 3}"#, ModelMode::Active),
    ("limits", "threshold", r#"{"upper": 26, "hold_samples": 3}"#, ModelMode::Active),
    ("season-of-tomorrow", "seasonal", r#"{"level": 0.9}"#, ModelMode::Shadow),
];

pub(super) async fn register(
    cornjacket: &Cornjacket,
    (name, detector, parameters, mode): (&str, &str, &str, ModelMode),
) -> anyhow::Result<Model> {
    let model = Model {
        name: name.into(),
        detector: detector.into(),
        parameters: Some(to_struct(parameters)?),
        mode: mode.into(),
        ..Model::default()
    };
    let request = RegisterModelRequest { model: Some(model) };
    cornjacket.admin().await?.register_model(request).await?.into_inner().model.context("a model")
}

pub(super) async fn anomalies(
    cornjacket: &Cornjacket,
    request: ListAnomaliesRequest,
) -> anyhow::Result<Vec<Event>> {
    Ok(cornjacket.query().await?.list_anomalies(request).await?.into_inner().anomalies)
}

pub(super) fn detail(event: &Event) -> anyhow::Result<&AnomalyDetected> {
    match &event.payload {
        Some(Payload::AnomalyDetected(anomaly)) => Ok(anomaly),
        other => anyhow::bail!("no anomaly: {other:?}"),
    }
}

/// A model is registered, switched and rolled back while events flow; what it finds is seen in a tail within moments.
async fn anomalies_are_events(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let process = cornjacket.start().await?;
    let first = register(cornjacket, ("hot", "threshold", r#"{"upper": 80}"#, ModelMode::Active)).await?;
    assert_eq!((first.version, first.detector_version.is_empty()), (1, false));
    let tail = TailEventsRequest { r#type: "ai.anomaly_detected".into(), ..TailEventsRequest::default() };
    let mut tail = cornjacket.query().await?.tail_events(tail).await?.into_inner();

    let trace = TraceContext {
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into(),
        ..TraceContext::default()
    };
    cornjacket.append(reading("pump-1", "1", 20.0)).await?;
    let sent = Instant::now();
    let hot = Event { trace_context: Some(trace.clone()), ..reading("pump-1", "2", 99.0) };
    cornjacket.append(hot.clone()).await?;
    assert!(cornjacket.append(hot).await?.duplicate);
    let found = timeout(SOON, async {
        loop {
            let told = tail.next().await.context("the tail goes on")??.message;
            if let Some(Told::Event(event)) = told {
                return anyhow::Ok(event);
            }
        }
    });
    let found = found.await??;
    println!("from the reading to the anomaly in a tail: {:?}", sent.elapsed());
    let anomaly = detail(&found)?;
    assert_eq!((found.source.as_str(), found.subject.as_str()), ("cornjacket/inference", "pump-1"));
    assert_eq!((anomaly.cause_source.as_str(), anomaly.cause_id.as_str()), ("system-test", "2"));
    assert_eq!((anomaly.metric.as_str(), anomaly.value), ("temperature", 99.0));
    assert_eq!((anomaly.model.as_str(), anomaly.model_version.as_str()), ("hot", "1"));
    assert!(
        anomaly.score > 0.5 && !anomaly.contributions.is_empty() && anomaly.parameters_digest.len() == 64
    );
    assert_eq!(found.trace_context, Some(trace));

    // Its score stands beside the sample.
    let question = QuerySeriesRequest {
        series: vec![SeriesKey { subject: "pump-1".into(), metric: "temperature".into() }],
        scores: true,
        ..QuerySeriesRequest::default()
    };
    let answer = cornjacket.query().await?.query_series(question).await?.into_inner();
    let scores: Vec<_> = answer.series[0].samples.iter().flat_map(|sample| &sample.scores).collect();
    assert_eq!(
        (scores.len(), scores[1].score, scores[1].severity),
        (2, Some(anomaly.score), anomaly.severity)
    );
    assert_eq!((scores[0].model.as_str(), scores[0].model_version, scores[0].severity), ("hot", 1, 0));

    // Another version takes over; the one before looks on, and takes over again with what it knows.
    let parameters = r#"{"upper": 10}"#;
    register(cornjacket, ("hot", "threshold", parameters, ModelMode::Active)).await?;
    cornjacket.append(reading("pump-2", "3", 15.0)).await?;
    let of_pump_2 = ListAnomaliesRequest { subject: "pump-2".into(), ..ListAnomaliesRequest::default() };
    wait::until(SOON, "the second version finds something", async || {
        anomalies(cornjacket, of_pump_2.clone()).await.is_ok_and(|found| found.len() == 1)
    })
    .await?;
    let back = SetModelModeRequest { name: "hot".into(), version: 1, mode: ModelMode::Active.into() };
    cornjacket.admin().await?.set_model_mode(back).await?;
    for (id, value) in [("4", 15.0), ("5", 90.0)] {
        cornjacket.append(reading("pump-3", id, value)).await?;
    }
    wait::until(SOON, "the first version finds something again", async || {
        anomalies(cornjacket, ListAnomaliesRequest::default()).await.is_ok_and(|found| found.len() == 3)
    })
    .await?;
    let all = anomalies(cornjacket, ListAnomaliesRequest::default()).await?;
    let said = |event: &Event| anyhow::Ok((event.subject.clone(), detail(event)?.model_version.clone()));
    let said: Vec<_> = all.iter().map(said).collect::<Result<_, _>>()?;
    let pair = |subject: &str, version: &str| (subject.to_owned(), version.to_owned());
    assert_eq!(said, [pair("pump-3", "1"), pair("pump-2", "2"), pair("pump-1", "1")], "the newest first");
    let page = ListAnomaliesRequest { page_size: 1, oldest_first: true, ..ListAnomaliesRequest::default() };
    let answer = cornjacket.query().await?.list_anomalies(page.clone()).await?.into_inner();
    assert_eq!(answer.anomalies, all[2..]);
    let next = ListAnomaliesRequest { page_token: answer.next_page_token, ..page };
    assert_eq!(anomalies(cornjacket, next).await?, all[1..2]);
    let other = ListAnomaliesRequest { model: "cold".into(), ..ListAnomaliesRequest::default() };
    let none = anomalies(cornjacket, other).await.expect_err("there is no such model");
    assert!(none.to_string().contains("model: there is no model"), "{none:#}");
    let quiet =
        ListAnomaliesRequest { min_severity: 3, model: "hot".into(), ..ListAnomaliesRequest::default() };
    assert!(anomalies(cornjacket, quiet).await?.is_empty(), "there is, and it found nothing so grave");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn anomalies_are_events_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    anomalies_are_events(&Cornjacket::embedded(folder.path())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn anomalies_are_events_on_postgres_and_kafka() -> anyhow::Result<()> {
    anomalies_are_events(&FullStack::shared().await?.cornjacket(&[])?).await
}

fn events() -> Vec<Event> {
    let share = |share| Share::new(share).expect("a share");
    let simulation = Simulation::new(Options {
        seed: 17,
        start: SystemClock.now() - Duration::from_hours(6),
        devices: 130,
        users: 1,
        services: 1,
        faults: share(0.01),
        duplicates: share(0.02),
        late: share(0.05),
        late_by: Duration::from_mins(20),
        poison: share(0.0),
    });
    simulation.take(if long() { 50_000 } else { 5_000 }).map(|sent| sent.event).collect()
}

/// What was said of each series, and the anomalies by id.
#[derive(Debug, PartialEq)]
struct Said {
    scores: BTreeMap<(String, String), Vec<Score>>,
    anomalies: BTreeMap<String, Vec<u8>>,
}

pub(super) async fn scores(store: &Store) -> anyhow::Result<BTreeMap<(String, String), Vec<Score>>> {
    let mut snapshot = store.snapshots.begin(DEADLINE).await?;
    let filter = SeriesFilter { subject: None, since: ALWAYS.start, after: None, limit: 100_000 };
    let mut scores = BTreeMap::new();
    for series in snapshot.list_series(&filter).await? {
        let of_series = snapshot.scores(series.id, ALWAYS, None, 10_000_000).await?;
        // Ids are given as series come.
        let of_series = of_series.into_iter().map(|score| Score { series: SeriesId(0), ..score }).collect();
        scores.insert((series.key.subject, series.key.metric), of_series);
    }
    Ok(scores)
}

/// An anomaly as it left the processor: what the log adds is left out.
fn bare(event: Event) -> Vec<u8> {
    Event { position: 0, ingest_time: None, clock_ahead: false, ..event }.encode_to_vec()
}

/// What there is when everything has been handled that is in the log.
async fn said(store: &Store, log: &[StoredEvent]) -> anyhow::Result<Said> {
    let mut anomalies = BTreeMap::new();
    for stored in log.iter().filter(|stored| stored.event_type == "ai.anomaly_detected") {
        let event = stored.decode()?;
        let before = anomalies.insert(event.id.clone(), bare(event));
        assert!(before.is_none(), "an anomaly is there twice");
    }
    Ok(Said { scores: scores(store).await?, anomalies })
}

/// What an undisturbed processor says of a log, on a store of its own.
async fn undisturbed(store: &Store, log: &[StoredEvent]) -> anyhow::Result<Said> {
    for (name, detector, parameters, mode) in MODELS {
        let parameters = serde_json::from_str(parameters)?;
        let draft = cornjacket_inference::detectors::draft(name, detector, ("*", "*"), &parameters)?;
        let mode = if mode == ModelMode::Active {
            cornjacket_store::Mode::Active
        } else {
            cornjacket_store::Mode::Shadow
        };
        store.models.register(&draft, mode, Some("operator"), ALWAYS.start).await?;
    }
    let keep = Duration::from_hours(24 * 7);
    let options = processor::Options {
        keep,
        counted: Counted::default(),
        partitions: store.partitions,
        state_bytes: 1 << 30,
    };
    let processor = Processor::new(options);
    for partition in 0..store.partitions.count() {
        let mut offset = 0;
        let of_partition = |stored: &&StoredEvent| {
            (Topic::of_type(&stored.event_type), store.partitions.of_subject(&stored.subject))
                == (Topic::SensorEvents, partition)
        };
        let events: Vec<_> = log.iter().filter(of_partition).collect();
        for part in events.chunks(500) {
            let delivered = |stored: &&StoredEvent| {
                offset += 1;
                anyhow::Ok(Delivered { offset, ingest_time: stored.ingest_time, event: stored.decode()? })
            };
            let delivered: Vec<_> = part.iter().map(delivered).collect::<Result<_, _>>()?;
            let at = ConsumerPartition {
                consumer: processor::NAME.into(),
                topic: Topic::SensorEvents.name(),
                partition,
            };
            let from = store.offsets.load(&at).await?;
            let last = delivered.last().map_or(0, |last| last.event.position);
            let to = Progress { next_offset: offset, last_position: last };
            let mut tx = store.offsets.begin(&at, from, to).await?.context("nobody else")?;
            processor.handle(&mut tx, &delivered, ()).await?;
            tx.commit().await?;
        }
    }
    let mut anomalies = BTreeMap::new();
    for (_, bytes) in store.outbox.waiting(1_000_000).await? {
        let event = Event::decode(bytes.as_slice())?;
        anomalies.insert(event.id.clone(), bare(event));
    }
    Ok(Said { scores: scores(store).await?, anomalies })
}

/// Waits until everything is scored that was sent, and every anomaly is in the log.
pub(super) async fn settled(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let mut last = None;
    wait::until(DEADLINE, "everything is scored, and every anomaly in the log", async || {
        let read = cornjacket.is_all_read().await;
        // Twice the same, with everything read.
        let count =
            anomalies(cornjacket, ListAnomaliesRequest { page_size: 1, ..ListAnomaliesRequest::default() });
        let newest = count.await.ok().and_then(|found| found.first().map(|event| event.position));
        let settled = read && newest.is_some() && newest == last;
        last = newest;
        settled
    })
    .await
}

/// Kills whoever scores, again and again, while devices send.
async fn kill(cornjacket: &Cornjacket, kills: u64) -> anyhow::Result<()> {
    let process = cornjacket.start().await?;
    for model in MODELS {
        register(cornjacket, model).await?;
    }
    kill_while_sending(cornjacket, process, kills, (Random::seeded(), events())).await
}

/// Sends events and kills the process meanwhile, at random instants. Returns when what came of them is in the log.
pub(super) async fn kill_while_sending(
    cornjacket: &Cornjacket,
    mut process: Process,
    kills: u64,
    (mut random, events): (Random, Vec<Event>),
) -> anyhow::Result<()> {
    let feeding = tokio::spawn(send_all(cornjacket.clone(), events, Duration::from_millis(150)));
    for _ in 0..kills {
        // The instant is the point here, not that anything has happened by then.
        tokio::time::sleep(Duration::from_millis(random.within(100..1_200))).await;
        process.kill9().await?;
        process = cornjacket.start().await?;
    }
    println!("{kills} kills; all sent: {}", feeding.is_finished());
    feeding.await??;
    settled(cornjacket).await?;
    stop(process).await
}

async fn compare(database: &str, fresh: &str) -> anyhow::Result<()> {
    let (log, store) = (read_log(database).await?, open(database).await?);
    until_read(&store, &log, SOON).await?;
    assert!(store.outbox.waiting(1).await?.is_empty(), "all that was found is in the log");
    let (found, expected) = (said(&store, &log).await?, undisturbed(&open(fresh).await?, &log).await?);
    let count: usize = expected.scores.values().map(Vec::len).sum();
    println!("{} series, {count} scores, {} anomalies", expected.scores.len(), expected.anomalies.len());
    assert!(expected.scores.len() > 500 && expected.anomalies.len() > 20, "too little to show anything");
    for (key, scores) in &expected.scores {
        let found = found.scores.get(key).with_context(|| format!("{key:?} is scored"))?;
        let differs = found.iter().zip(scores).find(|(found, expected)| found != expected);
        assert!(differs.is_none() && found.len() == scores.len(), "{key:?}: {differs:#?}");
    }
    assert!(found == expected, "the anomalies differ");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processors_say_the_same_embedded() -> anyhow::Result<()> {
    let (folder, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
    kill(&Cornjacket::embedded(folder.path())?, if long() { 30 } else { 6 }).await?;
    let url = |folder: &tempfile::TempDir| format!("sqlite://{}/cornjacket.db", folder.path().display());
    compare(&url(&folder), &url(&other)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processors_say_the_same_on_postgres_and_kafka() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    kill(&full_stack.cornjacket(&[("inference.state_mib", "1")])?, if long() { 30 } else { 6 }).await?;
    compare(&full_stack.database, &fresh_database().await?).await
}
