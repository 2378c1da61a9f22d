use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cornjacket_proto::actions::endpoint::Channel::Pagerduty as Settings;
use cornjacket_proto::actions::{Severity, endpoint};

use super::*;
use crate::channels::testing::{Service, alarm, fields, message, opened, parted, telling};
use crate::channels::usual_rate;
use crate::limits::Rate;
use crate::outside::tests::{Receiver, outside};
use crate::testing::NOW;

const KEY: &str = "0123456789abcdef0123456789ABCDEF";

fn at(url: &str) -> endpoint::Channel {
    Settings(actions::PagerDuty { url: url.into(), ..Default::default() })
}

fn made(message: &Message) -> Value {
    body(message, KEY).expect("a body")
}

/// What PagerDuty documents of an event, and refuses with 400; and what becomes of alerts.
#[derive(Clone, Default)]
struct Alerts(Arc<Mutex<BTreeMap<String, (String, usize)>>>);

impl Alerts {
    fn answer(&self, body: &Value, bytes: usize) -> (&'static str, String) {
        if bytes > 512_000 {
            return ("413 Too Large", String::new());
        }
        let length =
            |at: &str| body.pointer(at).and_then(Value::as_str).map_or(0, |text| text.chars().count());
        let action = body["event_action"].as_str().unwrap_or("");
        let severity = body["payload"]["severity"].as_str().unwrap_or("");
        let is_described = (1..=1_024).contains(&length("/payload/summary"))
            && length("/payload/source") > 0
            && ["info", "warning", "error", "critical"].contains(&severity);
        let is_good = body["routing_key"] == KEY
            && (1..=255).contains(&length("/dedup_key"))
            && match action {
                "trigger" => is_described,
                "acknowledge" | "resolve" => true,
                _ => false,
            };
        if !is_good {
            return ("400 Bad Request", "{\"status\":\"invalid event\"}".into());
        }
        let mut alerts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let alert = alerts.entry(body["dedup_key"].as_str().unwrap_or("").to_owned()).or_default();
        let state = match action {
            "acknowledge" => "acknowledged",
            "resolve" => "resolved",
            _ => "triggered",
        };
        *alert = (state.into(), alert.1 + 1);
        ("202 Accepted", "{\"status\":\"success\"}".into())
    }

    fn all(&self) -> Vec<(String, String, usize)> {
        let alerts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        alerts.iter().map(|(key, (state, count))| (key.clone(), state.clone(), *count)).collect()
    }
}

#[test]
fn what_happens_is_an_alert_of_rule_type_and_subject() {
    let body = made(&message());
    let event = &body["payload"]["custom_details"]["event"];
    assert_eq!((&event["id"], &event["cornjacketposition"]), (&json!("e1"), &json!("42")));
    let expected = json!({
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": "too-hot/sensor.reading/pump-7",
        "client": "Cornjacket",
        "payload": {
            "summary": "pump-7 is too hot",
            "source": "devices/pump-7",
            "severity": "critical",
            "component": "pump-7",
            "group": "too-hot",
            "class": "sensor.reading",
            "timestamp": "2023-11-14T22:13:20Z",
            "custom_details": {
                "text": "91 °C\nsince noon",
                "rule": "too-hot",
                "rule_version": 3,
                "event": event,
            },
        },
    });
    assert_eq!(body, expected);
}

#[test]
fn an_alarm_is_triggered_acknowledged_and_resolved_by_its_key() {
    for (change, action) in [
        (AlarmChange::Raised, "trigger"),
        (AlarmChange::SeverityChanged, "trigger"),
        (AlarmChange::Acknowledged, "acknowledge"),
        (AlarmChange::Cleared, "resolve"),
    ] {
        let body = made(&alarm(change));
        assert_eq!((&body["event_action"], &body["dedup_key"]), (&json!(action), &json!("hot/pump-7")));
        assert_eq!(body.get("payload").is_some(), action == "trigger", "{body}");
    }
    for (severity, said) in [
        (Severity::Unspecified, "warning"),
        (Severity::Info, "info"),
        (Severity::Warning, "warning"),
        (Severity::Error, "error"),
        (Severity::Critical, "critical"),
    ] {
        let body = made(&Message { severity: severity.into(), ..message() });
        assert_eq!(body["payload"]["severity"], said);
    }
}

#[test]
fn whatever_it_is_pagerduty_takes_it() {
    let alerts = Alerts::default();
    let taken = |message: &Message| {
        let body = made(message);
        let answer = alerts.answer(&body, body.to_string().len());
        assert_eq!(answer.0, "202 Accepted", "{:.400}", body.to_string());
        body
    };
    let long = |key: String| Message { alarm_key: key, ..message() };
    assert_eq!(taken(&long("é".repeat(255)))["dedup_key"], "é".repeat(255));
    let digested = [taken(&long("é".repeat(256))), taken(&long("é".repeat(257)))];
    assert!(digested.iter().all(|body| body["dedup_key"].as_str().is_some_and(|key| key.len() == 36)));
    assert_ne!(digested[0]["dedup_key"], digested[1]["dedup_key"]);
    taken(&Message { title: "\u{0}\"é".repeat(2_000), ..message() });
    taken(&Message { title: String::new(), ..message() });
    let mut large = message();
    let event = large.event.as_mut().expect("an event");
    let value = cornjacket_proto::events::attribute_value::Value::String("\"".repeat(300_000));
    let attribute = cornjacket_proto::events::AttributeValue { value: Some(value) };
    event.attributes.insert("huge".into(), attribute);
    let shown = &taken(&large)["payload"]["custom_details"]["event"];
    assert_eq!(shown["id"], "e1");
    assert!(shown.get("huge").is_none());
}

#[tokio::test]
async fn what_pagerduty_answers_has_its_meaning() -> anyhow::Result<()> {
    let refused = Outcome::Refused { disable: false };
    let held = Outcome::Held(Duration::from_secs(9));
    for (said, outcome) in [
        ("202 Accepted\r\ncontent-length: 2\r\n\r\n{}", Outcome::Delivered),
        ("200 OK\r\ncontent-length: 0\r\n\r\n", Outcome::Failed),
        ("400 Bad\r\n\r\n", refused),
        ("413 Large\r\n\r\n", refused),
        ("429 Many\r\n\r\n", Outcome::Failed),
        ("429 Many\r\nretry-after: 9\r\n\r\n", held),
        ("500 Oops\r\n\r\n", Outcome::Failed),
        ("503 Down\r\n\r\n", Outcome::Failed),
    ] {
        let mut receiver = Receiver::saying(format!("HTTP/1.1 {said}")).await?;
        let channel = opened(at(&receiver.url().to_string()), &[KEY.into()])?;
        let message = message();
        let attempted = channel.send(telling(&message, NOW), &outside(&["127.0.0.1"])?).await;
        assert_eq!(attempted.outcome, outcome, "{said:?}: {}", attempted.error);
        let (first, fields, said) = parted(&receiver.ended().await??)?;
        assert_eq!((first.as_str(), fields.len()), ("POST /hook?a=b HTTP/1.1", 4));
        assert_eq!(fields["content-type"], "application/json");
        assert_eq!(serde_json::from_str::<Value>(&said)?, made(&message));
    }
    Ok(())
}

/// PagerDuty takes 120 events a minute. Alarms of three devices come and go: three alerts, whatever is repeated.
#[tokio::test]
async fn a_hundred_and_twenty_a_minute_are_what_pagerduty_takes() -> anyhow::Result<()> {
    let documented = Rate { count: 120, per: Duration::from_mins(1) };
    let changes = [
        AlarmChange::Raised,
        AlarmChange::Raised,
        AlarmChange::SeverityChanged,
        AlarmChange::Acknowledged,
        AlarmChange::Cleared,
    ];
    for paces in [true, false] {
        let alerts = Alerts::default();
        let answering = alerts.clone();
        let service = Service::new(documented, move |body, bytes| answering.answer(body, bytes)).await?;
        let url = service.receiver.url().to_string();
        let (channel, outside) = (opened(at(&url), &[KEY.into()])?, outside(&["127.0.0.1"])?);
        let rate = usual_rate(&crate::channels::testing::endpoint(at(&url))).expect("a limit");
        let mut begun: Vec<Timestamp> = Vec::new();
        for number in 0..250_usize {
            let alarm_key = format!("hot/{}", number % 3);
            let message = Message { alarm_key, ..alarm(changes[number / 50]) };
            loop {
                let counted: Vec<_> = begun
                    .iter()
                    .rev()
                    .filter(|time| **time > rate.forgotten_at(service.now()))
                    .copied()
                    .collect();
                if paces && let Err(until) = rate.room(&counted) {
                    service.set(until);
                }
                begun.push(service.now());
                match channel.send(telling(&message, service.now()), &outside).await.outcome {
                    Outcome::Delivered => break,
                    Outcome::Held(long) => service.set(service.now() + long),
                    other => panic!("{other:?}"),
                }
            }
        }
        let heard = service.heard();
        assert_eq!((heard.taken.len(), heard.too_many), (250, if paces { 0 } else { 2 }));
        let resolved = |key: &str, count| (format!("hot/{key}"), "resolved".to_owned(), count);
        assert_eq!(alerts.all(), [resolved("0", 84), resolved("1", 83), resolved("2", 83)]);
    }
    Ok(())
}

#[tokio::test]
async fn its_routing_key_is_a_secret() -> anyhow::Result<()> {
    let said = format!("HTTP/1.1 400 Bad\r\n\r\nno such key: {KEY}");
    let receiver = Receiver::saying(said).await?;
    let channel = opened(at(&receiver.url().to_string()), &[KEY.into()])?;
    let attempted = channel.send(telling(&message(), NOW), &outside(&["127.0.0.1"])?).await;
    assert_eq!(&*attempted.response, b"no such key: [secret]");
    assert!(!format!("{channel:?} {attempted:?}").contains(KEY));
    Ok(())
}

#[test]
fn what_is_wrong_is_said_by_field_and_not_with_the_secret() {
    assert_eq!(fields(at(""), &[]), ["pagerduty.routing_key"]);
    assert_eq!(fields(at("ftp://a"), &["xyzzy\n".into()]), ["pagerduty.url", "pagerduty.routing_key"]);
    let violations = PagerDuty::new(&actions::PagerDuty::default(), &["xyzzy".into()]).expect_err("no key");
    assert!(!format!("{violations:?}").contains("xyzzy"));
    let usual = PagerDuty::new(&actions::PagerDuty::default(), &[KEY.into()]).expect("all defaults");
    assert_eq!(usual.url.to_string(), PAGERDUTY);
    let Settings(settings) = at("http://[::1]/") else { unreachable!("it is of PagerDuty") };
    let private = PagerDuty::new(&settings, &[KEY.into()]).expect("a URL");
    assert_eq!(private.vet(&Allow::default()).expect_err("loopback").field, "pagerduty.url");
}
