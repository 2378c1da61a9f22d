//! With the clock moved on: what is old leaves, what somebody has not read stays, and state stays the fold of the log.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::{Clock, SystemClock};
use cornjacket_proto::admin::{
    ConsumerProgress, PauseConsumerRequest, RebuildProjectionRequest, ResumeConsumerRequest,
};
use cornjacket_proto::events::Event;
use cornjacket_proto::events::system_event::Status;
use cornjacket_proto::ingest::AppendRequest;
use cornjacket_proto::query::{
    GetProjectionRequest, GetProjectionResponse, ListEventsRequest, QuerySeriesRequest, SeriesKey,
};
use cornjacket_testkit::{Process, fresh_database, wait};

use super::cornjacket::{Cornjacket, stop};
use super::events::{reading, system_status, user_action};
use super::full_stack::FullStack;
use super::takeover::metric;

const DEADLINE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_hours(24);
const PROJECTIONS: [&str; 3] = ["device_state", "user_session", "system_status"];
const SUBJECTS: usize = 6;
/// States are shown for long enough that old ones can be compared.
const SETTINGS: (&str, &str) = ("retention.state_days", "60");

/// The event of a subject of each projection.
fn event(projection: &str, subject: usize, round: &str) -> Event {
    let (name, id) = (format!("{projection}-{subject}"), format!("{projection}-{subject}-{round}"));
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    let value = subject as f64;
    match projection {
        "device_state" => reading(&name, &id, value),
        "user_session" => user_action(&name, &id, round),
        _ => system_status(
            &name,
            &id,
            if subject.is_multiple_of(2) { Status::Ok } else { Status::Down },
            round,
        ),
    }
}

/// What was appended last for each projection's subjects: a promise to see it.
type Tokens = BTreeMap<(&'static str, usize), String>;

async fn append(
    cornjacket: &Cornjacket,
    subjects: impl Iterator<Item = usize> + Clone,
    round: &str,
    tokens: &mut Tokens,
) -> anyhow::Result<u64> {
    let mut ingest = cornjacket.ingest().await?;
    let mut last = 0;
    for projection in PROJECTIONS {
        for subject in subjects.clone() {
            let event = Some(event(projection, subject, round));
            let receipt = ingest.append(AppendRequest { event }).await?.into_inner().receipt;
            let receipt = receipt.unwrap_or_default();
            tokens.insert((projection, subject), receipt.consistency_token);
            last = receipt.position;
        }
    }
    Ok(last)
}

/// What is answered of every subject of these projections, once it includes what was appended.
async fn answers(
    cornjacket: &Cornjacket,
    projections: &[&str],
    tokens: &Tokens,
) -> anyhow::Result<Vec<GetProjectionResponse>> {
    let mut query = cornjacket.query().await?;
    let mut answers = Vec::new();
    for ((projection, subject), token) in tokens.iter().filter(|((name, _), _)| projections.contains(name)) {
        let request = GetProjectionRequest {
            projection: (*projection).into(),
            subject: format!("{projection}-{subject}"),
            consistency_token: token.clone(),
        };
        answers.push(query.get_projection(request).await?.into_inner());
    }
    Ok(answers)
}

async fn rebuild(cornjacket: &Cornjacket, projection: &str) -> anyhow::Result<()> {
    let request = RebuildProjectionRequest { projection: projection.into() };
    let mut told = cornjacket.admin().await?.rebuild_projection(request).await?.into_inner();
    let mut live = false;
    while let Some(message) = told.message().await? {
        live = message.live;
    }
    anyhow::ensure!(live, "{projection} went live");
    Ok(())
}

async fn rebuilt_is_served(cornjacket: &Cornjacket, tokens: &Tokens) -> anyhow::Result<()> {
    let served = answers(cornjacket, &PROJECTIONS, tokens).await?;
    assert_eq!(served.len(), tokens.len());
    for projection in PROJECTIONS {
        rebuild(cornjacket, projection).await?;
    }
    assert_eq!(answers(cornjacket, &PROJECTIONS, tokens).await?, served);
    Ok(())
}

/// Starts it, and lets it look once at what is old.
async fn start(cornjacket: &Cornjacket) -> anyhow::Result<Process> {
    let process = cornjacket.start().await?;
    let looked = wait::until(DEADLINE, "old days are looked at", async || {
        metric(cornjacket.ops, "cornjacket_retention_passes_total").await >= 1.0
    });
    looked.await.with_context(|| process.log())?;
    Ok(process)
}

async fn events(cornjacket: &Cornjacket, event_type: &str) -> anyhow::Result<Vec<Event>> {
    let request = ListEventsRequest { r#type: event_type.into(), page_size: 1_000, ..Default::default() };
    Ok(cornjacket.query().await?.list_events(request).await?.into_inner().events)
}

async fn begins_at(cornjacket: &Cornjacket) -> anyhow::Result<u64> {
    Ok(events(cornjacket, "").await?.first().map_or(0, |event| event.position))
}

async fn user_session(cornjacket: &Cornjacket) -> anyhow::Result<Vec<ConsumerProgress>> {
    Ok(cornjacket.consumers().await?.into_iter().filter(|one| one.consumer == "user_session").collect())
}

async fn is_in_state(cornjacket: &Cornjacket, state: &str) -> anyhow::Result<()> {
    let mut seen = Ok(Vec::new());
    let is_there = wait::until(DEADLINE, state, async || {
        seen = user_session(cornjacket).await;
        seen.as_ref().is_ok_and(|all| all.iter().all(|one| one.state == state))
    });
    is_there.await.with_context(|| format!("{seen:?}"))
}

/// Today's samples of the first device.
async fn samples(cornjacket: &Cornjacket, token: &str) -> anyhow::Result<usize> {
    let now = SystemClock.now();
    let request = QuerySeriesRequest {
        series: vec![SeriesKey { subject: "device_state-0".into(), metric: "temperature".into() }],
        start_time: Some((now - DAY).to_proto()),
        end_time: Some((now + DAY).to_proto()),
        consistency_token: token.into(),
        ..QuerySeriesRequest::default()
    };
    let answer = cornjacket.query().await?.query_series(request).await?.into_inner();
    Ok(answer.series.iter().map(|series| series.samples.len()).sum())
}

/// Whether those whom no token waits for are as far as those who fold: who thinks about samples, and who acts on everything.
fn others_are_as_far(consumers: &[ConsumerProgress], last_action: u64) -> bool {
    let places = |name: &str, topic: &str| -> BTreeMap<u32, u64> {
        let own = consumers.iter().filter(|one| one.consumer == name && one.topic == topic);
        own.map(|one| (one.partition, one.last_position)).collect()
    };
    let as_far = |(name, other, topic): (&str, &str, &str)| places(name, topic) == places(other, topic);
    let pairs = [
        ("inference", "device_state", "sensor-events"),
        ("remote", "device_state", "sensor-events"),
        ("actions", "device_state", "sensor-events"),
        ("actions", "system_status", "system-events"),
    ];
    // Nobody else reads what users do, for now.
    let acted = places("actions", "user-actions").into_values().max();
    pairs.into_iter().all(as_far) && acted == Some(last_action)
}

/// Today: everybody has read everything but one consumer, which is paused. The first position that it has not read, and
/// the last one.
async fn one_stays_behind(cornjacket: &Cornjacket, tokens: &mut Tokens) -> anyhow::Result<(u64, u64)> {
    let process = start(cornjacket).await?;
    append(cornjacket, 0..SUBJECTS, "login", tokens).await?;
    answers(cornjacket, &PROJECTIONS, tokens).await?;
    let mut admin = cornjacket.admin().await?;
    admin.pause_consumer(PauseConsumerRequest { consumer: "user_session".into() }).await?;
    is_in_state(cornjacket, "paused").await?;
    // One that is new, too: nobody has ever read its partition.
    append(cornjacket, 0..=SUBJECTS, "look", tokens).await?;
    let unread = events(cornjacket, "user.action").await?.iter().map(|event| event.position).nth(SUBJECTS);
    let last = append(cornjacket, 0..=SUBJECTS, "leave", tokens).await?;
    answers(cornjacket, &["device_state", "system_status"], tokens).await?;
    assert_eq!(samples(cornjacket, &tokens[&("device_state", 0)]).await?, 3);
    let left = events(cornjacket, "user.action").await?.last().map_or(0, |event| event.position);
    wait::until(DEADLINE, "everybody else has read everything", async || {
        cornjacket.consumers().await.is_ok_and(|all| others_are_as_far(&all, left))
    })
    .await?;
    stop(process).await?;
    Ok((unread.context("there is one")?, last))
}

/// With the clock moved 8 days on: served and rebuilt state are equal, and nothing unread was dropped.
async fn eight_days(cornjacket: Cornjacket) -> anyhow::Result<()> {
    let mut tokens = Tokens::new();
    let (unread, last) = one_stays_behind(&cornjacket, &mut tokens).await?;
    let later = cornjacket.days_ahead(8).await?;

    let process = start(&later).await?;
    assert!(begins_at(&later).await? <= unread, "user_session has not read it");
    let mut admin = later.admin().await?;
    admin.resume_consumer(ResumeConsumerRequest { consumer: "user_session".into() }).await?;
    answers(&later, &PROJECTIONS, &tokens).await?;
    // Some go on, and the others have only what is old.
    append(&later, (0..SUBJECTS).step_by(2), "later", &mut tokens).await?;
    rebuilt_is_served(&later, &tokens).await?;
    let served = answers(&later, &PROJECTIONS, &tokens).await?;
    assert_eq!(samples(&later, &tokens[&("device_state", 0)]).await?, 0, "they are too old");
    stop(process).await?;

    let process = start(&later).await?;
    assert_eq!(begins_at(&later).await?, last + 1, "everybody has read it");
    assert!(events(&later, "system.consumer_gap").await?.is_empty());
    assert_eq!(answers(&later, &PROJECTIONS, &tokens).await?, served);
    rebuilt_is_served(&later, &tokens).await?;
    append(&later, 0..SUBJECTS, "at last", &mut tokens).await?;
    rebuilt_is_served(&later, &tokens).await?;
    stop(process).await
}

/// With the clock moved 15 days on: what one has not read for twice the retention is dropped, and everybody is told.
async fn fifteen_days(cornjacket: Cornjacket) -> anyhow::Result<()> {
    let mut tokens = Tokens::new();
    let (_, last) = one_stays_behind(&cornjacket, &mut tokens).await?;
    let later = cornjacket.days_ahead(15).await?;
    let mut said = Vec::new();
    for _ in 0..2 {
        let process = start(&later).await?;
        assert_eq!(begins_at(&later).await?, last + 1);
        let gaps = events(&later, "system.consumer_gap").await?;
        assert!(!gaps.is_empty());
        for gap in &gaps {
            assert_eq!((gap.source.as_str(), gap.subject.as_str()), ("cornjacket/retention", "user_session"));
        }
        let listed = user_session(&later).await?;
        let mut with_gap = listed.iter().filter(|one| one.state == "gap");
        assert_eq!(with_gap.clone().count(), gaps.len(), "{listed:?}");
        let says = "were dropped before it read them: rebuild";
        assert!(with_gap.all(|one| one.reason.contains(says)), "{listed:?}");
        said.push(gaps);
        stop(process).await?;
    }
    assert_eq!(said[0], said[1], "once");

    let process = start(&later).await?;
    rebuild(&later, "user_session").await?;
    is_in_state(&later, "paused").await.with_context(|| process.log())?;
    let mut admin = later.admin().await?;
    admin.resume_consumer(ResumeConsumerRequest { consumer: "user_session".into() }).await?;
    append(&later, 0..SUBJECTS, "later", &mut tokens).await?;
    // The one that was new then is not known: it was dropped, unless the bus still has it.
    tokens.retain(|(projection, subject), _| *projection != "user_session" || *subject < SUBJECTS);
    rebuilt_is_served(&later, &tokens).await?;
    stop(process).await
}

fn embedded(folder: &std::path::Path) -> anyhow::Result<Cornjacket> {
    let url = format!("sqlite://{}", folder.join("cornjacket.db").display());
    Cornjacket::new(&[("store.url", &url), SETTINGS])
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_days_later_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    eight_days(embedded(folder.path())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_days_later_on_postgres_alone() -> anyhow::Result<()> {
    let database = fresh_database().await?;
    eight_days(Cornjacket::new(&[("store.url", &database), SETTINGS])?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_days_later_on_postgres_and_kafka() -> anyhow::Result<()> {
    eight_days(FullStack::shared().await?.cornjacket(&[SETTINGS])?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifteen_days_later_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    fifteen_days(embedded(folder.path())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifteen_days_later_on_postgres_and_kafka() -> anyhow::Result<()> {
    fifteen_days(FullStack::shared().await?.cornjacket(&[SETTINGS])?).await
}
