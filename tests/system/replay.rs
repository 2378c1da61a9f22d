//! A range of the log is put on the bus once more, for readers that are not ours.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Context;
use cornjacket_bus::Record;
use cornjacket_domain::{Clock, StoredEvent, SystemClock};
use cornjacket_inference::detectors;
use cornjacket_proto::admin::{ConsumerProgress, ListDeadLettersRequest, ReplayEventsRequest};
use cornjacket_store::Mode;
use cornjacket_testkit::wait;
use tonic::Code;

use super::anomalies::scores;
use super::cornjacket::{Cornjacket, http_get, operator, stop};
use super::full_stack::{FullStack, open, read_log};
use super::load::{self, Acknowledged};
use super::takeover::metric;

const DEADLINE: Duration = Duration::from_mins(1);
/// The last position of the replay that is given up.
const GIVEN_UP: u64 = 3_000;

/// `cornjacket events replay`: how many events that were, and which replay.
async fn replay(cornjacket: &Cornjacket, arguments: &str) -> anyhow::Result<(usize, String)> {
    let server = format!("127.0.0.1:{}", cornjacket.query);
    let program = operator()?;
    let said = program.args(["events", "--server", &server, "replay"]).args(arguments.split(' '));
    let said = said.output(DEADLINE).await?;
    let (summary, models) = said.trim().split_once('\n').context("two sentences")?;
    assert!(models.starts_with("Our models pass over a replay: "), "{models}");
    let (count, id) = summary.split_once(" events are on the bus again, as replay ").context("a summary")?;
    Ok((count.parse()?, id.to_owned()))
}

/// Begins a replay that takes three seconds, and hangs up: which one.
async fn give_up(cornjacket: &Cornjacket) -> anyhow::Result<String> {
    let request = ReplayEventsRequest {
        from_position: 1,
        until_position: GIVEN_UP,
        events_per_second: 1_000,
        ..ReplayEventsRequest::default()
    };
    let mut messages = cornjacket.admin().await?.replay_events(request).await?.into_inner();
    let first = messages.message().await?.context("a message")?;
    assert!(!first.done && first.published == first.position, "{first:?}");
    Ok(first.replay_id)
}

/// The ids of the events that say what operators asked for.
fn asked_for(log: &[StoredEvent]) -> anyhow::Result<BTreeSet<String>> {
    let asked = log.iter().filter(|event| event.event_type == "system.admin_action");
    asked.map(|event| Ok(event.decode()?.id)).collect()
}

/// The positions that each replay has put on the topics: in order in each partition, each event as it was stored.
fn replayed(records: &[Record], log: &[StoredEvent]) -> anyhow::Result<BTreeMap<String, Vec<u64>>> {
    let mut replayed: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let mut last = BTreeMap::new();
    for record in records {
        let Some(replay) = &record.envelope.replay else { continue };
        let event = record.decode()?.event;
        let before = last.insert((replay.clone(), record.at), event.position);
        assert!(before < Some(event.position), "{replay}: {} came after {before:?}", event.position);
        replayed.entry(replay.clone()).or_default().push(event.position);
        assert_eq!(event, log[usize::try_from(event.position)? - 1].decode()?);
    }
    for positions in replayed.values_mut() {
        positions.sort_unstable();
    }
    Ok(replayed)
}

/// How far consumers have come in the topic that the load is in.
async fn progress(cornjacket: &Cornjacket) -> anyhow::Result<Vec<ConsumerProgress>> {
    Ok(cornjacket
        .consumers()
        .await?
        .into_iter()
        .filter(|consumer| consumer.topic == "sensor-events")
        .collect())
}

/// The last position of each, and how many offsets they have passed.
fn sums(progress: &[ConsumerProgress]) -> (BTreeMap<(String, u32), u64>, BTreeMap<String, u64>) {
    let mut offsets = BTreeMap::new();
    for one in progress {
        *offsets.entry(one.consumer.clone()).or_default() += one.next_offset;
    }
    let last = progress.iter().map(|one| ((one.consumer.clone(), one.partition), one.last_position));
    (last.collect(), offsets)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_replayed_under_load_and_nothing_of_ours_notices() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let cornjacket = full_stack.cornjacket(&[])?;
    watch(&full_stack.database).await?;
    let process = cornjacket.start().await?;
    let acknowledged = Acknowledged::default();
    let mut writers = load::start(&cornjacket, "replay", &acknowledged);
    wait::until(DEADLINE, "events are published", async || {
        metric(cornjacket.ops, "cornjacket_relay_position").await > 3_000.0
    })
    .await?;

    let given_up = give_up(&cornjacket).await?;
    let range = replay(&cornjacket, "--from 101 --until 2900").await?;
    let pump = "--from 1 --until 3000 --subject pump-3 --type sensor.reading --rate 500";
    let pump = replay(&cornjacket, pump).await?;
    let before = acknowledged.count();
    wait::until(DEADLINE, "the load goes on", async || acknowledged.count() > before + 1_000).await?;
    writers.abort_all();
    while writers.join_next().await.is_some() {}

    let log = read_log(&full_stack.database).await?;
    acknowledged.check(&log)?;
    full_stack.check().await?;
    let ids = BTreeSet::from([given_up.clone(), range.1.clone(), pump.1.clone()]);
    assert_eq!(asked_for(&log)?, ids, "who asked for a replay can be found");
    let mut seen = BTreeSet::new();
    let records = full_stack.read_records(|record| {
        seen.extend(record.envelope.position.filter(|_| record.envelope.replay.is_none()));
        seen.len() >= log.len()
    });
    let mut replayed = replayed(&records.await?, &log)?;
    let begun = replayed.remove(&given_up).unwrap_or_default().len() as u64;
    println!("{begun} of {GIVEN_UP} events were replayed before somebody hung up");
    assert!((1..GIVEN_UP).contains(&begun));
    let of_pump = log[..3_000].iter().filter(|event| event.subject == "pump-3").map(|event| event.position);
    let of_pump: Vec<_> = of_pump.collect();
    assert_eq!((range.0, pump.0), (2_800, of_pump.len()));
    assert_eq!(replayed, BTreeMap::from([(range.1, (101..=2_900).collect()), (pump.1, of_pump)]));

    nothing_moves(&full_stack, &cornjacket, &log).await?;
    assert!(metric(cornjacket.ops, "cornjacket_relay_restarts_total").await.abs() < f64::EPSILON);
    let metrics = http_get(cornjacket.ops, "/metrics").await?;
    assert!(!metrics.contains("cornjacket_stage_restarts_total"), "{metrics}");
    stop(process).await
}

/// Has a model watch, whose findings are no events: the log has what it had without it.
async fn watch(database: &str) -> anyhow::Result<()> {
    let parameters = serde_json::json!({ "upper": 20.0 });
    let draft = detectors::draft("watches", "threshold", ("*", "*"), &parameters).expect("a draft");
    let store = open(database).await?;
    store.models.register(&draft, Mode::Shadow, Some("ann"), SystemClock.now()).await?;
    Ok(())
}

/// Everything is replayed once more while nothing else happens: consumers pass over it and stay where they are.
async fn nothing_moves(
    full_stack: &FullStack,
    cornjacket: &Cornjacket,
    log: &[StoredEvent],
) -> anyhow::Result<()> {
    wait::until(DEADLINE, "all consumers have read everything", async || {
        progress(cornjacket)
            .await
            .is_ok_and(|all| !all.is_empty() && all.iter().all(|one| one.lag_events == 0))
    })
    .await?;
    let (last, offsets) = sums(&progress(cornjacket).await?);
    let store = open(&full_stack.database).await?;
    let scored = scores(&store).await?;
    assert!(scored.values().map(Vec::len).sum::<usize>() > 1_000, "too few scores to show anything");
    let sensors = log.iter().filter(|event| event.event_type.starts_with("sensor.")).count() as u64;
    let (count, _) = replay(cornjacket, "--from 1").await?;
    assert_eq!(count, log.len());
    wait::until(DEADLINE, "all consumers have passed the replay", async || {
        let Ok(progress) = progress(cornjacket).await else { return false };
        sums(&progress).1.iter().all(|(consumer, now)| *now >= offsets[consumer] + sensors)
    })
    .await?;
    assert_eq!(sums(&progress(cornjacket).await?).0, last, "no consumer has got anywhere");
    assert!(scores(&store).await? == scored, "a replay gives new scores");
    full_stack.check_device_state(log).await?;
    let letters = cornjacket.admin().await?.list_dead_letters(ListDeadLettersRequest::default()).await?;
    assert_eq!(letters.into_inner().dead_letters, []);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_replayed_is_refused() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let folder = tempfile::tempdir()?;
    let kafka = full_stack.cornjacket(&[])?;
    let embedded = Cornjacket::embedded(folder.path())?;
    let processes = [kafka.start().await?, embedded.start().await?];
    let refused = async |cornjacket: &Cornjacket, from_position, until_position| {
        let request = ReplayEventsRequest { from_position, until_position, ..ReplayEventsRequest::default() };
        let status = cornjacket.admin().await?.replay_events(request).await.expect_err("refused");
        anyhow::Ok((status.code(), status.message().to_owned()))
    };
    load_a_few(&kafka).await?;
    let expect = |code, said: &str| (code, said.to_owned());
    let oldest = expect(Code::OutOfRange, "the oldest position that is left is 1");
    assert_eq!(refused(&kafka, 0, 0).await?, oldest);
    let beyond = expect(Code::OutOfRange, "the log ends at position 5, before 6");
    assert_eq!(refused(&kafka, 1, 6).await?, beyond);
    assert_eq!(refused(&kafka, 6, 0).await?, beyond);
    assert_eq!(refused(&kafka, 4, 2).await?.0, Code::InvalidArgument);
    let (code, said) = refused(&embedded, 1, 0).await?;
    assert!(code == Code::FailedPrecondition && said.contains("nobody else reads it"), "{said}");
    for process in processes {
        stop(process).await?;
    }
    Ok(())
}

/// Stores five events.
async fn load_a_few(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let events = (0..5).map(|number| super::events::reading("pump", &format!("few-{number}"), 1.0)).collect();
    let request = cornjacket_proto::ingest::AppendBatchRequest { events };
    cornjacket.ingest().await?.append_batch(request).await?;
    Ok(())
}
