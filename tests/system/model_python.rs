//! The Python model service: its own tests, and what it finds in the log, once for each measurement, whatever kills it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use cornjacket_auth::TokenRequest;
use cornjacket_domain::{Scope, StoredEvent};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{Event, Measurement, SensorReading, TraceContext};
use cornjacket_store::{Range, Store};
use cornjacket_testkit::{Kafka, Process, Program, fresh_database, ports, wait};

use super::cornjacket::{AUDIENCE, Cornjacket, http_get, minted, stop};
use super::events::reading;
use super::full_stack::{FullStack, open, read_log};
use super::load::{Random, long, send_all};

/// For pytest, mypy and ruff, and for a start on a machine that does other things as well.
const DEADLINE: Duration = Duration::from_mins(2);
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/model-python");
const DEVICES: usize = 40;
/// Of two measurements each.
const READINGS: usize = 5_000;
const METRICS: [&str; 2] = ["temperature", "pressure"];
/// For each hundred of them: what comes while the stream is down is still being delivered when it is killed again.
const PACE: Duration = Duration::from_millis(500);

/// The interpreter that has what the service requires, as `tests/setup` lays it down.
fn python() -> PathBuf {
    std::env::var_os("CORNJACKET_TEST_TOOLS")
        .map_or_else(|| "python3".into(), |folder| Path::new(&folder).join("python"))
}

/// The service as its users start it, in the environment that there is.
pub(super) fn run() -> Program {
    Program::new(Path::new(FOLDER).join("run")).env("CORNJACKET_PYTHON", python())
}

/// How to start the stream processor; its port stays the same over restarts.
struct Model {
    program: Program,
    folder: tempfile::TempDir,
    port: u16,
}

impl Model {
    /// One that sends what scores `threshold` or more, with this token.
    fn new(
        full_stack: &FullStack,
        cornjacket: &Cornjacket,
        threshold: &str,
        token: &str,
    ) -> anyhow::Result<Self> {
        let (folder, port) = (tempfile::tempdir()?, ports::free_port()?);
        std::fs::write(folder.path().join("token"), token)?;
        let program = run()
            .args(["--mode", "stream", "--threshold", threshold, "--session-timeout-ms", "1000"])
            .args(["--kafka", &full_stack.servers, "--topic-prefix", &full_stack.topic("")])
            .args([
                "--port",
                &port.to_string(),
                "--ingest",
                &format!("http://127.0.0.1:{}", cornjacket.ingest),
            ])
            .arg("--token-file")
            .arg(folder.path().join("token"))
            .arg("--dead-letters")
            .arg(folder.path().join("letters"))
            .log(folder.path().join("log"));
        Ok(Self { program, folder, port })
    }

    fn start(&self) -> anyhow::Result<Process> {
        self.program.spawn()
    }

    async fn until_ready(&self, process: &mut Process) -> anyhow::Result<()> {
        let ready = async || self.ready().await.starts_with("HTTP/1.1 200");
        process.until_ready(DEADLINE, "the model to be ready", ready).await
    }

    /// What it says of itself; nothing while it does not listen.
    async fn ready(&self) -> String {
        http_get(self.port, "/v2/health/ready").await.unwrap_or_default()
    }

    /// One of its counts since it began; zero while it does not listen.
    async fn said(&self, what: &str) -> u64 {
        let name = format!("cornjacket_model_{what}_total ");
        let metrics = http_get(self.port, "/metrics").await.unwrap_or_default();
        metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
    }

    fn letters(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("letters")).unwrap_or_default()
    }
}

/// A token that lets a model send what it finds.
fn token() -> anyhow::Result<String> {
    minted(&TokenRequest::new("model", &[Scope::Ingest, Scope::Insights], AUDIENCE))
}

/// A reading of two metrics, one of which a model has something to say about now and then.
fn measured(number: usize) -> Event {
    let wave = f64::from(u32::try_from(number % 97).unwrap_or_default()).sin();
    let spike = if number.is_multiple_of(211) { 50.0 } else { 0.0 };
    let of = |(metric, value): (&str, f64)| Measurement { metric: metric.into(), value, unit: String::new() };
    let measurements = METRICS.into_iter().zip([20.0 + wave + spike, 3.0 - wave]).map(of).collect();
    let trace = format!("00-{:032x}-00f067aa0ba902b7-01", number + 1);
    Event {
        payload: Some(Payload::SensorReading(SensorReading { measurements })),
        trace_context: Some(TraceContext { traceparent: trace, ..TraceContext::default() }),
        ..reading(&format!("pump-{}", number % DEVICES), &format!("{number:06}"), 0.0)
    }
}

/// What the log has of the model: how often, by the id of the cause and the metric.
fn results(log: &[StoredEvent]) -> anyhow::Result<BTreeMap<(String, String), usize>> {
    let mut found = BTreeMap::new();
    for stored in log.iter().filter(|stored| stored.event_type == "ai.anomaly_detected") {
        let Some(Payload::AnomalyDetected(anomaly)) = stored.decode()?.payload else {
            anyhow::bail!("position {} is no anomaly", stored.position);
        };
        ensure!((anomaly.model.as_str(), anomaly.model_version.as_str()) == ("isolation_forest", "1"));
        *found.entry((anomaly.cause_id, anomaly.metric)).or_default() += 1;
    }
    Ok(found)
}

/// What there must be of so many readings: of each metric one result.
fn once(readings: usize) -> BTreeMap<(String, String), usize> {
    let results = |number| METRICS.map(|metric| ((format!("{number:06}"), metric.to_owned()), 1));
    (0..readings).flat_map(results).collect()
}

/// What the log has of the model is this, and nothing else.
fn check(log: &[StoredEvent], expected: &BTreeMap<(String, String), usize>) -> anyhow::Result<()> {
    let found = results(log)?;
    let lost: Vec<_> = expected.keys().filter(|key| !found.contains_key(*key)).collect();
    let repeated: Vec<_> = found.iter().filter(|(_, count)| **count > 1).collect();
    ensure!(lost.is_empty(), "{} are lost, such as {:?}", lost.len(), lost[0]);
    ensure!(repeated.is_empty(), "{} are there again, such as {:?}", repeated.len(), repeated[0]);
    ensure!(found == *expected, "something else was found");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_tests_types_and_style_pass() -> anyhow::Result<()> {
    run().arg("--only-prepare").output(DEADLINE).await?;
    for tool in [
        &["-m", "ruff", "format", "--check", "--no-cache", "."][..],
        &["-m", "ruff", "check", "--no-cache", "."],
        &["-m", "mypy", "--cache-dir", "/dev/null"],
        &["-B", "-m", "pytest"],
    ] {
        println!("{}", Program::new(python()).args(tool).current_dir(FOLDER).output(DEADLINE).await?);
    }
    Ok(())
}

/// However often it is killed, each measurement has one result in the end: none is lost, and none is there twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_stream_says_everything_once() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let cornjacket = full_stack.cornjacket(&[])?;
    let process = cornjacket.start().await?;
    let model = Model::new(&full_stack, &cornjacket, "0", &token()?)?;
    let (kills, readings) = if long() { (20, 4 * READINGS) } else { (5, READINGS) };
    let feeding = tokio::spawn(send_all(cornjacket.clone(), (0..readings).map(measured).collect(), PACE));
    let (mut random, mut again) = (Random::seeded(), 0);
    let mut running = model.start()?;
    for round in 0..kills {
        if round % 2 == 0 {
            // In the middle of a delivery: something is stored whose offset is not committed yet.
            let stored = async || {
                feeding.is_finished() || model.said("results").await + model.said("duplicates").await > 0
            };
            running.until_ready(DEADLINE, "something is stored", stored).await?;
            tokio::time::sleep(Duration::from_millis(random.within(0..30))).await;
        } else {
            model.until_ready(&mut running).await?;
            // The instant is the point here, not that anything has happened by then.
            tokio::time::sleep(Duration::from_millis(random.within(0..1_500))).await;
        }
        again += model.said("duplicates").await;
        running.kill9().await?;
        running = model.start()?;
    }
    println!("{kills} kills; all sent: {}; sent again: {again}", feeding.is_finished());
    feeding.await??;
    let expected = once(readings);
    let store = open(&full_stack.database).await?;
    let waited = until_stored(&store, readings + expected.len()).await;
    check(&read_log(&full_stack.database).await?, &expected)?;
    waited?;
    again += model.said("duplicates").await;
    ensure!(again > 0, "no kill came between a receipt and its commit: too little to show anything");
    // It ends in order, and another one that begins there has nothing left to say.
    stop(running).await?;
    let mut next = model.start()?;
    model.until_ready(&mut next).await?;
    let more = cornjacket.append(measured(readings)).await?;
    until_stored(&store, usize::try_from(more.position)? + 2).await?;
    wait::until(DEADLINE, "it has its receipts", async || model.said("results").await >= 2).await?;
    let said = (model.said("results").await, model.said("duplicates").await);
    ensure!(said == (2, 0), "there was nothing to say but of the last one: {said:?}");
    stop(next).await?;

    let expected = once(readings + 1);
    check(&read_log(&full_stack.database).await?, &expected)?;
    ensure!(model.letters().is_empty(), "letters: {}", model.letters());
    println!("{} results for {} readings", expected.len(), readings + 1);
    stop(process).await
}

/// Waits until the log has so many events.
async fn until_stored(store: &Store, count: usize) -> anyhow::Result<()> {
    let last = Range::after(count as u64 - 1, 1);
    wait::until(DEADLINE, &format!("{count} events are stored"), async || {
        store.log.read(&last).await.is_ok_and(|found| !found.is_empty())
    })
    .await
}

/// A result is an anomaly like those that are found inside; without the right token it waits and says so, and nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_result_has_its_cause_and_waits_for_a_token_that_allows_it() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    // The other format of the bus: the crash law has the usual one.
    let cornjacket = full_stack.cornjacket(&[("bus.format", "json")])?;
    let process = cornjacket.start().await?;
    let device = minted(&TokenRequest::new("device", &[Scope::Ingest], AUDIENCE))?;
    let model = Model::new(&full_stack, &cornjacket, "0.6", &device)?;
    let mut running = model.start()?;
    model.until_ready(&mut running).await?;
    for number in 0..40 {
        let value = if number == 39 { 99.0 } else { [20.0, 21.0, 22.0, 23.0][number % 4] };
        let event = Event { subject: "pump-7".into(), ..measured(number) };
        let measurement = Measurement { metric: "temperature".into(), value, unit: String::new() };
        let payload = Payload::SensorReading(SensorReading { measurements: vec![measurement] });
        cornjacket.append(Event { payload: Some(payload), ..event }).await?;
    }
    wait::until(DEADLINE, "it says that its token is not good for this", async || {
        model.ready().await.contains("PERMISSION_DENIED")
    })
    .await?;
    ensure!(results(&read_log(&full_stack.database).await?)?.is_empty(), "a device may not send insights");

    std::fs::write(model.folder.path().join("token"), token()?)?;
    let found = wait::until_some(DEADLINE, "the anomaly is in the log", async || {
        let log = read_log(&full_stack.database).await.ok()?;
        log.into_iter().find(|stored| stored.event_type == "ai.anomaly_detected")
    });
    let found = found.await?.decode()?;
    let Some(Payload::AnomalyDetected(anomaly)) = found.payload else { anyhow::bail!("no anomaly") };
    assert_eq!((found.source.as_str(), found.subject.as_str()), ("models/python", "pump-7"));
    assert_eq!((anomaly.cause_source.as_str(), anomaly.cause_id.as_str()), ("system-test", "000039"));
    assert_eq!(found.trace_context, measured(39).trace_context, "the trace of its cause");
    assert_eq!((anomaly.value, anomaly.metric.as_str()), (99.0, "temperature"));
    let upper = anomaly.expected_upper.context("an interval")?;
    ensure!(anomaly.score > 0.6 && upper < 99.0 && anomaly.parameters_digest.len() == 64, "{anomaly:?}");
    ensure!(!anomaly.contributions.is_empty(), "it says why");
    model.until_ready(&mut running).await?;
    stop(running).await?;
    ensure!(model.letters().is_empty(), "what a token does not allow is no dead letter");
    stop(process).await
}

/// Neither the platform nor Kafka has to be there: it says that it waits, and goes on by itself when they are back.
#[tokio::test(flavor = "multi_thread")]
async fn outages_are_waited_for() -> anyhow::Result<()> {
    let mut kafka = Kafka::start().await?;
    let full_stack = FullStack::on(fresh_database().await?, kafka.bootstrap());
    let cornjacket = full_stack.cornjacket(&[])?;
    let mut process = cornjacket.start().await?;
    let (model, store) =
        (Model::new(&full_stack, &cornjacket, "0", &token()?)?, open(&full_stack.database).await?);
    for number in 0..50 {
        cornjacket.append(measured(number)).await?;
    }
    full_stack.check_topics(&read_log(&full_stack.database).await?).await?;
    process.kill9().await?;

    let mut running = model.start()?;
    let waits = async |reason: &str| {
        wait::until(DEADLINE, reason, async || model.ready().await.contains(reason)).await
    };
    waits("UNAVAILABLE").await?;
    process = cornjacket.start().await?;
    until_stored(&store, 150).await?;
    model.until_ready(&mut running).await?;

    kafka.kill().await?;
    waits("kafka").await?;
    kafka.restart_on_same_port().await?;
    model.until_ready(&mut running).await?;
    for number in 50..100 {
        cornjacket.append(measured(number)).await?;
    }
    until_stored(&store, 300).await?;
    check(&read_log(&full_stack.database).await?, &once(100))?;

    // It ends in time while it cannot take leave of its group.
    kafka.kill().await?;
    stop(running).await?;
    stop(process).await
}
