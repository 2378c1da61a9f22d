//! A model server may be slow, talk nonsense or be gone: nobody else notices, every sample has a score or the reason why there is
//! none, and the server is used again by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::Timestamp;
use cornjacket_proto::admin::{Model, ModelMode, RegisterModelRequest};
use cornjacket_proto::events::Event;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::json::to_struct;
use cornjacket_proto::query::{GetProjectionRequest, QuerySeriesRequest, Score, SeriesKey};
use cornjacket_store::{SeriesFilter, TimeRange};
use cornjacket_testkit::wait;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tonic::Request;

use super::cornjacket::{Cornjacket, http_get, operator, stop};
use super::events::reading;
use super::full_stack::{FullStack, open, read_log};
use super::load::{Random, long, send_all};
use super::model_server::{Behaviour, Inside, ModelServer};
use super::python_server::Python;

/// The server's deadline: longer than anybody else may take for anything.
const SERVER_DEADLINE_MS: u32 = 3_000;
/// Within this whoever does not wait for the server has had an event.
const KEEPS_UP: Duration = Duration::from_millis(2_500);
/// Until something has changed that only has to happen.
const SOON: Duration = Duration::from_mins(1);
/// How often devices send.
const PACE: Duration = Duration::from_millis(250);
const ALWAYS: TimeRange =
    TimeRange { start: Timestamp::from_micros(0), end: Timestamp::from_micros(4_000_000_000_000_000) };

async fn register(
    cornjacket: &Cornjacket,
    name: &str,
    detector: &str,
    parameters: &str,
) -> anyhow::Result<()> {
    let model = Model {
        name: name.into(),
        detector: detector.into(),
        parameters: Some(to_struct(parameters)?),
        mode: ModelMode::Active.into(),
        ..Model::default()
    };
    let request = RegisterModelRequest { model: Some(model) };
    cornjacket.admin().await?.register_model(request).await?;
    Ok(())
}

/// What is said of the last sample of a device, by one model, once `token` has been read.
async fn scores(
    cornjacket: &Cornjacket,
    device: &str,
    model: &str,
    token: &str,
) -> anyhow::Result<Vec<Score>> {
    let mut request = Request::new(QuerySeriesRequest {
        series: vec![SeriesKey { subject: device.into(), metric: "temperature".into() }],
        scores: true,
        consistency_token: token.into(),
        ..QuerySeriesRequest::default()
    });
    request.set_timeout(KEEPS_UP);
    let answer = cornjacket.query().await?.query_series(request).await?.into_inner();
    let last = answer.series.into_iter().filter_map(|mut series| series.samples.pop());
    Ok(last.flat_map(|sample| sample.scores).filter(|score| score.model == model).collect())
}

/// Devices that nobody else uses, to see what becomes of a sample.
struct Probes<'a> {
    cornjacket: &'a Cornjacket,
    number: u32,
    /// The longest that anybody took who does not wait for the server.
    longest: Duration,
}

impl Probes<'_> {
    /// Sends samples of a device. What reads them and does not wait for the server has the last one soon: the state, the series,
    /// and a model that runs here.
    async fn send(&mut self, values: &[f64]) -> anyhow::Result<String> {
        self.number += 1;
        let device = format!("probe-{}", self.number);
        let mut token = String::new();
        for (number, value) in values.iter().enumerate() {
            let event = reading(&device, &format!("{device}-{number}"), *value);
            token = self.cornjacket.append(event).await?.consistency_token;
        }
        let began = Instant::now();
        let mut request = Request::new(GetProjectionRequest {
            projection: "device_state".into(),
            subject: device.clone(),
            consistency_token: token.clone(),
        });
        request.set_timeout(KEEPS_UP);
        self.cornjacket.query().await?.get_projection(request).await.context("the state keeps up")?;
        let here = scores(self.cornjacket, &device, "hot", &token).await.context("the series keeps up")?;
        anyhow::ensure!(here.len() == 1 && here[0].score.is_some(), "{here:?}");
        self.longest = self.longest.max(began.elapsed());
        Ok(device)
    }

    /// Sends samples of one device after another until what becomes of the last one is `wanted`. Everybody else keeps up with each.
    async fn until(
        &mut self,
        values: &[f64],
        what: &str,
        wanted: impl Fn(&Score) -> bool,
    ) -> anyhow::Result<String> {
        let deadline = Instant::now() + SOON;
        loop {
            let device = self.send(values).await?;
            let outcome = self.outcome(&device).await?;
            if wanted(&outcome) {
                return Ok(device);
            }
            anyhow::ensure!(Instant::now() < deadline, "gave up waiting until {what}: {outcome:?}");
        }
    }

    /// What became of a probe.
    async fn outcome(&self, device: &str) -> anyhow::Result<Score> {
        let what = format!("{device} has a score or a reason");
        wait::until_some(SOON, &what, async || {
            scores(self.cornjacket, device, "far", "").await.ok()?.into_iter().next()
        })
        .await
    }

    /// Before an outcome is known others have not waited for it.
    async fn while_it_is_slow(&mut self, value: f64) -> anyhow::Result<()> {
        let first = self.send(&[value]).await?;
        let first = self.outcome_beside(&first, value).await?;
        // Its own request, or those of other partitions, which are asked for at the same time.
        let reason = format!("no answer within {SERVER_DEADLINE_MS} ms");
        assert!(first.score.is_none() && first.unscored.ends_with(&reason), "{first:?}");
        self.until(&[value], "the server is left alone", |score| {
            score.score.is_none() && score.unscored.starts_with("not asked since it failed")
        })
        .await
        .map(drop)
    }

    /// What became of a probe, while others are sent.
    async fn outcome_beside(&mut self, device: &str, value: f64) -> anyhow::Result<Score> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(outcome) = scores(self.cornjacket, device, "far", "").await?.into_iter().next() {
                return Ok(outcome);
            }
            self.send(&[value]).await?;
            anyhow::ensure!(Instant::now() < deadline, "{device} has neither a score nor a reason");
        }
    }
}

/// Devices send until they are told to stop; one value in forty is unusual.
async fn feed(
    cornjacket: Cornjacket,
    (usual, unusual): (f64, f64),
    enough: Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for batch in 0_u32.. {
        if enough.load(Ordering::Relaxed) {
            break;
        }
        pace.tick().await;
        let event = |number: u32| {
            let value = if number % 40 < 2 { unusual } else { usual };
            reading(&format!("pump-{}", number % 7), &number.to_string(), value)
        };
        send_all(cornjacket.clone(), (batch * 50..(batch + 1) * 50).map(event).collect(), PACE).await?;
    }
    Ok(())
}

async fn breaker_is_open(cornjacket: &Cornjacket) -> bool {
    let line = r#"cornjacket_remote_breaker_open{model="far",version="1"} 1"#;
    http_get(cornjacket.ops, "/metrics").await.is_ok_and(|metrics| metrics.lines().any(|known| known == line))
}

/// From well to slow to nonsense to gone and back, and then it is not the server that is killed.
async fn trouble(cornjacket: &Cornjacket, server: &mut dyn ModelServer) -> anyhow::Result<()> {
    let mut process = cornjacket.start().await?;
    register(cornjacket, "hot", "threshold", r#"{"upper": 80}"#).await?;
    let (url, model, (usual, unusual)) = (server.url(), server.model(), server.values());
    let window = server.window();
    let parameters = format!(
        r#"{{"url": "{url}", "model": "{model}", "window": {window}, "deadline_ms": {SERVER_DEADLINE_MS}, "batch": 64}}"#
    );
    register(cornjacket, "far", "remote", &parameters).await?;
    let enough = Arc::new(AtomicBool::new(false));
    let feeding = tokio::spawn(feed(cornjacket.clone(), (usual, unusual), enough.clone()));
    let mut probes = Probes { cornjacket, number: 0, longest: Duration::ZERO };

    probes.until(&[usual], "it is scored", |score| score.score.is_some_and(|score| score < 0.9)).await?;
    let hot = [vec![usual; window], vec![unusual]].concat();
    let hot = probes.until(&hot, "it is unusual", |score| score.severity != 0).await?;
    println!("{hot} is unusual");
    server.behave(Behaviour::Slow).await?;
    probes.while_it_is_slow(usual).await?;
    wait::until(SOON, "it is seen that the server is left alone", async || breaker_is_open(cornjacket).await)
        .await?;
    server.behave(Behaviour::Nonsense).await?;
    probes.until(&[usual], "it is nonsense", |score| score.unscored.contains("nonsense")).await?;
    server.behave(Behaviour::Gone).await?;
    let gone = probes.until(&[usual], "it is gone", |score| score.unscored.contains("not reached")).await?;
    let address = format!("127.0.0.1:{}", cornjacket.query);
    let told = operator()?.args(["series", "--server", &address, &gone, "temperature"]).output(SOON).await?;
    assert!(told.contains("1 samples unscored by far, the last one: "), "{told}");
    server.behave(Behaviour::Well).await?;
    probes.until(&[usual], "it is back", |score| score.score.is_some()).await?;
    assert!(!breaker_is_open(cornjacket).await);
    println!("the longest that anybody else took: {:?}", probes.longest);

    let mut random = Random::seeded();
    for kill in 0..if long() { 20 } else { 4 } {
        server.behave(if kill % 2 == 0 { Behaviour::Well } else { Behaviour::Gone }).await?;
        // The instant is the point here, not that anything has happened by then.
        tokio::time::sleep(Duration::from_millis(random.within(100..1_200))).await;
        process.kill9().await?;
        process = cornjacket.start().await?;
    }
    server.behave(Behaviour::Well).await?;
    enough.store(true, Ordering::Relaxed);
    feeding.await??;
    wait::until(SOON, "everything is read", async || cornjacket.is_all_read().await).await?;
    stop(process).await
}

/// The anomalies of a log that a model found, each by its series' subject and the position of its cause.
fn anomalies(log: &[Event], model: &str) -> anyhow::Result<BTreeSet<(String, u64)>> {
    let by_id: BTreeMap<_, _> =
        log.iter().map(|event| ((event.source.as_str(), event.id.as_str()), event.position)).collect();
    let mut found = BTreeSet::new();
    for event in log {
        let Some(Payload::AnomalyDetected(anomaly)) = &event.payload else { continue };
        if anomaly.model == model {
            let cause = (anomaly.cause_source.as_str(), anomaly.cause_id.as_str());
            let position = *by_id.get(&cause).context("the cause is in the log")?;
            anyhow::ensure!(found.insert((event.subject.clone(), position)), "{event:?} is there twice");
        }
    }
    Ok(found)
}

/// Each sample has exactly one row of the model, and those anomalies that follow from the scores are in the log, and no others.
async fn check(database: &str) -> anyhow::Result<()> {
    let log: Vec<Event> =
        read_log(database).await?.iter().map(|stored| Ok(stored.decode()?)).collect::<anyhow::Result<_>>()?;
    let store = open(database).await?;
    assert!(store.outbox.waiting(1).await?.is_empty(), "all that was found is in the log");
    let mut snapshot = store.snapshots.begin(SOON).await?;
    let names = snapshot.model_names().await?;
    let far = names.iter().find(|name| name.name == "far").context("registered")?.id;
    let filter = SeriesFilter { subject: None, since: ALWAYS.start, after: None, limit: 100_000 };
    let (mut scored, mut unscored, mut begun) = (0, 0, BTreeSet::new());
    for series in snapshot.list_series(&filter).await? {
        let samples = snapshot.samples(series.id, ALWAYS, None, u32::MAX).await?;
        let mut rows = snapshot.scores(series.id, ALWAYS, None, u32::MAX).await?;
        rows.retain(|row| row.model == far);
        let (of_rows, of_samples): (Vec<_>, Vec<_>) = (
            rows.iter().map(|row| (row.time, row.position)).collect(),
            samples.iter().map(|sample| (sample.time, sample.position)).collect(),
        );
        assert_eq!(of_rows, of_samples, "{:?}", series.key);
        rows.sort_by_key(|row| row.position);
        let mut lasted = false;
        for row in rows {
            assert_ne!(row.score.is_some(), row.unscored.is_some(), "{row:?}");
            let lasts = row.score.map_or(lasted, |score| score >= 0.9);
            assert_eq!(row.severity.is_some(), lasts && !lasted, "{:?}: {row:?}", series.key);
            if lasts && !lasted {
                begun.insert((series.key.subject.clone(), row.position));
            }
            lasted = lasts;
            *(if row.score.is_some() { &mut scored } else { &mut unscored }) += 1;
        }
    }
    println!("{scored} scored, {unscored} unscored, {} anomalies", begun.len());
    assert!(scored > 100 && unscored > 100 && begun.len() > 5, "too little to show anything");
    assert_eq!(anomalies(&log, "far")?, begun);
    Ok(())
}

/// A sample is seen with those before it, also after a restart.
async fn windows_reach_back(cornjacket: &Cornjacket, server: &Inside) -> anyhow::Result<()> {
    let send = async |values: std::ops::RangeInclusive<u8>| {
        let mut token = String::new();
        for value in values {
            let event = reading("steady", &format!("steady-{value}"), value.into());
            token = cornjacket.append(event).await?.consistency_token;
        }
        anyhow::Ok(token)
    };
    let process = cornjacket.start().await?;
    let token = send(1..=5).await?;
    for window in [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 2.0], [2.0, 3.0, 4.0, 5.0]] {
        let what = format!("the server is asked for {window:?}");
        wait::until(SOON, &what, async || server.was_asked_for(&window)).await?;
    }
    // All of it is stored, for those who remember nothing.
    scores(cornjacket, "steady", "far", &token).await?;
    stop(process).await?;
    let process = cornjacket.start().await?;
    send(6..=6).await?;
    let what = "the server is asked for what was before the restart";
    wait::until(SOON, what, async || server.was_asked_for(&[3.0, 4.0, 5.0, 6.0])).await?;
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_server_in_trouble_is_nobody_elses_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let mut server = Inside::start().await?;
    trouble(&cornjacket, &mut server).await?;
    check(&format!("sqlite://{}/cornjacket.db", folder.path().display())).await?;
    windows_reach_back(&cornjacket, &server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_server_in_trouble_is_nobody_elses_on_postgres_and_kafka() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let cornjacket = full_stack.cornjacket(&[])?;
    let mut server = Inside::start().await?;
    trouble(&cornjacket, &mut server).await?;
    check(&full_stack.database).await?;
    windows_reach_back(&cornjacket, &server).await
}

/// The same of the service in `deploy/model-python`; the windows that it was shown only it knows.
#[tokio::test(flavor = "multi_thread")]
async fn the_python_service_in_trouble_is_nobody_elses() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let mut server = Python::start().await?;
    trouble(&cornjacket, &mut server).await?;
    check(&format!("sqlite://{}/cornjacket.db", folder.path().display())).await
}
