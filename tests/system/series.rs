//! What devices measure is there to be asked for, whenever it comes.

use std::time::Duration;

use cornjacket_domain::{Clock, RollupStep, SystemClock, Timestamp};
use cornjacket_proto::events::Event;
use cornjacket_proto::query::{
    Aggregation, Bucket, Fill, GetEventTimelineRequest, ListProjectionsRequest, ListSeriesRequest,
    QuerySeriesRequest, QuerySeriesResponse, Sample, SeriesKey, Stage,
};
use cornjacket_testkit::wait;
use tonic::{Code, Status};

use super::cornjacket::{Cornjacket, operator, stop};
use super::events::reading;
use super::full_stack::FullStack;

const HOUR: Duration = Duration::from_hours(1);
const DEADLINE: Duration = Duration::from_secs(30);

fn at(time: Timestamp, device: &str, id: &str, value: f64) -> Event {
    Event { event_time: Some(time.to_proto()), ..reading(device, id, value) }
}

fn key(subject: &str) -> SeriesKey {
    SeriesKey { subject: subject.into(), metric: "temperature".into() }
}

fn question(subject: &str, start: Timestamp, end: Timestamp) -> QuerySeriesRequest {
    QuerySeriesRequest {
        series: vec![key(subject)],
        start_time: Some(start.to_proto()),
        end_time: Some(end.to_proto()),
        ..QuerySeriesRequest::default()
    }
}

async fn ask(cornjacket: &Cornjacket, request: QuerySeriesRequest) -> Result<QuerySeriesResponse, Status> {
    let mut query = cornjacket.query().await.map_err(|error| Status::unavailable(error.to_string()))?;
    Ok(query.query_series(request).await?.into_inner())
}

async fn buckets(
    cornjacket: &Cornjacket,
    request: &QuerySeriesRequest,
    step: Duration,
    aggregations: &[Aggregation],
) -> anyhow::Result<Vec<Bucket>> {
    let request = QuerySeriesRequest {
        step: Some(step.try_into()?),
        aggregations: aggregations.iter().map(|one| i32::from(*one)).collect(),
        ..request.clone()
    };
    Ok(ask(cornjacket, request).await?.series.remove(0).buckets)
}

async fn samples(cornjacket: &Cornjacket, request: &QuerySeriesRequest) -> anyhow::Result<Vec<Sample>> {
    let mut request = QuerySeriesRequest { page_size: 2, ..request.clone() };
    let mut samples = Vec::new();
    loop {
        let answer = ask(cornjacket, request.clone()).await?;
        samples.extend(answer.series.into_iter().flat_map(|series| series.samples));
        if answer.next_page_token.is_empty() {
            return Ok(samples);
        }
        request.page_token = answer.next_page_token;
    }
}

const SIX: [Aggregation; 6] = [
    Aggregation::Avg,
    Aggregation::Min,
    Aggregation::Max,
    Aggregation::Sum,
    Aggregation::First,
    Aggregation::Last,
];

/// A late sample is in its bucket at once, whether that is read from samples, minutes or hours; one from the future
/// counts as of five minutes ahead; one that is too old is in none.
async fn late_samples_reach_their_buckets(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let yesterday = RollupStep::Hour.bucket_of(now - 24 * HOUR);
    for (number, seconds) in [0_u64, 70, 3_000].into_iter().enumerate() {
        let time = yesterday + Duration::from_secs(seconds);
        cornjacket.append(at(time, "pump-1", &format!("old-{number}"), 10.0)).await?;
    }
    cornjacket.append(at(now, "pump-1", "now", 1.0)).await?;
    let ancient = cornjacket.append(at(now - 8 * 24 * HOUR, "pump-1", "ancient", 1.0)).await?;
    let late = cornjacket.append(at(yesterday + Duration::from_secs(30), "pump-1", "late", 40.0)).await?;
    let again = cornjacket.append(at(yesterday + Duration::from_secs(30), "pump-1", "late", 40.0)).await?;
    assert!(again.duplicate);

    let mut day = question("pump-1", yesterday, yesterday + HOUR);
    day.consistency_token = late.consistency_token;
    let found = samples(cornjacket, &day).await?;
    assert_eq!(found.iter().map(|sample| sample.value).collect::<Vec<_>>(), [10.0, 40.0, 10.0, 10.0]);
    assert_eq!(found[1].position, late.position);
    let minutes = buckets(cornjacket, &day, Duration::from_mins(1), &SIX).await?;
    let hours = buckets(cornjacket, &day, HOUR, &SIX).await?;
    // Odd seconds come from samples, as do percentiles.
    let odd = buckets(cornjacket, &day, Duration::from_secs(45), &SIX).await?;
    let median = buckets(cornjacket, &day, HOUR, &[Aggregation::P50, Aggregation::P90]).await?;
    let first = |buckets: &[Bucket]| (buckets[0].count, buckets[0].sum, buckets[0].max, buckets[0].last);
    assert_eq!(first(&minutes), (2, Some(50.0), Some(40.0), Some(40.0)));
    assert_eq!(first(&odd), (2, Some(50.0), Some(40.0), Some(40.0)));
    assert_eq!(first(&hours), (4, Some(70.0), Some(40.0), Some(10.0)));
    assert_eq!((minutes.len(), hours[0].avg, hours[0].min), (3, Some(17.5), Some(10.0)));
    assert_eq!((median[0].count, median[0].p50), (4, Some(10.0)));
    assert!(median[0].p90.is_some_and(|value| (value - 31.0).abs() < 1e-9));

    let mut long_ago = question("pump-1", now - 9 * 24 * HOUR, now - 7 * 24 * HOUR);
    long_ago.consistency_token = ancient.consistency_token;
    assert!(samples(cornjacket, &long_ago).await?.is_empty());

    // The year 2099 freezes nothing: what comes later is later.
    let future = Timestamp::from_micros(4_070_908_800_000_000);
    cornjacket.append(at(future, "pump-1", "2099", 99.0)).await?;
    let after = cornjacket.append(at(SystemClock.now() + 6 * HOUR / 60, "pump-1", "after", 5.0)).await?;
    let mut soon = question("pump-1", now, now + HOUR);
    soon.consistency_token = after.consistency_token;
    let found = samples(cornjacket, &soon).await?;
    let last: Vec<f64> = found.iter().rev().take(2).map(|sample| sample.value).collect();
    assert_eq!(last, [5.0, 99.0], "both five minutes ahead, in the order in which they came");
    Ok(())
}

async fn questions_are_checked_and_gaps_filled(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let hour = RollupStep::Hour.bucket_of(SystemClock.now() - 5 * HOUR);
    for (id, hours, value) in [("a", 0, 1.0), ("b", 3, 7.0)] {
        let receipt = cornjacket.append(at(hour + HOUR * hours, "pump-2", id, value)).await?;
        // Its partition may not be that of pump-3, and a token is of one.
        let mut included = question("pump-2", hour, hour + 4 * HOUR);
        included.consistency_token = receipt.consistency_token;
        samples(cornjacket, &included).await?;
    }
    let last = cornjacket.append(at(hour + HOUR, "pump-3", "c", 2.0)).await?;
    let both = QuerySeriesRequest {
        series: vec![key("pump-2"), key("pump-3"), key("pump-none")],
        step: Some(HOUR.try_into()?),
        fill: Fill::Linear.into(),
        time_zone: "Asia/Tokyo".into(),
        consistency_token: last.consistency_token.clone(),
        ..question("pump-2", hour, hour + 4 * HOUR)
    };
    let answer = ask(cornjacket, both.clone()).await?;
    let means = |at: usize| answer.series[at].buckets.iter().map(|bucket| bucket.avg).collect::<Vec<_>>();
    assert_eq!(means(0), [1.0, 3.0, 5.0, 7.0].map(Some));
    assert_eq!(means(1), [None, Some(2.0), None, None]);
    assert_eq!((means(2), answer.series[2].unit.as_str()), (vec![None; 4], ""));

    let step = |micros: i64| {
        Some(prost_types::Duration { seconds: 0, nanos: i32::try_from(micros).unwrap_or(0) * 1_000 })
    };
    for (field, bad) in [
        ("series", QuerySeriesRequest { series: vec![], ..both.clone() }),
        ("series[1]", QuerySeriesRequest { series: vec![key("a"), key("a")], ..both.clone() }),
        (
            "series[0].metric",
            QuerySeriesRequest {
                series: vec![SeriesKey { subject: "a".into(), metric: String::new() }],
                ..both.clone()
            },
        ),
        ("time_zone", QuerySeriesRequest { time_zone: "Mars/Olympus".into(), ..both.clone() }),
        ("step", QuerySeriesRequest { step: step(1_000), ..both.clone() }),
        ("step", QuerySeriesRequest { step: step(1), ..both.clone() }),
        ("start_time", QuerySeriesRequest { start_time: both.end_time, ..both.clone() }),
        ("aggregations", QuerySeriesRequest { aggregations: vec![99], ..both.clone() }),
        ("page_size", QuerySeriesRequest { page_size: 1, ..both.clone() }),
        ("fill", QuerySeriesRequest { step: None, time_zone: String::new(), ..both.clone() }),
    ] {
        let refused = ask(cornjacket, bad).await.expect_err(field);
        assert_eq!(refused.code(), Code::InvalidArgument, "{field}: {refused}");
        assert!(refused.message().starts_with(field), "{field}: {refused}");
    }

    let mut query = cornjacket.query().await?;
    let page = ListSeriesRequest {
        page_size: 2,
        consistency_token: last.consistency_token,
        ..ListSeriesRequest::default()
    };
    let first = query.list_series(page.clone()).await?.into_inner();
    let rest = query
        .list_series(ListSeriesRequest { page_token: first.next_page_token, ..page })
        .await?
        .into_inner();
    let names = |listed: &[cornjacket_proto::query::ListedSeries]| {
        listed.iter().map(|one| one.key.clone().unwrap_or_default().subject).collect::<Vec<_>>()
    };
    assert_eq!(
        (names(&first.series), names(&rest.series)),
        (vec!["pump-1".into(), "pump-2".into()], vec!["pump-3".to_owned()])
    );
    assert_eq!(
        (rest.series[0].unit.as_str(), rest.series[0].last.as_ref().map(|last| last.value)),
        ("Cel", Some(2.0))
    );
    let listed = query.list_projections(ListProjectionsRequest {}).await?.into_inner().projections;
    assert_eq!(
        listed.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["device_state", "user_session", "system_status"]
    );
    assert_eq!(listed[0].types, ["sensor.*", "system.device_offline"]);
    Ok(())
}

fn times_follow_one_another(stages: &[Stage]) {
    let time = |stage: &Stage| stage.time.as_ref().and_then(Timestamp::from_proto);
    let time_of = |name: &str| stages.iter().find(|stage| stage.name == name).and_then(time);
    let (accepted, stored) = (time_of("accepted"), time_of("stored"));
    let published = time_of("published").or(stored);
    assert!(accepted.is_some() && accepted <= stored && stored <= published, "{stages:?}");
    let now = SystemClock.now();
    let consumed = |stage: &&Stage| !["accepted", "stored", "published"].contains(&stage.name.as_str());
    for consumer in stages.iter().filter(consumed) {
        assert!(published <= time(consumer) && time(consumer) <= Some(now), "{stages:?}");
    }
}

/// An event's way is over when every consumer of its topic has it.
async fn where_is_my_event(cornjacket: &Cornjacket, stages: &[&str]) -> anyhow::Result<()> {
    let receipt = cornjacket.append(reading("pump-4", "way", 1.0)).await?;
    let request = GetEventTimelineRequest { id: "way".into(), source: "system-test".into() };
    let query = cornjacket.query().await?;
    let done = wait::until_some(DEADLINE, "the event is everywhere", async || {
        let timeline = query.clone().get_event_timeline(request.clone()).await.ok()?.into_inner();
        let known = |stage: &Stage| stage.state == "done" && stage.time.is_some();
        timeline.stages.iter().all(known).then_some(timeline)
    });
    let timeline = done.await?;
    assert_eq!((timeline.position, timeline.topic.as_str()), (receipt.position, "sensor-events"));
    let mut names: Vec<&str> = timeline.stages.iter().map(|stage| stage.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, stages);
    times_follow_one_another(&timeline.stages);
    let none = GetEventTimelineRequest { id: "none".into(), ..request };
    let refused = query.clone().get_event_timeline(none).await.expect_err("not stored");
    assert_eq!(refused.code(), Code::NotFound);
    Ok(())
}

async fn the_operator_is_told_when(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let server = format!("127.0.0.1:{}", cornjacket.query);
    let verb = ["events", "--server", &server, "timeline", "system-test", "way"];
    let told = operator()?.args(verb).output(DEADLINE).await?;
    let line = told.lines().find(|line| line.starts_with("inference")).unwrap_or_default();
    let columns: Vec<&str> = line.split_whitespace().collect();
    assert!(
        matches!(columns[..], [_, "done", time, after, "ms"] if time.ends_with('Z') && after.starts_with('+')),
        "{told}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn series_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    late_samples_reach_their_buckets(&cornjacket).await?;
    questions_are_checked_and_gaps_filled(&cornjacket).await?;
    where_is_my_event(&cornjacket, &["accepted", "actions", "device_state", "inference", "remote", "stored"])
        .await?;
    the_operator_is_told_when(&cornjacket).await?;

    let server = format!("127.0.0.1:{}", cornjacket.query);
    let operator = operator()?;
    let program = |verb: &[&str]| operator.clone().args(verb.iter().copied());
    let listed = program(&["series", "--server", &server]).output(DEADLINE).await?;
    assert!(listed.lines().any(|line| line.starts_with("pump-3") && line.contains("Cel")), "{listed}");
    let plot = program(&["series", "--server", &server, "pump-2", "temperature", "--last", "6h"]);
    let plot = plot.output(DEADLINE).await?;
    assert!(plot.contains('▁') && plot.contains('█') && plot.contains("2 samples"), "{plot}");
    let listed = program(&["projections", "--server", &server]).output(DEADLINE).await?;
    assert!(listed.contains("system_status"), "{listed}");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn series_on_postgres_and_kafka() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    // Questions have a URL of their own, as when there is a replica.
    let cornjacket = full_stack.cornjacket(&[("store.read_url", &full_stack.database)])?;
    let process = cornjacket.start().await?;
    late_samples_reach_their_buckets(&cornjacket).await?;
    questions_are_checked_and_gaps_filled(&cornjacket).await?;
    where_is_my_event(
        &cornjacket,
        &["accepted", "actions", "device_state", "inference", "published", "remote", "stored"],
    )
    .await?;
    stop(process).await
}
