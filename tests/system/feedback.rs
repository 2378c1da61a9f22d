//! A person's word on an anomaly changes what a model makes of a series, once, in a bounded way, for good.

use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::{Clock, SystemClock};
use cornjacket_proto::admin::report_feedback_request::{FalseAlarm, Missed, Word};
use cornjacket_proto::admin::{ModelMode, ReportFeedbackRequest};
use cornjacket_proto::query::{ListAnomaliesRequest, ListEventsRequest, ListSeriesRequest};
use cornjacket_testkit::wait;
use tonic::Code;

use super::anomalies::{anomalies, detail, register};
use super::cornjacket::{Cornjacket, http_get, stop};
use super::events::reading;
use super::full_stack::FullStack;

const SOON: Duration = Duration::from_secs(30);

/// What pump 1 measures, one after the other.
struct Pump<'a> {
    cornjacket: &'a Cornjacket,
    sent: u32,
}

impl Pump<'_> {
    async fn measures(&mut self, values: &[f64]) -> anyhow::Result<()> {
        for value in values {
            self.sent += 1;
            self.cornjacket.append(reading("pump-1", &self.sent.to_string(), *value)).await?;
        }
        Ok(())
    }
}

/// Waits until there are so many anomalies: the value of the last one, as text, and its id.
async fn last_of(cornjacket: &Cornjacket, count: usize) -> anyhow::Result<(String, String)> {
    let request = ListAnomaliesRequest { subject: "pump-1".into(), ..ListAnomaliesRequest::default() };
    let found = wait::until_some(SOON, "one more anomaly", async || {
        anomalies(cornjacket, request.clone()).await.ok().filter(|found| found.len() == count)
    });
    let last = found.await.with_context(|| format!("{count} anomalies"))?.remove(0);
    Ok((detail(&last)?.value.to_string(), last.id))
}

/// Waits until so many events were looked at for words: anomalies are on that topic too.
pub(super) async fn until_heard(cornjacket: &Cornjacket, count: u32) -> anyhow::Result<()> {
    wait::until(SOON, "words are taken", async || {
        let metrics = http_get(cornjacket.ops, "/metrics").await.unwrap_or_default();
        let counter = "cornjacket_consumer_events_total{consumer=\"feedback\"} ";
        let taken = metrics.lines().find_map(|line| line.strip_prefix(counter)?.parse::<f64>().ok());
        taken.is_some_and(|taken| taken >= f64::from(count))
    })
    .await
}

pub(super) fn false_alarm(id: &str) -> ReportFeedbackRequest {
    let word = FalseAlarm { id: id.to_owned(), ..FalseAlarm::default() };
    ReportFeedbackRequest { word: Some(Word::FalseAlarm(word)), comment: "the filter was changed".into() }
}

fn missed(missed: Missed) -> ReportFeedbackRequest {
    ReportFeedbackRequest { word: Some(Word::Missed(missed)), comment: String::new() }
}

/// Of version 1 of the model that watches.
fn a_missed() -> Missed {
    let time = SystemClock.now().to_proto();
    Missed {
        subject: "pump-1".into(),
        metric: "temperature".into(),
        model: "hot".into(),
        version: 1,
        time: Some(time),
    }
}

/// A false alarm raises the bar by a quarter of the scale, however often the same person says so; what was missed takes one such
/// step back.
async fn a_word_changes_the_bar(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let process = cornjacket.start().await?;
    register(cornjacket, ("hot", "threshold", r#"{"upper": 80, "scale": 8}"#, ModelMode::Active)).await?;
    let mut pump = Pump { cornjacket, sent: 0 };
    pump.measures(&[20.0, 81.0, 20.0]).await?;
    let (_, id) = last_of(cornjacket, 1).await?;
    let mut admin = cornjacket.admin().await?;
    let said = admin.report_feedback(false_alarm(&id)).await?.into_inner();
    let again = admin.report_feedback(false_alarm(&id)).await?.into_inner();
    assert_eq!((said.duplicate, again.duplicate, &said.id), (false, true, &again.id));
    until_heard(cornjacket, 2).await?;
    // The limit is at 82 now: not at 80 any more, and not at 84.
    pump.measures(&[81.9, 20.0, 82.1, 20.0]).await?;
    assert_eq!(last_of(cornjacket, 2).await?.0, "82.1");

    admin.report_feedback(missed(Missed { version: 0, ..a_missed() })).await?;
    until_heard(cornjacket, 4).await?;
    pump.measures(&[81.5, 20.0]).await?;
    assert_eq!(last_of(cornjacket, 3).await?.0, "81.5");

    // Words are events, and what they changed outlives the process.
    admin.report_feedback(false_alarm(&last_of(cornjacket, 3).await?.1)).await?;
    until_heard(cornjacket, 6).await?;
    pump.measures(&[81.5, 20.0]).await?;
    stop(process).await?;
    let process = cornjacket.start().await?;
    pump.measures(&[81.6, 20.0, 82.2]).await?;
    assert_eq!(last_of(cornjacket, 4).await?.0, "82.2");
    let events = ListEventsRequest { r#type: "ai.feedback_reported".into(), ..ListEventsRequest::default() };
    let events = cornjacket.query().await?.list_events(events).await?.into_inner().events;
    assert_eq!(events.len(), 3);
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_words_change_the_bar() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    a_word_changes_the_bar(&Cornjacket::embedded(folder.path())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn words_change_the_bar_on_the_full_stack() -> anyhow::Result<()> {
    a_word_changes_the_bar(&FullStack::shared().await?.cornjacket(&[])?).await
}

/// Waits until what pump 1 measures is a series.
async fn until_heard_of(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let request = ListSeriesRequest { subject: "pump-1".into(), ..ListSeriesRequest::default() };
    let mut query = cornjacket.query().await?;
    wait::until(SOON, "the first sample", async || {
        query.list_series(request.clone()).await.is_ok_and(|listed| !listed.into_inner().series.is_empty())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_word_on_nothing_is_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    register(&cornjacket, ("hot", "threshold", r#"{"upper": 80}"#, ModelMode::Active)).await?;
    let receipt = cornjacket.append(reading("pump-1", "1", 20.0)).await?;
    until_heard_of(&cornjacket).await?;
    let long_ago = prost_types::Timestamp { seconds: 1_700_000_000, nanos: 0 };
    let no_anomaly = FalseAlarm { source: receipt.source, id: receipt.id };
    let no_anomaly =
        ReportFeedbackRequest { word: Some(Word::FalseAlarm(no_anomaly)), comment: String::new() };
    let mut admin = cornjacket.admin().await?;
    for (request, code, said) in [
        (missed(Missed { version: 7, ..a_missed() }), Code::NotFound, "missed.version"),
        (missed(Missed { model: "cold".into(), ..a_missed() }), Code::NotFound, "missed.model"),
        (missed(Missed { subject: "nobody".into(), ..a_missed() }), Code::NotFound, "missed.subject"),
        (missed(Missed { metric: "nothing".into(), ..a_missed() }), Code::NotFound, "missed.metric"),
        (missed(Missed { time: Some(long_ago), ..a_missed() }), Code::NotFound, "missed.time"),
        (missed(Missed { model: String::new(), ..a_missed() }), Code::InvalidArgument, "missed.model"),
        (missed(Missed { subject: String::new(), ..a_missed() }), Code::InvalidArgument, "missed.subject"),
        (missed(Missed { time: None, ..a_missed() }), Code::InvalidArgument, "missed.time"),
        (false_alarm("no such anomaly"), Code::NotFound, "no such anomaly"),
        (false_alarm(""), Code::InvalidArgument, "false_alarm.id"),
        (no_anomaly, Code::InvalidArgument, "false_alarm.id"),
        (ReportFeedbackRequest::default(), Code::InvalidArgument, "word"),
        (
            ReportFeedbackRequest { comment: "x".repeat(1_025), ..missed(a_missed()) },
            Code::InvalidArgument,
            "comment",
        ),
    ] {
        let refused = admin.report_feedback(request.clone()).await.expect_err("refused");
        assert_eq!(refused.code(), code, "{request:?}: {refused:?}");
        assert!(refused.message().contains(said), "{request:?}: {refused:?}");
    }
    stop(process).await
}
