//! An alert of PagerDuty, by its Events API v2 (<https://developer.pagerduty.com/docs/send-alert-event>).
//!
//! What has the same `dedup_key` is one alert: an alarm by its key, anything else by rule, type and subject. An alarm that is
//! raised, or matters more or less, triggers it; taken on, it acknowledges; over, it resolves.

use async_trait::async_trait;
use cornjacket_domain::cloudevents::to_structured;
use cornjacket_domain::violation::{Reason, Violation};
use cornjacket_domain::{Timestamp, id_of};
use cornjacket_proto::actions;
use cornjacket_proto::events::Event;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{Channel, Telling, naming, request, secret};
use crate::classify::Outcome;
use crate::guard::Allow;
use crate::message::{AlarmChange, Message};
use crate::outside::{Attempted, Outside};
use crate::receiver_url::ReceiverUrl;

const URL: &str = "pagerduty.url";
const ROUTING_KEY: &str = "pagerduty.routing_key";
/// Where PagerDuty is, when nothing is stated.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";
/// Characters of an integration key.
const KEY_LENGTH: usize = 32;
/// Characters of a `dedup_key`, of a summary, and of the other texts that PagerDuty shows beside it.
const DEDUP_KEY: usize = 255;
const SUMMARY: usize = 1_024;
const SHORT: usize = 255;
/// Bytes of a body.
const MOST_BYTES: usize = 512_000;
/// What PagerDuty answers when it has an event.
const ACCEPTED: u16 = 202;

/// An endpoint's service of PagerDuty.
#[derive(Debug)]
pub struct PagerDuty {
    url: ReceiverUrl,
    routing_key: SecretString,
}

impl PagerDuty {
    /// As set, with the routing key as the secret.
    pub fn new(settings: &actions::PagerDuty, secrets: &[SecretString]) -> Result<Self, Vec<Violation>> {
        let url = if settings.url.is_empty() { PAGERDUTY } else { &settings.url };
        let url = ReceiverUrl::parse(url).map_err(|error| vec![error.of(URL)]);
        let key = secrets.first().ok_or_else(|| secret::missing(ROUTING_KEY)).and_then(routing_key);
        match (url, key) {
            (Ok(url), Ok(routing_key)) => Ok(Self { url, routing_key }),
            (url, key) => Err([url.err(), key.err()].into_iter().flatten().flatten().collect()),
        }
    }
}

fn routing_key(secret: &SecretString) -> Result<SecretString, Vec<Violation>> {
    let text = secret.expose_secret();
    if text.len() == KEY_LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Ok(secret.clone());
    }
    let said = format!("is no integration key, which has {KEY_LENGTH} letters and digits");
    Err(vec![Violation::new(ROUTING_KEY, Reason::Grammar, said)])
}

#[async_trait]
impl Channel for PagerDuty {
    fn vet(&self, allow: &Allow) -> Result<(), Violation> {
        self.url.vet(allow).map_err(|error| error.of(URL))
    }

    async fn send(&self, telling: Telling<'_>, outside: &Outside) -> Attempted {
        let key = self.routing_key.expose_secret();
        let body = body(telling.message, key);
        // What PagerDuty refuses with 4xx it would refuse again.
        match body.and_then(|body| request::json(&self.url, &body, &telling, true)) {
            Ok(call) => secret::redacted(understood(outside.attempt(call, telling.deadline).await), &[key]),
            Err(error) => Attempted::unsendable(error),
        }
    }
}

/// Whoever answers well and says something else is not PagerDuty, but stands before it.
fn understood(attempted: Attempted) -> Attempted {
    match attempted.status {
        Some(status) if attempted.outcome == Outcome::Delivered && status != ACCEPTED => {
            let error = format!("the answer is {status}, and PagerDuty's is {ACCEPTED}");
            Attempted { outcome: Outcome::Failed, error, ..attempted }
        }
        _ => attempted,
    }
}

fn body(message: &Message, routing_key: &str) -> Result<Value, String> {
    let event = message.event.as_ref().ok_or("the delivery has no event")?;
    let (action, dedup_key) = (action(message.alarm_change()), dedup_key(message, event));
    let mut body = json!({ "routing_key": routing_key, "event_action": action, "dedup_key": dedup_key });
    if action == "trigger" {
        let whole = to_structured(event)
            .map_err(|violation| format!("{}: {}", violation.field, violation.description))?;
        let whole: Value = serde_json::from_str(&whole).map_err(|error| error.to_string())?;
        body["client"] = "Cornjacket".into();
        body["payload"] = payload(message, event, &whole);
        if body.to_string().len() > MOST_BYTES {
            body["payload"] = payload(message, event, &which(event));
        }
    }
    Ok(body)
}

const fn action(change: AlarmChange) -> &'static str {
    match change {
        AlarmChange::None | AlarmChange::Raised | AlarmChange::SeverityChanged => "trigger",
        AlarmChange::Acknowledged => "acknowledge",
        AlarmChange::Cleared => "resolve",
    }
}

/// What makes it the same alert. One that is too long has an id in its place that follows from it.
fn dedup_key(message: &Message, event: &Event) -> String {
    let key = if message.alarm_key.is_empty() {
        format!("{}/{}/{}", message.rule, event.r#type, event.subject)
    } else {
        message.alarm_key.clone()
    };
    if key.chars().count() <= DEDUP_KEY { key } else { id_of(["dedup_key", &key]) }
}

fn payload(message: &Message, event: &Event, shown: &Value) -> Value {
    let mut payload = json!({
        "summary": cut(naming::title(message), SUMMARY),
        "source": cut(&event.source, SHORT),
        "severity": crate::severity::name(message.severity()),
        "component": cut(&event.subject, SHORT),
        "group": message.rule,
        "class": cut(&event.r#type, SHORT),
        "custom_details": {
            "text": message.text,
            "rule": message.rule,
            "rule_version": message.rule_version,
            "event": shown,
        },
    });
    let time = event.event_time.or(event.ingest_time);
    // Outside of the years 1 to 9999 there is no way to write it.
    if let Some(time) = time.filter(|time| Timestamp::from_proto(time).is_some()) {
        payload["timestamp"] = time.to_string().into();
    }
    payload
}

/// Which event it is, for one that is too large to be shown.
fn which(event: &Event) -> Value {
    json!({ "id": event.id, "source": event.source, "type": event.r#type, "subject": event.subject })
}

fn cut(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests;
