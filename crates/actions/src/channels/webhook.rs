//! A signed POST of a CloudEvent.
//!
//! The body is the event in CloudEvents' structured JSON, as every door of Cornjacket writes it
//! ([`cornjacket_domain::cloudevents`]), so that a receiver with a CloudEvents SDK, or another Cornjacket, reads it as it
//! happened. What the rule says of it are extension attributes beside the log's `cornjacketposition`:
//!
//! | attribute | what |
//! | --- | --- |
//! | `cornjacketrule` | the rule's name |
//! | `cornjacketrulerev` | its version, a number |
//! | `cornjacketseverity` | `info`, `warning`, `error` or `critical` |
//! | `cornjackettitle` | one line |
//! | `cornjackettext` | more; left out when there is none |
//! | `cornjackettest` | true, of what is a test |
//! | `cornjacketalarm` | the key of the alarm that it is about |
//! | `cornjacketalarmchange` | what has become of it: `raised`, `severity-changed`, `acknowledged` or `cleared` |
//!
//! Strings of CloudEvents have no control characters: lines end with U+2028 (line separator), and other such characters are
//! spaces. Attributes that the event itself has under these names are not sent.
//!
//! Fields: those of the endpoint ([`super::headers`]: neither ours nor such that hold secrets), `content-type`, `user-agent`,
//! the three of Standard Webhooks, and `traceparent` of the attempt. The event's own trace is in the body.

use async_trait::async_trait;
use bytes::Bytes;
use cornjacket_domain::cloudevents::{STRUCTURED, to_structured};
use cornjacket_domain::violation::{Reason, Violation};
use cornjacket_proto::actions::{self, Severity, Signing};
use cornjacket_proto::events::AttributeValue;
use cornjacket_proto::events::attribute_value::Value;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use secrecy::SecretString;

use super::{Channel, Telling, headers, request};
use crate::guard::Allow;
use crate::message::Message;
use crate::outside::{Attempted, Call, Outside};
use crate::receiver_url::ReceiverUrl;
use crate::signing::{self, Key};

const URL: &str = "webhook.url";
/// What CloudEvents' strings have in place of a line feed.
const LINE_END: char = '\u{2028}';

/// An endpoint's webhook.
#[derive(Debug)]
pub struct Webhook {
    url: ReceiverUrl,
    headers: HeaderMap,
    keys: Vec<Key>,
    client_errors_are_final: bool,
}

impl Webhook {
    /// As set.
    pub fn new(
        settings: &actions::Webhook,
        secrets: &[SecretString],
        client_errors_are_final: bool,
    ) -> Result<Self, Vec<Violation>> {
        let url = ReceiverUrl::parse(&settings.url).map_err(|error| vec![error.of(URL)]);
        let headers = headers::read(&settings.headers, "webhook.headers");
        let signing = Signing::try_from(settings.signing).map_err(|_| {
            vec![Violation::new(
                "webhook.signing",
                Reason::Range,
                format!("{} is no signing", settings.signing),
            )]
        });
        let keys: Result<Vec<_>, _> = secrets.iter().map(Key::parse).collect();
        let keys = keys.map_err(|error| vec![Violation::new("secrets", Reason::Grammar, error.to_string())]);
        match (url, headers, signing, keys) {
            (Ok(url), Ok(headers), Ok(_), Ok(keys)) => {
                Ok(Self { url, headers, keys, client_errors_are_final })
            }
            (url, headers, signing, keys) => {
                let found = [url.err(), headers.err(), signing.err(), keys.err()];
                Err(found.into_iter().flatten().flatten().collect())
            }
        }
    }

    fn call(&self, telling: &Telling<'_>) -> Result<Call<'_>, String> {
        let body = Bytes::from(body(telling.message)?);
        let signed = signing::sign(&self.keys, telling.id, telling.now, &body);
        let mut headers = self.headers.clone();
        headers.extend(signed.map_err(|error| error.to_string())?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(STRUCTURED));
        request::introduce(&mut headers, telling)?;
        Ok(Call {
            url: &self.url,
            method: Method::POST,
            headers,
            body,
            now: telling.now,
            client_errors_are_final: self.client_errors_are_final,
        })
    }
}

#[async_trait]
impl Channel for Webhook {
    fn vet(&self, allow: &Allow) -> Result<(), Violation> {
        self.url.vet(allow).map_err(|error| error.of(URL))
    }

    async fn send(&self, telling: Telling<'_>, outside: &Outside) -> Attempted {
        match self.call(&telling) {
            Ok(call) => outside.attempt(call, telling.deadline).await,
            Err(error) => Attempted::unsendable(error),
        }
    }
}

/// The event, with what the rule says of it.
fn body(message: &Message) -> Result<String, String> {
    let mut event = message.event.clone().ok_or("the delivery has no event")?;
    let said = [
        ("cornjacketrule", text(&message.rule)),
        ("cornjacketrulerev", Some(number(message.rule_version))),
        (
            "cornjacketseverity",
            severity(message.severity()).map(|severity| Value::String(severity.to_owned())),
        ),
        ("cornjackettitle", text(&message.title)),
        ("cornjackettext", text(&message.text)),
        ("cornjackettest", message.is_test.then_some(Value::Boolean(true))),
        ("cornjacketalarm", text(&message.alarm_key)),
        ("cornjacketalarmchange", message.alarm_change().name().map(|name| Value::String(name.to_owned()))),
    ];
    for (name, value) in said {
        event.attributes.remove(name);
        let value = value.map(|value| (name.to_owned(), AttributeValue { value: Some(value) }));
        event.attributes.extend(value);
    }
    to_structured(&event).map_err(|violation| format!("{}: {}", violation.field, violation.description))
}

fn text(text: &str) -> Option<Value> {
    let legal = |character: char| match character {
        '\n' => LINE_END,
        character if character.is_control() => ' ',
        character => character,
    };
    (!text.is_empty()).then(|| Value::String(text.chars().map(legal).collect()))
}

/// CloudEvents' integers have 32 bits and a sign.
fn number(number: u32) -> Value {
    i32::try_from(number).map_or_else(|_| Value::String(number.to_string()), Value::Integer)
}

/// Nothing where it is not known: none of the words would be true.
fn severity(severity: Severity) -> Option<&'static str> {
    (severity != Severity::Unspecified).then(|| crate::severity::name(severity))
}

#[cfg(test)]
mod tests;
