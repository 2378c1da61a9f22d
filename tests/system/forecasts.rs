//! What series will be can be asked for, and limits that they will cross are events: before they do, and once.

use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::{Clock, RollupStep, SystemClock, Timestamp};
use cornjacket_proto::events::BreachExpected;
use cornjacket_proto::events::Event;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::query::{GetForecastRequest, GetForecastResponse, ListEventsRequest};
use cornjacket_testkit::wait;
use tonic::{Code, Status};

use super::cornjacket::{Cornjacket, http_get, operator, stop};
use super::events::reading;
use super::load::{Random, send_all};

const MINUTE: Duration = Duration::from_mins(1);
const AT_ONCE: Duration = Duration::from_millis(1);
const DEADLINE: Duration = Duration::from_secs(30);
/// A process that was killed looks ahead, by its lease, for another half minute.
const LEASE_AND_MORE: Duration = Duration::from_mins(2);

/// About a standard normal variable.
fn noise(random: &mut Random) -> f64 {
    let uniform = |random: &mut Random| f64::from(u32::try_from(random.within(0..1_000)).unwrap_or(0)) / 1e3;
    (0..12).map(|_| uniform(random)).sum::<f64>() - 6.0
}

fn series_of(device: &str, start: Timestamp, values: &[f64]) -> Vec<Event> {
    let event = |(number, value): (u32, &f64)| {
        let event = reading(device, &format!("{device}-{number}"), *value);
        Event { event_time: Some((start + MINUTE * number).to_proto()), ..event }
    };
    (0..).zip(values).map(event).collect()
}

#[allow(clippy::unnecessary_wraps, reason = "messages have them so")]
fn minutes(count: u32) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: i64::from(count) * 60, nanos: 0 })
}

fn question(device: &str, horizon: u32) -> GetForecastRequest {
    GetForecastRequest {
        subject: device.into(),
        metric: "temperature".into(),
        horizon: minutes(horizon),
        ..GetForecastRequest::default()
    }
}

async fn ask(cornjacket: &Cornjacket, request: GetForecastRequest) -> Result<GetForecastResponse, Status> {
    let mut query = cornjacket.query().await.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(query.get_forecast(request).await?.into_inner())
}

/// Hours of a season of twelve minutes about a level that wanders a little.
fn seasonal(random: &mut Random, count: usize) -> Vec<f64> {
    let shape: Vec<f64> = (0..12).map(|_| 10.0 * noise(random)).collect();
    let mut level = 100.0;
    (0..count)
        .map(|step| {
            level += 0.05 * noise(random);
            level + shape[step % 12] + noise(random)
        })
        .collect()
}

/// Intervals cover what was held out, and errors are no more than those of repeating the last season.
async fn forecasts_hold(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    const HISTORY: usize = 240;
    const HORIZON: u32 = 24;
    let mut random = Random::seeded();
    let start = RollupStep::Minute.bucket_of(SystemClock.now() - Duration::from_hours(6));
    let after = start + MINUTE * u32::try_from(HISTORY)?;
    let (mut covered, mut all, mut error, mut naive) = (0_u32, 0_u32, 0.0, 0.0);
    for number in 0..8 {
        let device = format!("pump-{number}");
        let values = seasonal(&mut random, HISTORY + HORIZON as usize);
        let (history, future) = values.split_at(HISTORY);
        let mut events = series_of(&device, start, history);
        let last = events.pop().context("a history")?;
        send_all(cornjacket.clone(), events, AT_ONCE).await?;
        let consistency_token = cornjacket.append(last).await?.consistency_token;
        let request = GetForecastRequest { consistency_token, ..question(&device, HORIZON) };
        let forecast = ask(cornjacket, request).await?;
        assert_eq!(
            (forecast.unit.as_str(), forecast.step, forecast.season),
            ("Cel", minutes(1), minutes(12))
        );
        assert_eq!((forecast.history_steps, forecast.filled_steps, forecast.origins), (240, 0, 20));
        assert_eq!(forecast.steps.len(), future.len());
        assert_eq!(forecast.steps[0].time, Some(after.to_proto()));
        assert!(forecast.mase.is_some_and(|mase| mase <= 1.2) && forecast.mae > 0.0, "{forecast:?}");
        for (index, (step, value)) in forecast.steps.iter().zip(future).enumerate() {
            let [half, most] = step.intervals.as_slice() else { anyhow::bail!("two levels: {step:?}") };
            assert!(half.lower >= most.lower && half.upper <= most.upper && most.level > half.level);
            covered += u32::from((most.lower..=most.upper).contains(value));
            all += 1;
            error += (step.value - value).abs();
            naive += (history[HISTORY - 12 + index % 12] - value).abs();
        }
    }
    let coverage = f64::from(covered) / f64::from(all);
    println!("coverage {coverage:.3} at 0.9, error {:.3} of seasonal naive's", error / naive);
    assert!((0.8..=0.98).contains(&coverage), "{coverage}");
    assert!(error <= naive, "{error} above {naive}");
    steps_may_be_longer_and_shorter(cornjacket).await
}

/// From hours, and from samples of which only every other step has one.
async fn steps_may_be_longer_and_shorter(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let half = prost_types::Duration { seconds: 30, nanos: 0 };
    let shorter = GetForecastRequest { step: Some(half), levels: vec![0.8], ..question("pump-0", 6) };
    let shorter = ask(cornjacket, shorter).await?;
    assert_eq!((shorter.steps.len(), shorter.steps[0].intervals.len()), (12, 1));
    assert_eq!((shorter.history_steps, shorter.filled_steps), (479, 239));
    let longer = GetForecastRequest { step: minutes(4), ..question("pump-0", 12) };
    let longer = ask(cornjacket, longer).await?;
    assert_eq!((longer.steps.len(), longer.season, longer.filled_steps), (3, minutes(12), 0));
    Ok(())
}

/// What cannot be answered says which field is at fault, or what is missing.
async fn bad_questions_are_named(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let of = |change: &dyn Fn(&mut GetForecastRequest)| {
        let mut request = question("pump-0", 24);
        change(&mut request);
        request
    };
    for (request, field) in [
        (of(&|it| it.subject.clear()), "subject"),
        (of(&|it| it.metric = "a\0".into()), "metric"),
        (of(&|it| it.horizon = None), "horizon"),
        (of(&|it| it.horizon = minutes(0)), "horizon"),
        (of(&|it| (it.horizon, it.step) = (minutes(501), minutes(1))), "horizon"),
        (of(&|it| it.step = Some(prost_types::Duration { seconds: -1, nanos: 0 })), "step"),
        (of(&|it| it.step = Some(prost_types::Duration { seconds: 0, nanos: 900 })), "step"),
        (of(&|it| it.levels = vec![0.5, 1.5]), "levels[1]"),
        (of(&|it| it.consistency_token = "x".into()), "consistency_token"),
    ] {
        let refused = ask(cornjacket, request).await.expect_err(field);
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}: {refused:?}");
        assert_eq!(refused.message().split(' ').next(), Some(field), "{refused:?}");
    }
    let unknown = ask(cornjacket, question("nobody", 24)).await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound, "{unknown:?}");
    let start = SystemClock.now() - MINUTE * 30;
    let mut few = series_of("young", start, &[1.0; 20]);
    let last = few.pop().context("some")?;
    send_all(cornjacket.clone(), few, AT_ONCE).await?;
    let consistency_token = cornjacket.append(last).await?.consistency_token;
    let young = GetForecastRequest { consistency_token, ..question("young", 24) };
    let young = ask(cornjacket, young).await.expect_err("too short");
    assert_eq!(young.code(), Code::FailedPrecondition, "{young:?}");
    assert!(young.message().contains("20 steps") && young.message().contains("48 are needed"), "{young:?}");
    let far = GetForecastRequest { step: minutes(1), ..question("pump-0", 450) };
    let far = ask(cornjacket, far).await.expect_err("too far");
    assert_eq!(far.code(), Code::FailedPrecondition, "{far:?}");
    assert!(far.message().starts_with("horizon: needs 483 steps of 60s of history"), "{far:?}");
    let day = Some(prost_types::Duration { seconds: 86_400, nanos: 0 });
    let day = GetForecastRequest { step: day, horizon: day, ..question("young", 24) };
    let day = ask(cornjacket, day).await.expect_err("no day is over");
    assert!(day.message().starts_with("step: none of 86400s is over"), "{day:?}");
    Ok(())
}

/// The verb prints a line for each step.
async fn the_verb_prints_it(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let server = format!("127.0.0.1:{}", cornjacket.query);
    let verb = ["forecast", "pump-0", "temperature", "--server", &server, "--horizon", "10m"];
    let printed = operator()?.args(verb).args(["--level", "0.9"]).output(DEADLINE).await?;
    assert!(printed.starts_with("pump-0 temperature (Cel): ") && printed.contains("season 12m"), "{printed}");
    assert_eq!((printed.lines().count(), printed.contains("90 %")), (13, true), "{printed}");
    let json = operator()?.args(verb).arg("--json").output(DEADLINE).await?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    assert_eq!(json["steps"].as_array().map(Vec::len), Some(10), "{json}");
    Ok(())
}

async fn all(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let process = cornjacket.start().await?;
    forecasts_hold(cornjacket).await?;
    bad_questions_are_named(cornjacket).await?;
    the_verb_prints_it(cornjacket).await?;
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn forecasts_can_be_asked_for_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    all(&Cornjacket::embedded(folder.path())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn forecasts_can_be_asked_for_on_postgres() -> anyhow::Result<()> {
    let url = cornjacket_testkit::fresh_database().await?;
    all(&Cornjacket::new(&[("store.url", &url)])?).await
}

/// A line that crosses a hundred in its two hundredth minute.
const RULES: &str = r#"[{name = "high-soon", subjects = "tank-*", upper = 100.0, horizon_seconds = 1800, step_seconds = 60,
    every_seconds = 1}]"#;
const CROSSES: u32 = 200;

/// What was said of breaches to come, by the id of its event.
async fn expected(cornjacket: &Cornjacket) -> anyhow::Result<Vec<(String, BreachExpected)>> {
    let request = ListEventsRequest { r#type: "ai.breach_expected".into(), ..ListEventsRequest::default() };
    let events = cornjacket.query().await?.list_events(request).await?.into_inner().events;
    let breach = |event: Event| match event.payload {
        Some(Payload::BreachExpected(breach)) => Ok((event.id, breach)),
        other => anyhow::bail!("no breach: {other:?}"),
    };
    events.into_iter().map(breach).collect()
}

/// Waits until a process has forecast something for the rule more often than that: how often.
async fn until_looked(cornjacket: &Cornjacket, more_than: u64) -> anyhow::Result<u64> {
    const MADE: &str = "cornjacket_outlooks_total{rule=\"high-soon\",outcome=\"made\"} ";
    wait::until_some(LEASE_AND_MORE, "it has looked ahead", async || {
        let metrics = http_get(cornjacket.ops, "/metrics").await.ok()?;
        let count = metrics.lines().find_map(|line| line.strip_prefix(MADE)?.trim().parse().ok())?;
        Some(count).filter(|count| *count > more_than)
    })
    .await
}

/// A series drifts towards a limit: that it will cross it is an event before it does, and one, however often the process is killed.
async fn a_breach_is_expected_once(cornjacket: &Cornjacket, kills: u32) -> anyhow::Result<()> {
    let mut random = Random::seeded();
    let start = RollupStep::Minute.bucket_of(SystemClock.now() - Duration::from_hours(6));
    let values: Vec<f64> = (0..CROSSES + 10).map(|step| f64::from(step) * 0.5 + noise(&mut random)).collect();
    let mut events = series_of("tank-1", start, &values);
    let mut later = events.split_off(CROSSES as usize - 25);
    let mut process = cornjacket.start().await?;
    send_all(cornjacket.clone(), events, AT_ONCE).await?;
    for _ in 0..kills {
        // The instant is the point here, not that anything has happened by then.
        tokio::time::sleep(Duration::from_millis(random.within(0..1_500))).await;
        process.kill9().await?;
        process = cornjacket.start().await?;
        cornjacket.append(later.remove(0)).await?;
    }
    let said = wait::until_some(LEASE_AND_MORE, "the breach is expected", async || {
        expected(cornjacket).await.ok().filter(|said| !said.is_empty())
    })
    .await?;
    let (id, breach) = &said[0];
    let time = |time: &Option<prost_types::Timestamp>| time.as_ref().and_then(Timestamp::from_proto);
    let crosses = start + MINUTE * CROSSES;
    let (last, by) = (time(&breach.last_time).context("last")?, time(&breach.expected_time).context("when")?);
    println!("at {last:?} expected by {by:?}, and it crosses at {crosses:?}: {breach:?}");
    assert!(last < crosses && last < by, "it precedes the breach");
    assert!(by >= crosses - MINUTE * 15 && by <= crosses + MINUTE * 15, "{by:?} is far from {crosses:?}");
    assert!(time(&breach.earliest_time).is_some_and(|earliest| earliest <= by));
    assert!(breach.probability >= 0.5 && breach.limit.total_cmp(&100.0).is_eq() && breach.direction == 1);
    assert_eq!((breach.rule.as_str(), breach.series_subject.as_str()), ("high-soon", "tank-1"));

    // Another process knows that it was said, and goes on looking.
    process.kill9().await?;
    let process = cornjacket.start().await?;
    let last = later.pop().context("some are left")?;
    send_all(cornjacket.clone(), later, AT_ONCE).await?;
    let looked = until_looked(cornjacket, 0).await?;
    cornjacket.append(last).await?;
    until_looked(cornjacket, looked).await?;
    let ids = expected(cornjacket).await?.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids, [id.as_str()]);
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breach_is_expected_before_it_happens_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?.env("CORNJACKET__INFERENCE__FORECASTS", RULES);
    a_breach_is_expected_once(&cornjacket, 8).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_breach_is_expected_before_it_happens_on_postgres() -> anyhow::Result<()> {
    let url = cornjacket_testkit::fresh_database().await?;
    let cornjacket = Cornjacket::new(&[("store.url", &url)])?.env("CORNJACKET__INFERENCE__FORECASTS", RULES);
    a_breach_is_expected_once(&cornjacket, 1).await
}
