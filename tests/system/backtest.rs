//! What a backtest of the running configuration finds is what was sent, and it leaves nothing behind.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use cornjacket_auth::TokenRequest;
use cornjacket_domain::{Clock, Scope, StoredEvent, SystemClock};
use cornjacket_proto::admin::admin_service_client::AdminServiceClient;
use cornjacket_proto::admin::{BacktestRequest, BacktestResponse, BacktestResult, ListModelsRequest, Model};
use cornjacket_proto::events::AnomalyDetected;
use cornjacket_proto::json::to_struct;
use cornjacket_proto::query::{ScoreSeriesRequest, ScoredSample};
use cornjacket_store::{ModelId, ModelName, SavedState, Score, SeriesFilter, SeriesId};
use tonic::{Code, Status};

use super::anomalies::{ALWAYS, detail, scores};
use super::cornjacket::{AUDIENCE, Cornjacket, minted, operator, stop};
use super::full_stack::{FullStack, open, read_log};
use super::operated::run;

const DEADLINE: Duration = Duration::from_mins(2);

/// The last message of a backtest.
pub(super) async fn backtest(
    cornjacket: &Cornjacket,
    request: BacktestRequest,
) -> Result<BacktestResponse, Status> {
    let mut admin = cornjacket.admin().await.map_err(|error| Status::unavailable(error.to_string()))?;
    last(admin.backtest(request).await?.into_inner()).await
}

async fn last(mut messages: tonic::Streaming<BacktestResponse>) -> Result<BacktestResponse, Status> {
    let mut last = BacktestResponse::default();
    while let Some(message) = messages.message().await? {
        assert!(message.series_done >= last.series_done && last.result.is_none());
        last = message;
    }
    Ok(last)
}

fn of_result(response: BacktestResponse) -> anyhow::Result<BacktestResult> {
    assert_eq!(response.series, response.series_done);
    response.result.context("the last message has the result")
}

fn draft(name: &str, detector: &str, parameters: &str) -> anyhow::Result<BacktestRequest> {
    let parameters = Some(to_struct(parameters)?);
    let draft = Model { name: name.into(), detector: detector.into(), parameters, ..Model::default() };
    Ok(BacktestRequest { draft: Some(draft), limit: 10_000, ..BacktestRequest::default() })
}

/// The anomalies that a version sent, by the ids of their events.
fn sent(log: &[StoredEvent], name: &str, version: u32) -> anyhow::Result<BTreeMap<String, AnomalyDetected>> {
    let mut sent = BTreeMap::new();
    for stored in log.iter().filter(|stored| stored.event_type == "ai.anomaly_detected") {
        let event = stored.decode()?;
        let anomaly = detail(&event)?;
        if (anomaly.model.as_str(), anomaly.model_version.as_str()) == (name, &version.to_string()) {
            sent.insert(event.id.clone(), anomaly.clone());
        }
    }
    Ok(sent)
}

/// The backtest of every version gives what that version sent, and of every one but `quiet`, which finds by waiting.
async fn registered_versions_give_what_they_sent(
    cornjacket: &Cornjacket,
    log: &[StoredEvent],
) -> anyhow::Result<()> {
    let listed = cornjacket.admin().await?.list_models(ListModelsRequest::default()).await?.into_inner();
    assert_eq!(listed.models.len(), 7);
    for Model { name, version, detector, .. } in listed.models {
        let request = BacktestRequest {
            model: name.clone(),
            version,
            limit: 10_000,
            compare_to: name.clone(),
            compare_version: version,
            ..BacktestRequest::default()
        };
        if detector == "silence" {
            let refused = backtest(cornjacket, request).await.expect_err("it finds by waiting");
            assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
            continue;
        }
        let result = of_result(backtest(cornjacket, request).await?)?;
        let sent = sent(log, &name, version)?;
        let as_shadow = result.found_as_shadow;
        println!("{name}/{version}: {} sent, {as_shadow} more as a shadow", sent.len());
        let found = result.findings.iter().filter(|finding| !finding.shadow);
        let found: BTreeMap<_, _> =
            found.map(|one| (one.event_id.clone(), one.anomaly.clone().unwrap_or_default())).collect();
        assert!(found.keys().eq(sent.keys()), "{name}/{version}: the ids are those of what was sent");
        assert!(found == sent, "{name}/{version}: what is said is what was said");
        let difference = result.difference.context("compared")?;
        assert_eq!(difference.compared, [format!("{name}/{version}")]);
        let count = sent.len() as u64;
        assert_eq!((difference.sent, difference.both), (count, count), "{name}/{version}");
        assert_eq!((difference.only_found, difference.only_sent), (as_shadow, 0), "{name}/{version}");
        assert_eq!(result.found, count + as_shadow);
        assert!(result.notes.is_empty(), "{:?}", result.notes);
        let (a_day, in_series): (u64, u64) = (
            result.days.iter().map(|day| day.found).sum(),
            result.series.iter().map(|series| series.found).sum(),
        );
        assert_eq!((a_day, in_series), (result.found, result.found));
        assert!(result.found > 3, "{name}/{version}: {} are too few to show anything", result.found);
        assert!(count == 0 || (name.as_str(), version) != ("jumps", 2), "it only looked on");
    }
    Ok(())
}

/// A draft is compared with what runs now: the active version of its name.
async fn drafts_differ_as_they_should(cornjacket: &Cornjacket, log: &[StoredEvent]) -> anyhow::Result<()> {
    let active = sent(log, "limits", 2)?.len() as u64;
    let lower = of_result(backtest(cornjacket, draft("limits", "threshold", r#"{"upper": 23}"#)?).await?)?;
    let difference = lower.difference.context("compared")?;
    assert_eq!((lower.version, difference.compared.as_slice()), (0, ["limits/2".to_owned()].as_slice()));
    assert!(difference.only_found > 0 && lower.found > active, "{} and {active}", lower.found);
    assert_eq!(
        (difference.both + difference.only_found, difference.both + difference.only_sent),
        (lower.found, active)
    );
    assert_eq!(difference.only_found_examples.len() as u64, difference.only_found);
    assert!(lower.findings.iter().all(|finding| finding.event_id.is_empty()), "a draft sends nothing");
    let never = of_result(backtest(cornjacket, draft("limits", "threshold", r#"{"upper": 1e9}"#)?).await?)?;
    let difference = never.difference.context("compared")?;
    assert_eq!((never.found, difference.only_sent, difference.sent), (0, active, active));
    assert_eq!(difference.only_sent_examples.len() as u64, active);
    // One of another name is compared with all that runs.
    let other = of_result(backtest(cornjacket, draft("", "threshold", r#"{"upper": 1e9}"#)?).await?)?;
    let compared = other.difference.context("compared")?;
    assert_eq!(compared.compared.len(), 5, "{:?}", compared.compared);
    assert!(compared.only_sent > active);
    // A range of time, and series that match.
    let first = lower.findings.first().and_then(|one| one.anomaly.clone()).context("a finding")?;
    let request = BacktestRequest {
        subjects: first.series_subject.clone(),
        metrics: first.metric.clone(),
        end_time: first.sample_time,
        ..draft("limits", "threshold", r#"{"upper": 23}"#)?
    };
    let narrow = backtest(cornjacket, request).await?;
    assert_eq!((narrow.series, narrow.found), (1, 0), "it ends before its first finding");
    Ok(())
}

async fn refusals_name_the_field(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let none = BacktestRequest::default;
    let named = |subjects: &str, metrics: &str| {
        let (subjects, metrics) = (subjects.to_owned(), metrics.to_owned());
        BacktestRequest { model: "limits".into(), version: 1, subjects, metrics, ..none() }
    };
    of_result(backtest(cornjacket, named("nobody-*", "")).await?)?;
    let silent = draft("", "silence", "{}")?;
    let remote = draft("", "remote", r#"{"url": "http://models", "model": "m"}"#)?;
    let wrong = draft("", "threshold", r#"{"upper": "high"}"#)?;
    let both = BacktestRequest { model: "limits".into(), ..draft("", "threshold", r#"{"upper": 1}"#)? };
    for (request, code, field) in [
        (silent, Code::FailedPrecondition, "draft"),
        (remote, Code::FailedPrecondition, "draft"),
        (wrong, Code::InvalidArgument, "draft.parameters.upper"),
        (both, Code::InvalidArgument, "draft"),
        (none(), Code::InvalidArgument, "draft"),
        (BacktestRequest { model: "nobody".into(), ..none() }, Code::NotFound, "nobody"),
        (BacktestRequest { model: "nobody".into(), ..none() }, Code::NotFound, "model: "),
        (BacktestRequest { model: "limits".into(), version: 77, ..none() }, Code::NotFound, "version: "),
        (named("nobody", ""), Code::NotFound, "subjects: "),
        (named("", "nothing"), Code::NotFound, "metrics: "),
        (BacktestRequest { model: "limits".into(), limit: -1, ..none() }, Code::InvalidArgument, "limit"),
    ] {
        let refused = backtest(cornjacket, request).await.expect_err(field);
        assert_eq!(refused.code(), code, "{field}: {refused:?}");
        assert!(refused.message().contains(field), "{field}: {refused:?}");
    }
    Ok(())
}

/// A caller who is limited to one subject hears of that one alone.
async fn limited_callers_see_their_own(cornjacket: &Cornjacket, subject: &str) -> anyhow::Result<()> {
    let mine = TokenRequest::new("somebody", &[Scope::Admin], AUDIENCE);
    let token = minted(&TokenRequest { subjects: Some(vec![subject.to_owned()]), ..mine })?;
    let mut admin = AdminServiceClient::new(cornjacket.channel_with(cornjacket.query, &token).await?);
    let messages = admin.backtest(draft("limits", "threshold", r#"{"upper": 20}"#)?).await?.into_inner();
    let result = of_result(last(messages).await?)?;
    assert!(!result.series.is_empty());
    assert!(result.series.iter().all(|series| series.subject == subject), "{:?}", result.series);
    Ok(())
}

/// On demand a model says what it said, when it sees the same; and pages are cut out of one whole.
async fn scores_on_demand_are_those_that_were_given(
    cornjacket: &Cornjacket,
    Left { scores, models, .. }: &Left,
) -> anyhow::Result<()> {
    let season = models.iter().find(|model| model.name == "season").context("it is registered")?.id;
    let (mut compared, mut late) = (0, 0);
    for ((subject, metric), given) in scores.iter().take(12) {
        let request = ScoreSeriesRequest {
            subject: subject.clone(),
            metric: metric.clone(),
            start_time: Some(ALWAYS.start.to_proto()),
            end_time: Some((SystemClock.now() + Duration::from_hours(1)).to_proto()),
            model: "season".into(),
            ..ScoreSeriesRequest::default()
        };
        let whole = scored(cornjacket, ScoreSeriesRequest { page_size: 10_000, ..request.clone() }).await?;
        let pages = scored(cornjacket, ScoreSeriesRequest { page_size: 7, ..request.clone() }).await?;
        assert_eq!(whole, pages);
        let said = whole.iter().filter(|one| one.score.is_some() || one.severity != 0);
        let said: Vec<_> = said.map(|one| (one.position, one.score, i16::try_from(one.severity))).collect();
        let of = |score: &Score| (score.position, score.score, Ok(score.severity.unwrap_or_default()));
        let given: Vec<_> = given.iter().filter(|score| score.model == season).map(of).collect();
        assert_eq!(said, given, "{subject} {metric}");
        (compared, late) = (compared + said.len(), late + whole.iter().filter(|one| one.late).count());
        let silence = ScoreSeriesRequest { model: String::new(), detector: "silence".into(), ..request };
        assert_eq!(scored(cornjacket, silence).await?.len(), whole.len(), "a draft says its scores, too");
    }
    assert!(compared > 100 && late > 0, "{compared} and {late} late");
    Ok(())
}

pub(super) async fn scored(
    cornjacket: &Cornjacket,
    mut request: ScoreSeriesRequest,
) -> anyhow::Result<Vec<ScoredSample>> {
    let (mut query, mut samples) = (cornjacket.query().await?, Vec::new());
    loop {
        let page = query.score_series(request.clone()).await?.into_inner();
        samples.extend(page.samples);
        if page.next_page_token.is_empty() {
            return Ok(samples);
        }
        request.page_token = page.next_page_token;
    }
}

async fn the_terminal_shows_it(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let server = format!("127.0.0.1:{}", cornjacket.query);
    let verb = ["backtest", "--server", &server, "--model", "limits/1", "--limit", "3"];
    let said = operator()?.args(verb).output(DEADLINE).await?;
    assert!(said.starts_with("limits/1 (threshold 1): ") && !said.contains(" in 0 samples"), "{said}");
    assert!(said.contains("compared with what limits/2 sent"), "{said}");
    Ok(())
}

/// All that a backtest might have written.
#[derive(Debug, PartialEq)]
struct Left {
    log: u64,
    outbox: usize,
    models: Vec<ModelName>,
    scores: BTreeMap<(String, String), Vec<Score>>,
    states: BTreeMap<(SeriesId, ModelId), SavedState>,
}

/// Of a database that nobody has open.
async fn left(database: &str) -> anyhow::Result<Left> {
    let store = open(database).await?;
    let mut snapshot = store.snapshots.begin(DEADLINE).await?;
    let filter = SeriesFilter { subject: None, since: ALWAYS.start, after: None, limit: 100_000 };
    let series = snapshot.list_series(&filter).await?;
    let models = snapshot.model_names().await?;
    drop(snapshot);
    let keys = series.iter().flat_map(|series| models.iter().map(|model| (series.id, model.id)));
    let mut tx = store.offsets.begin_apart().await?;
    let states = tx.load_detectors(&keys.collect::<Vec<_>>()).await?.into_iter().collect();
    drop(tx);
    Ok(Left {
        log: store.log.head().await?.position,
        outbox: store.outbox.waiting(10).await?.len(),
        models,
        scores: scores(&store).await?,
        states,
    })
}

async fn law(cornjacket: &Cornjacket, database: &str) -> anyhow::Result<()> {
    stop(run(cornjacket).await?).await?;
    let (log, before) = (read_log(database).await?, left(database).await?);
    let process = cornjacket.start().await?;
    assert!(before.states.len() > 100 && before.outbox == 0, "{} states", before.states.len());
    registered_versions_give_what_they_sent(cornjacket, &log).await?;
    drafts_differ_as_they_should(cornjacket, &log).await?;
    refusals_name_the_field(cornjacket).await?;
    let subject = &before.scores.first_key_value().context("a series")?.0.0;
    limited_callers_see_their_own(cornjacket, subject).await?;
    scores_on_demand_are_those_that_were_given(cornjacket, &before).await?;
    the_terminal_shows_it(cornjacket).await?;
    stop(process).await?;
    assert!(left(database).await? == before, "a backtest left something behind");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn backtests_find_what_was_sent_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}/cornjacket.db", folder.path().display());
    law(&Cornjacket::embedded(folder.path())?, &url).await
}

#[tokio::test(flavor = "multi_thread")]
async fn backtests_find_what_was_sent_on_postgres_and_kafka() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    law(&full_stack.cornjacket(&[("inference.state_mib", "1")])?, &full_stack.database).await
}
