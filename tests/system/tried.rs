//! Rules are tried: what a test says is what is decided, and nobody is told of it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use cornjacket_domain::{Clock, SystemClock};
use cornjacket_proto::actions::active_times::TimeRange;
use cornjacket_proto::actions::alarm::Change;
use cornjacket_proto::actions::decision::Outcome;
use cornjacket_proto::actions::test_rule_request::{History, Over, Tested};
use cornjacket_proto::actions::test_rule_response::Match;
use cornjacket_proto::actions::{
    ActiveTimes, AlarmRule, Decision, ExplainNotificationRequest, ListAlarmsRequest, Rule, Template,
    TestRuleRequest, TestRuleResponse, UpdateRuleRequest, delivery,
};
use cornjacket_proto::events::Event;
use cornjacket_testkit::wait;
use serde_json::json;
use tonic::Code;

use super::cornjacket::{Cornjacket, stop, token};
use super::events::reading;
use super::full_stack::FullStack;
use super::http;
use super::receiver::Receiver;
use super::told::{
    SETTINGS, SOON, deliveries, explained, make_endpoint, make_rule, rule, until_all_are, webhook,
};

const EVENTS: usize = 60;
const HOT: &str = "event.sensor_reading.measurements.exists(m, m.value > 80.0)";

/// Eight hours of the day, far from now.
fn never_now() -> ActiveTimes {
    let (now, day) = (SystemClock.now().as_micros(), 24 * 3_600_000_000);
    let clock = |hours: i64| {
        let minutes = (now + hours * 3_600_000_000).rem_euclid(day) / 60_000_000;
        format!("{:02}:{:02}", minutes / 60, minutes % 60)
    };
    let range = TimeRange { start: clock(8), end: clock(16), ..TimeRange::default() };
    ActiveTimes { ranges: vec![range], ..ActiveTimes::default() }
}

/// Told by window; as an alarm; at another time; and one whose condition fails of what has no measurements.
fn all_rules() -> [Rule; 4] {
    let of = |name: &str| Rule { condition: HOT.into(), ..rule(name, "sensor.reading", "pager") };
    let clear_condition = "event.sensor_reading.measurements.all(m, m.value < 30.0)".into();
    let alarm = Some(AlarmRule { clear_condition, ..AlarmRule::default() });
    [
        of("by-window"),
        Rule { alarm, ..of("lasting") },
        Rule { active_times: Some(never_now()), ..of("at-times") },
        Rule { condition: "event.user_action.user == 'ann'".into(), ..of("broken") },
    ]
}

async fn test(cornjacket: &Cornjacket, tested: Tested, over: Over) -> anyhow::Result<TestRuleResponse> {
    let request = TestRuleRequest { tested: Some(tested), over: Some(over), limit: 1_000 };
    Ok(cornjacket.actions().await?.test_rule(request).await?.into_inner())
}

fn named(name: &str) -> Tested {
    Tested::Name(name.into())
}

fn outcome(one: &Match) -> Outcome {
    one.decision.as_ref().map(Decision::outcome).unwrap_or_default()
}

/// All rows of the ledger, by id.
async fn ledger(cornjacket: &Cornjacket) -> anyhow::Result<BTreeMap<String, Decision>> {
    let (mut actions, mut rows) = (cornjacket.actions().await?, BTreeMap::new());
    for number in 0..EVENTS {
        let request =
            ExplainNotificationRequest { event_id: number.to_string(), event_source: "system-test".into() };
        let explained = actions.explain_notification(request).await?.into_inner().explanations;
        rows.extend(explained.into_iter().filter_map(|one| one.decision).map(|one| (one.id.clone(), one)));
    }
    Ok(rows)
}

/// The ledger's rows that the decisions of a test would be.
fn folded(response: TestRuleResponse) -> anyhow::Result<BTreeMap<String, Decision>> {
    let mut rows: BTreeMap<String, Decision> = BTreeMap::new();
    for one in response.matches {
        let one = one.decision.context("a decision")?;
        if let Some(row) = rows.get_mut(&one.id) {
            row.count += 1;
            (row.last_time, row.last_position) = (one.last_time, one.last_position);
        } else {
            rows.insert(one.id.clone(), one);
        }
    }
    Ok(rows)
}

/// What must not change.
async fn traces(
    cornjacket: &Cornjacket,
    receiver: &Receiver,
) -> anyhow::Result<impl PartialEq + std::fmt::Debug> {
    let mut actions = cornjacket.actions().await?;
    let alarms = actions.list_alarms(ListAlarmsRequest::default()).await?.into_inner().alarms;
    let everything = rule("everything", "*", "pager");
    let log = test(cornjacket, Tested::Rule(everything), Over::History(History::default())).await?;
    let told = (deliveries(cornjacket).await?, receiver.asked().len());
    Ok((alarms, log.events_read, told, ledger(cornjacket).await?))
}

/// Without what depends on the minute in which it was decided.
fn comparable(rows: BTreeMap<String, Decision>) -> BTreeMap<String, Decision> {
    let plain = |one: Decision| match one.outcome() {
        Outcome::Muted => Decision { reason: String::new(), ..one },
        _ => one,
    };
    rows.into_iter().map(|(id, one)| (id, plain(one))).collect()
}

async fn what_a_test_says(cornjacket: Cornjacket) -> anyhow::Result<()> {
    let process = cornjacket.start().await?;
    let receiver = Receiver::good().await?;
    make_endpoint(&cornjacket, webhook("pager", &receiver.url())).await?;
    for rule in all_rules() {
        make_rule(&cornjacket, rule).await?;
    }
    for number in 0..EVENTS {
        let value =
            [20.0, 99.0, 50.0, 98.0, 97.0][number * number % 5] + f64::from(u8::try_from(number)?) / 100.0;
        let device = format!("pump-{}", number % 3);
        cornjacket.append(reading(&device, &number.to_string(), value)).await?;
    }
    // The broken rule has something to say of each.
    for number in 0..EVENTS {
        let is_decided = async || {
            let said = explained(&cornjacket, "system-test", &number.to_string()).await.unwrap_or_default();
            said.iter().any(|one| one.starts_with("broken did not tell it"))
        };
        wait::until(SOON, "everything is decided", is_decided).await?;
    }
    let count = deliveries(&cornjacket).await?.len();
    until_all_are(&cornjacket, count, delivery::State::Delivered).await?;

    let before = traces(&cornjacket, &receiver).await?;
    let (ledger, mut seen) = (comparable(ledger(&cornjacket).await?), BTreeSet::new());
    for rule in all_rules() {
        let said = test(&cornjacket, named(&rule.name), Over::History(History::default())).await?;
        assert_eq!((said.events_read, said.next_after_position), (EVENTS as u64, 0), "{}", rule.name);
        assert_eq!(said.problems, []);
        assert!(!said.matches.is_empty(), "{}", rule.name);
        seen.extend(said.matches.iter().map(outcome));
        let own = ledger.iter().filter(|(_, one)| one.rule == rule.name);
        let own: BTreeMap<_, _> = own.map(|(id, one)| (id.clone(), one.clone())).collect();
        assert_eq!(comparable(folded(said)?), own, "{}", rule.name);
    }
    let all = [Outcome::Sent, Outcome::Deduplicated, Outcome::Failed, Outcome::Muted];
    assert_eq!(seen, BTreeSet::from(all));
    a_draft(&cornjacket).await?;
    an_event(&cornjacket).await?;
    a_part(&cornjacket).await?;
    assert_eq!(traces(&cornjacket, &receiver).await?, before, "nothing has come of it");

    // One that is disabled is tested as it would decide.
    let disabled = Rule { disabled: true, ..all_rules()[0].clone() };
    let request = UpdateRuleRequest { rule: Some(disabled), ..UpdateRuleRequest::default() };
    cornjacket.actions().await?.update_rule(request).await?;
    let said = test(&cornjacket, named("by-window"), Over::History(History::default())).await?;
    assert!(said.matches.iter().all(|one| one.decision.as_ref().is_some_and(|one| one.rule_version == 2)));
    assert!(said.matches.iter().any(|one| outcome(one) == Outcome::Sent));
    stop(process).await
}

/// A rule that there is not, for an endpoint that there is not.
async fn a_draft(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let template = Template { title: "{{ event.subject }} is hot".into(), text: "now".into() };
    let [_, lasting, ..] = all_rules();
    let draft = Rule {
        name: "draft".into(),
        endpoints: vec!["pager".into(), "nobody".into()],
        template: Some(template),
        ..lasting
    };
    let said = test(cornjacket, Tested::Rule(draft.clone()), Over::History(History::default())).await?;
    let [problem] = said.problems.as_slice() else { anyhow::bail!("{:?}", said.problems) };
    assert_eq!(problem.field, "rule.endpoints[1]");
    let sent: Vec<&Match> = said.matches.iter().filter(|one| outcome(one) == Outcome::Sent).collect();
    let first = sent.first().context("something is told")?;
    assert_eq!((first.alarm_key.as_str(), first.alarm_change()), ("draft/pump-1", Change::Raised));
    let tellings = |one: &Match| {
        one.tellings.iter().map(|one| (one.endpoint.clone(), one.title.clone())).collect::<Vec<_>>()
    };
    assert_eq!(
        tellings(first),
        ["pager", "nobody"].map(|endpoint| (endpoint.to_owned(), "pump-1 is hot".to_owned()))
    );
    assert!(sent.iter().any(|one| one.alarm_change() == Change::Cleared), "{sent:?}");
    assert!(said.matches.iter().all(|one| outcome(one) == Outcome::Sent || one.tellings.is_empty()));

    let bad = Rule { condition: "event.subjekt == ''".into(), ..draft };
    let refused = test(cornjacket, Tested::Rule(bad), Over::History(History::default())).await;
    let refused = format!("{:#}", refused.expect_err("no such field"));
    assert!(refused.contains("condition"), "{refused}");
    Ok(())
}

/// An event that nobody has sent, also over HTTP.
async fn an_event(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let said = test(cornjacket, named("by-window"), Over::Event(reading("pump-9", "", 99.0))).await?;
    let [one] = said.matches.as_slice() else { anyhow::bail!("{said:?}") };
    assert_eq!((outcome(one), said.events_read), (Outcome::Sent, 1));
    assert!(one.tellings[0].title.contains("pump-9"), "{one:?}");
    let cold = test(cornjacket, named("by-window"), Over::Event(reading("pump-9", "", 20.0))).await?;
    assert_eq!(cold.matches, []);
    let mut actions = cornjacket.actions().await?;
    let request = |tested, over| TestRuleRequest { tested, over, limit: 0 };
    let bad = Over::Event(Event { subject: "a#b".into(), ..reading("pump-9", "", 99.0) });
    for (tested, over, code, field) in [
        (Some(named("by-window")), Some(bad), Code::InvalidArgument, "event.subject"),
        (Some(named("by-window")), None, Code::InvalidArgument, "event"),
        (None, Some(Over::History(History::default())), Code::InvalidArgument, "rule"),
        (Some(named("no-such")), Some(Over::History(History::default())), Code::NotFound, "no-such"),
    ] {
        let refused = actions.test_rule(request(tested, over)).await.expect_err("refused");
        assert_eq!(refused.code(), code, "{refused:?}");
        assert!(format!("{refused:?}").contains(field), "{refused:?}");
    }
    let measurements = json!([{"metric": "temperature", "value": 99, "unit": "Cel"}]);
    let event = json!({"source": "plant", "type": "sensor.reading", "subject": "pump-9",
        "sensorReading": {"measurements": measurements}});
    let body = json!({"name": "by-window", "event": event}).to_string();
    let authorization = format!("Bearer {}", token()?);
    let headers = [("authorization", authorization.as_str()), ("content-type", "application/json")];
    let answer = http::ask(cornjacket.gateway, "POST /api/v1/actions/rules:test", &headers, body).await?;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let said: serde_json::Value = serde_json::from_slice(&answer.body)?;
    assert_eq!(said["matches"][0]["decision"]["outcome"], "OUTCOME_SENT", "{said}");
    Ok(())
}

/// Some of the log, and some of what is found.
async fn a_part(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let all = test(cornjacket, named("by-window"), Over::History(History::default())).await?.matches;
    let place = |one: &Match| one.decision.as_ref().map_or((0, None), |one| (one.position, one.first_time));
    let ((first, _), (middle, middle_time)) = (place(&all[0]), place(&all[all.len() / 2]));
    let of = async |history| {
        let said = test(cornjacket, named("by-window"), Over::History(history)).await?;
        anyhow::Ok(said.matches.iter().map(|one| place(one).0).collect::<Vec<_>>())
    };
    let behind = of(History { after_position: first, ..History::default() }).await?;
    assert_eq!((behind.len(), behind[0] > first), (all.len() - 1, true));
    let before = of(History { end_time: middle_time, ..History::default() }).await?;
    assert!(!before.is_empty() && before.iter().all(|position| *position < middle), "{before:?}");
    let from = of(History { start_time: middle_time, ..History::default() }).await?;
    assert_eq!(from[0], middle);
    let later = Some((SystemClock.now() + std::time::Duration::from_hours(1)).to_proto());
    assert_eq!(of(History { start_time: later, ..History::default() }).await?, Vec::<u64>::new());

    let request = TestRuleRequest {
        tested: Some(named("by-window")),
        over: Some(Over::History(History::default())),
        limit: 1,
    };
    let few = cornjacket.actions().await?.test_rule(request).await?.into_inner();
    let counted: u64 = few.counts.iter().map(|one| one.count).sum();
    assert_eq!((few.matches.len(), counted), (1, all.len() as u64));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_what_is_decided_embedded() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    what_a_test_says(Cornjacket::new(&[&[("store.url", url.as_str())], &SETTINGS[..]].concat())?).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_says_what_is_decided_on_postgres_and_kafka() -> anyhow::Result<()> {
    what_a_test_says(FullStack::shared().await?.cornjacket(&SETTINGS)?).await
}
