//! The whole way: a fault on a device, a sample, an anomaly, a rule, a signed webhook at a receiver that others wrote.

use std::time::Duration;

use anyhow::Context;
use cornjacket_proto::actions::attempt::Outcome;
use cornjacket_proto::actions::delivery::State;
use cornjacket_proto::actions::{
    CreateEndpointRequest, CreateRuleRequest, DeleteEndpointRequest, Delivery, Endpoint,
    ExplainNotificationRequest, GetDeliveryRequest, ListDeliveriesRequest, ResendDeliveriesRequest,
    ResendDeliveryRequest, Rule, Signing, TestEndpointRequest, UpdateRuleRequest, Webhook, endpoint,
};
use cornjacket_proto::admin::ModelMode;
use cornjacket_testkit::{Process, Program, ports, wait};
use serde_json::Value;
use tonic::Code;

use super::anomalies::register;
use super::cornjacket::{Cornjacket, http_get, stop};
use super::events::reading;
use super::full_stack::FullStack;
use super::receiver::{Answer, Receiver};
use super::tools::tool;

/// Until something has happened that only has to happen.
pub(super) const SOON: Duration = Duration::from_secs(30);
const RECEIVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/python/webhook_receiver.py");
/// What tests allow that receivers on this machine are told, and that nobody waits for the usual limit.
pub(super) const SETTINGS: [(&str, &str); 2] =
    [("actions.allow", "[\"127.0.0.1\"]"), ("actions.attempts_per_minute", "0")];

/// An endpoint that is told by webhook.
pub(super) fn webhook(name: &str, url: &str) -> Endpoint {
    let webhook = Webhook { url: url.into(), ..Webhook::default() };
    Endpoint { name: name.into(), channel: Some(endpoint::Channel::Webhook(webhook)), ..Endpoint::default() }
}

/// A rule that tells an endpoint of events of a type.
pub(super) fn rule(name: &str, event_type: &str, endpoint: &str) -> Rule {
    Rule {
        name: name.into(),
        types: vec![event_type.into()],
        endpoints: vec![endpoint.into()],
        ..Rule::default()
    }
}

/// Makes an endpoint: what its receiver verifies with.
pub(super) async fn make_endpoint(cornjacket: &Cornjacket, endpoint: Endpoint) -> anyhow::Result<String> {
    let request = CreateEndpointRequest { endpoint: Some(endpoint) };
    Ok(cornjacket.actions().await?.create_endpoint(request).await?.into_inner().verification_key)
}

pub(super) async fn make_rule(cornjacket: &Cornjacket, rule: Rule) -> anyhow::Result<Rule> {
    let request = CreateRuleRequest { rule: Some(rule) };
    let made = cornjacket.actions().await?.create_rule(request).await?.into_inner();
    Ok(made.rule.unwrap_or_default())
}

/// All deliveries that there are, the newest first.
pub(super) async fn deliveries(cornjacket: &Cornjacket) -> anyhow::Result<Vec<Delivery>> {
    let request = ListDeliveriesRequest { page_size: 1_000, ..ListDeliveriesRequest::default() };
    Ok(cornjacket.actions().await?.list_deliveries(request).await?.into_inner().deliveries)
}

/// Waits until there are so many deliveries, and all of them have that state.
pub(super) async fn until_all_are(
    cornjacket: &Cornjacket,
    count: usize,
    state: State,
) -> anyhow::Result<Vec<Delivery>> {
    let mut seen = Vec::new();
    let all = wait::until(SOON, "all deliveries are as they should be", async || {
        seen = deliveries(cornjacket).await.unwrap_or_default();
        seen.len() == count && seen.iter().all(|one| one.state() == state)
    });
    all.await.with_context(|| format!("{count} that are {state:?}: {seen:#?}"))?;
    Ok(seen)
}

/// What was said of an event, in a sentence for each rule.
pub(super) async fn explained(
    cornjacket: &Cornjacket,
    source: &str,
    id: &str,
) -> anyhow::Result<Vec<String>> {
    let request = ExplainNotificationRequest { event_id: id.into(), event_source: source.into() };
    let explained = cornjacket.actions().await?.explain_notification(request).await?.into_inner();
    Ok(explained.explanations.into_iter().map(|one| one.summary).collect())
}

/// A receiver as others write it, on that port, with that key.
pub(super) async fn python_receiver(
    folder: &std::path::Path,
    port: u16,
    key: &str,
) -> anyhow::Result<Process> {
    let python: Program = tool("python");
    let program = python.args([RECEIVER, &port.to_string(), key]).log(folder.join("receiver"));
    let mut receiver = program.spawn()?;
    let ready = async || http_get(port, "/").await.is_ok();
    receiver.until_ready(SOON, "the receiver listens", ready).await?;
    Ok(receiver)
}

/// What it has verified, or refused.
pub(super) fn verified(receiver: &Process) -> Vec<Value> {
    receiver.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

async fn the_whole_way(cornjacket: Cornjacket) -> anyhow::Result<()> {
    let (folder, port) = (tempfile::tempdir()?, ports::free_port()?);
    let process = cornjacket.start().await?;
    let hot = ("hot", "threshold", r#"{"upper": 80.0}"#, ModelMode::Active);
    register(&cornjacket, hot).await?;
    let key = make_endpoint(&cornjacket, webhook("pager", &format!("http://127.0.0.1:{port}/hook"))).await?;
    let mut receiver = python_receiver(folder.path(), port, &key).await?;
    make_rule(&cornjacket, rule("anomalies", "ai.anomaly_detected", "pager")).await?;

    cornjacket.append(reading("pump-7", "1", 21.0)).await?;
    cornjacket.append(reading("pump-7", "2", 99.0)).await?;
    let first =
        wait::until_some(SOON, "the receiver is told", async || verified(&receiver).into_iter().next());
    let first = first.await.with_context(|| process.log())?;
    assert_eq!(first["event"]["type"], "ai.anomaly_detected", "{first}");
    assert_eq!(first["event"]["subject"], "pump-7");
    assert_eq!(first["event"]["cornjacketrule"], "anomalies");
    assert_eq!(first["event"]["cornjacketseverity"], "warning");
    assert!(
        first["event"]["cornjackettitle"].as_str().is_some_and(|title| title.contains("pump-7")),
        "{first}"
    );

    // It is over, and begins again: the same is not told twice within five minutes.
    cornjacket.append(reading("pump-7", "3", 20.0)).await?;
    cornjacket.append(reading("pump-7", "4", 98.0)).await?;
    // Somebody else is told of.
    cornjacket.append(reading("pump-8", "5", 97.0)).await?;
    let told = until_all_are(&cornjacket, 2, State::Delivered).await?;
    wait::until(SOON, "the receiver has both", async || verified(&receiver).len() >= 2).await?;
    let ids: Vec<Value> = verified(&receiver).into_iter().map(|one| one["id"].clone()).collect();
    assert_eq!(ids, [told[1].id.as_str(), &told[0].id], "once each, and verified");
    let request = GetDeliveryRequest { id: told[1].id.clone() };
    let whole = cornjacket.actions().await?.get_delivery(request).await?.into_inner();
    let [attempt] = whole.attempts.as_slice() else { anyhow::bail!("{whole:?}") };
    assert_eq!((attempt.outcome(), attempt.status), (Outcome::Delivered, 204));
    assert_eq!(attempt.address, format!("127.0.0.1:{port}"));

    let anomaly = first["event"]["id"].as_str().context("an id")?;
    let source = first["event"]["source"].as_str().context("a source")?;
    let said = explained(&cornjacket, source, anomaly).await?;
    assert_eq!(said, ["anomalies told it: it arrived at pager with attempt 1"]);
    receiver.kill9().await?;
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_way_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    the_whole_way(Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_way_on_postgres_and_kafka() -> anyhow::Result<()> {
    the_whole_way(FullStack::shared().await?.cornjacket(&SETTINGS)?).await
}

/// What is not told, and what is told in the end: the ledger says so of each.
#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_says_why() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let cornjacket = Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?;
    let process = cornjacket.start().await?;
    cornjacket.append(reading("pump-7", "before", 99.0)).await?;
    // It fails once.
    let receiver = Receiver::start(|number| Answer::Status(if number == 0 { 500 } else { 200 })).await?;
    make_endpoint(&cornjacket, webhook("pager", &receiver.url())).await?;
    let hot = Rule {
        condition: "event.sensor_reading.measurements.exists(m, m.value > 80.0)".into(),
        ..rule("hot", "sensor.*", "pager")
    };
    let hot = make_rule(&cornjacket, hot).await?;
    let broken = Rule {
        condition: "event.user_action.user == 'ann'".into(),
        ..rule("broken", "sensor.reading", "pager")
    };
    make_rule(&cornjacket, broken).await?;
    for (id, value) in [("cold", 20.0), ("first", 99.0), ("second", 98.0), ("mild", 21.0), ("third", 97.0)] {
        cornjacket.append(reading("pump-7", id, value)).await?;
    }
    until_all_are(&cornjacket, 1, State::Delivered).await?;
    assert_eq!(receiver.asked().len(), 2);
    assert_eq!(receiver.asked()[0].id, receiver.asked()[1].id, "the same delivery");
    let says = async |id: &str| explained(&cornjacket, "system-test", id).await;
    let (before, first, third) = (says("before").await?, says("first").await?, says("third").await?);
    assert!(before.iter().all(|one| one.contains("decided nothing")), "{before:?}");
    let mild = says("mild").await?;
    assert!(mild.iter().any(|one| one.starts_with("hot decided nothing")), "between repeats: {mild:?}");
    assert!(first.contains(&"hot told it: it arrived at pager with attempt 2".to_owned()), "{first:?}");
    assert!(third.iter().any(|one| one.starts_with("hot did not tell it again: ")), "{third:?}");
    assert!(
        third.iter().any(|one| one.starts_with("broken did not tell it: the condition fails")),
        "{third:?}"
    );
    assert_eq!(says("cold").await?.len(), 2);
    let unknown = says("nobody").await.expect_err("no such event");
    assert!(unknown.to_string().contains("there is no event"), "{unknown}");

    // Once more, by the same id; and a test, of which nothing stays.
    let mut actions = cornjacket.actions().await?;
    let id = receiver.asked()[0].id.clone();
    actions.resend_delivery(ResendDeliveryRequest { id: id.clone() }).await?;
    wait::until(SOON, "it is sent again", async || receiver.asked().len() == 3).await?;
    assert_eq!(receiver.asked()[2].id, id);
    let tried = actions.test_endpoint(TestEndpointRequest { name: "pager".into() }).await?.into_inner();
    assert_eq!(tried.attempt.unwrap_or_default().outcome(), Outcome::Delivered);
    assert_eq!(receiver.asked()[3].event["cornjackettest"], true);
    until_all_are(&cornjacket, 1, State::Delivered).await?;
    let request = ResendDeliveriesRequest { endpoint: "pager".into(), since: None };
    assert_eq!(actions.resend_deliveries(request).await?.into_inner().count, 0, "it has missed nothing");

    // Nobody changes what somebody else has changed, or ends what is needed.
    let update =
        UpdateRuleRequest { rule: Some(Rule { etag: "0".into(), ..hot.clone() }), ..Default::default() };
    assert_eq!(actions.update_rule(update).await.expect_err("an old etag").code(), Code::Aborted);
    let update = UpdateRuleRequest { rule: Some(Rule { disabled: true, ..hot }), ..Default::default() };
    assert_eq!(actions.update_rule(update).await?.into_inner().rule.unwrap_or_default().version, 2);
    let end = DeleteEndpointRequest { name: "pager".into(), etag: String::new() };
    assert_eq!(actions.delete_endpoint(end).await.expect_err("needed").code(), Code::FailedPrecondition);
    cornjacket.append(reading("pump-9", "fifth", 99.0)).await?;
    let is_decided = async || {
        let said = says("fifth").await.unwrap_or_default();
        said.iter().any(|one| one.starts_with("broken did not tell it"))
    };
    wait::until(SOON, "the other rule has decided", is_decided).await?;
    let fifth = says("fifth").await?;
    assert!(fifth.iter().any(|one| one.starts_with("hot decided nothing")), "{fifth:?}");
    stop(process).await
}

/// A secret is shown once; what is wrong is refused by its field, at the gateway too.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_refused() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let refused = async |url: &str| {
        let made = make_endpoint(&cornjacket, webhook("pager", url)).await;
        made.map_or_else(|error| format!("{error:#}"), |_| format!("{url} was taken"))
    };
    for url in
        ["http://127.0.0.1/", "http://2130706433/", "http://[::ffff:10.0.0.1]/", "http://169.254.169.254/"]
    {
        let said = refused(url).await;
        assert!(said.contains("webhook.url"), "{url}: {said}");
    }
    let signed = Webhook {
        url: "https://example.com/".into(),
        signing: Signing::Ed25519.into(),
        ..Webhook::default()
    };
    let signed = Endpoint { channel: Some(endpoint::Channel::Webhook(signed)), ..webhook("signed", "") };
    let key = make_endpoint(&cornjacket, signed).await?;
    assert!(key.starts_with("whpk_"), "{key}");
    let again = make_endpoint(&cornjacket, webhook("signed", "https://example.com/")).await;
    assert!(format!("{:#}", again.expect_err("taken")).contains("already"));
    let made = make_rule(&cornjacket, rule("orphan", "sensor.reading", "nobody")).await;
    assert!(format!("{:#}", made.expect_err("no endpoint")).contains("rule.endpoints[0]"));
    let wrong =
        Rule { condition: "event.subjekt == 'a'".into(), ..rule("wrong", "sensor.reading", "signed") };
    let said = format!("{:#}", make_rule(&cornjacket, wrong).await.expect_err("no such field"));
    assert!(said.contains("condition") && said.contains("subject"), "{said}");
    assert!(!process.log().contains(&key), "no key is logged");
    stop(process).await
}
