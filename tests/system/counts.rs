//! Events that the settings name are counted: too many failed logins are found like anything that is measured, and every count is
//! that of the log, whatever happens to the process.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::{Clock, RollupStep, Sample, SystemClock, Timestamp, Topic};
use cornjacket_proto::admin::{BacktestRequest, ModelMode};
use cornjacket_proto::events::Event;
use cornjacket_proto::query::{
    Aggregation, GetForecastRequest, ListAnomaliesRequest, QuerySeriesRequest, ScoreSeriesRequest, SeriesKey,
};
use cornjacket_testkit::wait;
use serde_json::json;
use tonic::Code;

use super::anomalies::{anomalies, detail, kill_while_sending, register};
use super::backtest::{backtest, scored};
use super::cornjacket::{Cornjacket, stop, token};
use super::events::{reading, user_action};
use super::expected::{Expected, until_read_by};
use super::feedback::{false_alarm, until_heard};
use super::full_stack::{FullStack, open, read_log};
use super::http::ask;
use super::load::{Random, long, send_all};

const FAILED: &str = "security.login_failed";
const METRIC: &str = "events.security.login_failed";
const COUNT: (&str, &str) =
    ("inference.count_events", r#"["security.login_failed", "user.action", "sensor.alarm"]"#);
const COUNTED: [&str; 3] = [FAILED, "user.action", "sensor.alarm"];
const SOON: Duration = Duration::from_secs(30);
const AT_ONCE: Duration = Duration::from_millis(1);

fn failed_login(user: &str, id: &str, time: Timestamp) -> Event {
    Event {
        r#type: FAILED.into(),
        event_time: Some(time.to_proto()),
        payload: None,
        ..reading(user, id, 0.0)
    }
}

/// Somebody who tries passwords, over HTTP.
struct Guesser<'a> {
    cornjacket: &'a Cornjacket,
    minute: Timestamp,
}

impl Guesser<'_> {
    /// Fails so often within a minute; the last receipt's token.
    async fn fails(&self, minute: u32, times: u32) -> anyhow::Result<String> {
        let bearer = format!("Bearer {}", token()?);
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        let mut last = String::new();
        for time in 1..=times {
            let when = self.minute + Duration::from_secs((60 * minute + time).into());
            let event = json!({
                "id": format!("{minute}-{time}"), "source": "site", "type": FAILED, "subject": "ann",
                "eventTime": when.to_proto().to_string(),
            });
            let answer =
                ask(self.cornjacket.gateway, "POST /api/v1/ingest/events", &headers, event.to_string())
                    .await?;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let token = answer.json()?["receipt"]["consistencyToken"].as_str().map(str::to_owned);
            last = token.with_context(|| answer.text())?;
        }
        Ok(last)
    }
}

/// Waits until there are so many anomalies of a model about ann; the newest.
async fn found(cornjacket: &Cornjacket, model: &str, count: usize) -> anyhow::Result<Event> {
    let request = ListAnomaliesRequest {
        subject: "ann".into(),
        model: model.into(),
        ..ListAnomaliesRequest::default()
    };
    let found = wait::until_some(SOON, "one more anomaly", async || {
        anomalies(cornjacket, request.clone()).await.ok().filter(|found| found.len() >= count)
    });
    let mut found = found.await.with_context(|| format!("{count} anomalies of {model}"))?;
    assert_eq!(found.len(), count, "of {model}");
    Ok(found.remove(0))
}

/// What a series of counts is asked for is answered as for any other, and includes what was written.
async fn the_series_is_like_any_other(cornjacket: &Cornjacket, written: String) -> anyhow::Result<()> {
    assert_eq!(counts(cornjacket, written).await?, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let minutes = QuerySeriesRequest {
        series: vec![SeriesKey { subject: "ann".into(), metric: METRIC.into() }],
        step: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        aggregations: vec![Aggregation::Max.into(), Aggregation::Count.into()],
        ..QuerySeriesRequest::default()
    };
    let answer = cornjacket.query().await?.query_series(minutes).await?.into_inner();
    assert_eq!(answer.series[0].unit, "events");
    let buckets: Vec<_> = answer.series[0].buckets.iter().filter(|bucket| bucket.count > 0).collect();
    let [minute] = buckets.as_slice() else { anyhow::bail!("one minute has events: {buckets:?}") };
    assert_eq!((minute.max, minute.count), (Some(6.0), 6));
    Ok(())
}

/// What was sent is found again, with the words that were heard; on demand there are none.
async fn what_was_sent_is_found_again(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let request = BacktestRequest { model: "guesses".into(), version: 1, ..BacktestRequest::default() };
    let result = backtest(cornjacket, request).await?.result.context("a result")?;
    let difference = result.difference.context("compared")?;
    assert_eq!((difference.both, difference.only_found, difference.only_sent), (2, 0, 0));
    let request = ScoreSeriesRequest {
        subject: "ann".into(),
        metric: METRIC.into(),
        model: "guesses".into(),
        ..ScoreSeriesRequest::default()
    };
    let samples = scored(cornjacket, request).await?;
    let begins: Vec<_> = samples.iter().filter(|sample| sample.severity != 0).map(|one| one.value).collect();
    assert_eq!((samples.len(), begins), (6 + 7 + 8, vec![6.0; 3]));
    Ok(())
}

async fn failed_logins_are_found(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let process = cornjacket.start().await?;
    register(cornjacket, ("guesses", "threshold", r#"{"upper": 5, "scale": 8}"#, ModelMode::Active)).await?;
    let minute = RollupStep::Minute.bucket_of(SystemClock.now() - Duration::from_mins(10));
    let guesser = Guesser { cornjacket, minute };
    let written = guesser.fails(0, 6).await?;
    the_series_is_like_any_other(cornjacket, written).await?;
    let first = found(cornjacket, "guesses", 1).await?;
    let anomaly = detail(&first)?;
    assert_eq!((anomaly.cause_source.as_str(), anomaly.cause_id.as_str()), ("site", "0-6"));
    assert_eq!((anomaly.metric.as_str(), anomaly.value.to_string()), (METRIC, "6".to_owned()));

    // A word raises the bar by a quarter of the scale: seven in a minute are no anomaly any more, eight are.
    cornjacket.admin().await?.report_feedback(false_alarm(&first.id)).await?;
    until_heard(cornjacket, 2).await?;
    guesser.fails(1, 7).await?;
    guesser.fails(2, 8).await?;
    assert_eq!(detail(&found(cornjacket, "guesses", 2).await?)?.cause_id, "2-8");
    what_was_sent_is_found_again(cornjacket).await?;

    // No device measures what is counted.
    let mut false_count = reading("ann", "false", 1.0);
    if let Some(cornjacket_proto::events::event::Payload::SensorReading(reading)) = &mut false_count.payload {
        reading.measurements[0].metric = METRIC.into();
    }
    let refused = cornjacket.append(false_count).await.err().and_then(|error| error.downcast().ok());
    let refused: tonic::Status = refused.context("there would be two writers")?;
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert!(refused.message().contains("sensor_reading.measurements[0].metric"), "{refused:?}");

    // When there are no more of them, that is found too, by the last one.
    register(cornjacket, ("quiet", "silence", r#"{"after_seconds": 3}"#, ModelMode::Active)).await?;
    guesser.fails(3, 1).await?;
    assert_eq!(detail(&found(cornjacket, "quiet", 1).await?)?.cause_id, "3-1");
    how_many_there_will_be(cornjacket).await?;
    stop(process).await
}

/// A forecast is one of how many a minute has.
async fn how_many_there_will_be(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let start = RollupStep::Minute.bucket_of(SystemClock.now() - Duration::from_hours(2));
    let event = |minute: u32, number: u32| {
        let time = start + Duration::from_secs((60 * minute + number).into());
        failed_login("bob", &format!("bob-{minute}-{number}"), time)
    };
    // Three, four and five in turn.
    let mut events: Vec<_> =
        (0..90).flat_map(|minute| (0..3 + minute % 3).map(move |number| event(minute, number))).collect();
    let last = events.pop().context("some")?;
    send_all(cornjacket.clone(), events, AT_ONCE).await?;
    let consistency_token = cornjacket.append(last).await?.consistency_token;
    let request = GetForecastRequest {
        subject: "bob".into(),
        metric: METRIC.into(),
        horizon: Some(prost_types::Duration { seconds: 180, nanos: 0 }),
        step: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        consistency_token,
        ..GetForecastRequest::default()
    };
    let forecast = cornjacket.query().await?.get_forecast(request).await?.into_inner();
    let steps: Vec<f64> = forecast.steps.iter().map(|step| step.value.round()).collect();
    println!("{steps:?} events a minute, {} steps of history", forecast.history_steps);
    assert_eq!(steps.iter().copied().map(f64::to_bits).collect::<BTreeSet<_>>().len(), 3, "{steps:?}");
    assert!(steps.iter().all(|value| (3.0..=5.0).contains(value)), "{steps:?}");
    Ok(())
}

/// The values of ann's counts, once they include what a token promises.
async fn counts(cornjacket: &Cornjacket, written: String) -> anyhow::Result<Vec<f64>> {
    let question = QuerySeriesRequest {
        series: vec![SeriesKey { subject: "ann".into(), metric: METRIC.into() }],
        consistency_token: written,
        ..QuerySeriesRequest::default()
    };
    let answer = cornjacket.query().await?.query_series(question).await?.into_inner();
    Ok(answer.series.iter().flat_map(|series| &series.samples).map(|sample| sample.value).collect())
}

/// What was on a topic that nobody read is counted when somebody does; what is not counted on one that is read is neither counted later
/// nor silent.
async fn counting_is_switched(off: &Cornjacket) -> anyhow::Result<()> {
    // By the same doors, so that silence counts at once.
    let counting = |types: &str| off.clone().env("CORNJACKET__INFERENCE__COUNT_EVENTS", types);
    let (on, other) = (&counting(COUNT.1), &counting(r#"["security.other"]"#));
    let now = SystemClock.now();
    let fails = async |cornjacket: &Cornjacket, id: &str| {
        anyhow::Ok(cornjacket.append(failed_login("ann", id, now)).await?.consistency_token)
    };
    let process = off.start().await?;
    register(off, ("quiet", "silence", r#"{"after_seconds": 4}"#, ModelMode::Active)).await?;
    fails(off, "1").await?;
    let before = fails(off, "2").await?;
    assert!(counts(off, before.clone()).await?.is_empty(), "nothing is waited for that will not be");
    stop(process).await?;

    let process = on.start().await?;
    assert_eq!(counts(on, before).await?, [1.0, 2.0], "what came before is on a topic that was not read");
    assert_eq!(counts(on, fails(on, "3").await?).await?, [1.0, 2.0, 3.0]);
    stop(process).await?;

    let process = other.start().await?;
    fails(other, "4").await?;
    let quiet = ListAnomaliesRequest { model: "quiet".into(), ..ListAnomaliesRequest::default() };
    let until = tokio::time::Instant::now() + LONG_ENOUGH;
    wait::until(SOON, "somebody would be accused", async || tokio::time::Instant::now() > until).await?;
    assert_eq!(anomalies(other, quiet).await?, [], "nobody knows whether they are silent");
    stop(process).await?;

    let process = on.start().await?;
    assert_eq!(counts(on, fails(on, "5").await?).await?, [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(detail(&found(on, "quiet", 1).await?)?.cause_id, "5");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_is_switched_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    counting_is_switched(&Cornjacket::new(&[("store.url", &url), SHORT_GRACE])?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_is_switched_on_postgres_and_kafka() -> anyhow::Result<()> {
    counting_is_switched(&FullStack::shared().await?.cornjacket(&[SHORT_GRACE])?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_counted_is_refused_at_start() -> anyhow::Result<()> {
    for (types, said) in [
        (r#"["security.login_failed", "security.login_failed"]"#, "is there twice"),
        (r#"["security.*"]"#, "is no type"),
        (r#"["ai.anomaly_detected"]"#, "cannot be counted"),
    ] {
        let told = Cornjacket::new(&[("inference.count_events", types)])?.refuse().await?;
        assert!(told.contains("inference.count_events") && told.contains(said), "{types}: {told}");
    }
    Ok(())
}

/// By then a silence of four seconds must have been found: the grace, the silence, and looks in between.
const LONG_ENOUGH: Duration = Duration::from_secs(12);
const SHORT_GRACE: (&str, &str) = ("inference.reconnect_seconds", "1");

#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_are_found_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    failed_logins_are_found(&Cornjacket::new(&[("store.url", &url), COUNT, SHORT_GRACE])?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_logins_are_found_on_postgres_and_kafka() -> anyhow::Result<()> {
    failed_logins_are_found(&FullStack::shared().await?.cornjacket(&[COUNT, SHORT_GRACE])?).await
}

/// Of eight subjects, over ten minutes; one in twenty is late.
fn events(random: &mut Random, count: u64) -> Vec<Event> {
    let start = SystemClock.now() - Duration::from_hours(1);
    let event = |number: u64| {
        let late = if random.within(0..20) == 0 { random.within(0..90) } else { 0 };
        let time = start + Duration::from_millis(number * 600_000 / count) - Duration::from_secs(late);
        let (subject, id) = (format!("user-{}", random.within(0..8)), number.to_string());
        let event = match random.within(0..5) {
            0 => reading(&subject, &id, 20.0),
            1 => Event { r#type: "security.login".into(), ..failed_login(&subject, &id, time) },
            2 => Event { r#type: "sensor.alarm".into(), ..failed_login(&subject, &id, time) },
            3 => user_action(&subject, &id, "login"),
            _ => failed_login(&subject, &id, time),
        };
        Event { event_time: Some(time.to_proto()), ..event }
    };
    (0..count).map(event).collect()
}

/// Kills whoever counts, again and again, while events come.
async fn kill(cornjacket: &Cornjacket, kills: u64) -> anyhow::Result<()> {
    let mut random = Random::seeded();
    let process = cornjacket.start().await?;
    register(cornjacket, ("often", "threshold", r#"{"upper": 5}"#, ModelMode::Active)).await?;
    let events = events(&mut random, if long() { 20_000 } else { 4_000 });
    kill_while_sending(cornjacket, process, kills, (random, events)).await
}

/// Samples that are too many, and none of those before them of this minute was: what the threshold finds. What is late it does
/// not see.
fn too_many(samples: &[Sample]) -> Vec<u64> {
    let (mut found, mut last, mut was_over) = (Vec::new(), None, false);
    for sample in samples {
        if last.is_some_and(|last| (sample.time, sample.position) <= last) {
            continue;
        }
        last = Some((sample.time, sample.position));
        let is_over = sample.value > 5.0;
        if is_over && !was_over {
            found.push(sample.position);
        }
        was_over = is_over;
    }
    found
}

async fn compare(database: &str) -> anyhow::Result<()> {
    let (log, store) = (read_log(database).await?, open(database).await?);
    let readers =
        [Topic::SensorEvents, Topic::UserActions, Topic::SystemEvents].map(|topic| ("inference", topic));
    until_read_by(&readers, &store, &log, SOON).await?;
    let expected = Expected::of(&log, |_| true)?.and_counts(&log, &COUNTED)?;
    let of_counts = expected.samples().filter(|(key, _)| key.counts().is_some());
    let due: BTreeSet<u64> = of_counts.flat_map(|(_, samples)| too_many(samples)).collect();
    expected.check(&store).await?;
    let mut found = BTreeSet::new();
    for stored in log.iter().filter(|stored| stored.event_type == "ai.anomaly_detected") {
        let event = stored.decode()?;
        let cause = &detail(&event)?.cause_id;
        let cause = log.iter().find(|of| of.decode().is_ok_and(|of| of.id == *cause)).context("its cause")?;
        if cause.event_type != "sensor.reading" {
            assert!(found.insert(cause.position), "the anomaly of {} is there twice", cause.position);
        }
    }
    println!("{} anomalies of counts", found.len());
    assert!(found.len() > 20, "too few to show anything");
    assert_eq!(found, due);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processors_count_every_event_once_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}/cornjacket.db", folder.path().display());
    kill(&Cornjacket::new(&[("store.url", &url), COUNT])?, if long() { 30 } else { 6 }).await?;
    compare(&url).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_processors_count_every_event_once_on_postgres_and_kafka() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    kill(&full_stack.cornjacket(&[COUNT, ("inference.state_mib", "1")])?, if long() { 30 } else { 6 })
        .await?;
    compare(&full_stack.database).await
}
