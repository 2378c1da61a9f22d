use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::cloudevents::from_structured;
use cornjacket_domain::{Clock, SystemClock, Timestamp};
use cornjacket_proto::actions::{Endpoint, endpoint};
use cornjacket_proto::events::Event;
use secrecy::ExposeSecret;
use standardwebhooks::Webhook as Verifier;

use super::*;
use crate::channels::open;
use crate::classify::Outcome;
use crate::outside::tests::{Receiver, outside};

fn message() -> Message {
    let attributes = [("site", "north"), ("cornjackettitle", "forged")];
    let string = |text: &str| AttributeValue { value: Some(Value::String(text.to_owned())) };
    let event = Event {
        id: "e1".to_owned(),
        source: "devices/pump-7".to_owned(),
        r#type: "sensor.reading".to_owned(),
        subject: "pump-7".to_owned(),
        position: 42,
        attributes: attributes.map(|(name, text)| (name.to_owned(), string(text))).into(),
        ..Event::default()
    };
    Message {
        rule: "too-hot".to_owned(),
        rule_version: 3,
        severity: Severity::Critical.into(),
        title: "pump-7 is too hot\r".to_owned(),
        text: "91 °C\nsince \"noon\"".to_owned(),
        event: Some(event),
        ..Message::default()
    }
}

fn endpoint(url: &str, headers: &[(&str, &str)]) -> Endpoint {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let webhook = actions::Webhook { url: url.to_owned(), headers: headers.collect(), ..Default::default() };
    Endpoint { channel: Some(endpoint::Channel::Webhook(webhook)), ..Endpoint::default() }
}

fn telling(message: &Message, now: Timestamp) -> Telling<'_> {
    Telling { id: "d1", message, now, deadline: Duration::from_secs(20), traceparent: None }
}

fn attribute<'a>(event: &'a Event, name: &str) -> Option<&'a Value> {
    event.attributes.get(name)?.value.as_ref()
}

#[test]
fn the_body_is_the_event_with_what_the_rule_says_of_it() -> anyhow::Result<()> {
    let body = body(&message()).map_err(anyhow::Error::msg)?;
    let json: serde_json::Value = serde_json::from_str(&body)?;
    for (name, value) in [
        ("id", "e1"),
        ("subject", "pump-7"),
        ("site", "north"),
        ("cornjacketposition", "42"),
        ("cornjacketrule", "too-hot"),
        ("cornjacketseverity", "critical"),
        ("cornjackettitle", "pump-7 is too hot "),
        ("cornjackettext", "91 °C\u{2028}since \"noon\""),
    ] {
        assert_eq!(json[name], value, "{name}");
    }
    assert_eq!(json["cornjacketrulerev"], 3);
    let event = from_structured(body.as_bytes())?;
    assert_eq!(attribute(&event, "cornjackettitle"), Some(&Value::String("pump-7 is too hot ".to_owned())));
    Ok(())
}

#[test]
fn nothing_is_said_where_the_rule_says_nothing() -> anyhow::Result<()> {
    let silent = Message { event: message().event, ..Message::default() };
    let json: serde_json::Value = serde_json::from_str(&body(&silent).map_err(anyhow::Error::msg)?)?;
    for name in ["cornjacketrule", "cornjacketseverity", "cornjackettitle", "cornjackettext"] {
        assert_eq!(json.get(name), None, "{name}");
    }
    Ok(())
}

/// The head of a request as fields, and its body.
fn parted(heard: &[u8]) -> anyhow::Result<(HeaderMap, String)> {
    let text = std::str::from_utf8(heard)?;
    let (fields, body) = text.split_once("\r\n\r\n").context("a head")?;
    let fields = fields.lines().skip(1).map(|line| {
        let (name, value) = line.split_once(": ").context("a field")?;
        Ok((name.parse::<http::HeaderName>()?, value.parse::<HeaderValue>()?))
    });
    Ok((fields.collect::<anyhow::Result<_>>()?, body.to_owned()))
}

#[tokio::test]
async fn a_receiver_verifies_and_reads_it() -> anyhow::Result<()> {
    let mut receiver = Receiver::saying("HTTP/1.1 204 No Content\r\n\r\n").await?;
    let keys = [Key::generate(Signing::Hmac)?.secret(), Key::generate(Signing::Hmac)?.secret()];
    let endpoint = endpoint(&receiver.url().to_string(), &[("X-Team", "pumps")]);
    let channel = open(&endpoint, &keys).map_err(|bad| anyhow::anyhow!("{bad:?}"))?;
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let message = message();
    let telling = Telling { traceparent: Some(traceparent), ..telling(&message, SystemClock.now()) };
    let attempted = channel.send(telling, &outside(&["127.0.0.1"])?).await;
    assert_eq!((attempted.outcome, attempted.status), (Outcome::Delivered, Some(204)), "{}", attempted.error);
    let (fields, body) = parted(&receiver.ended().await??)?;
    for key in &keys {
        Verifier::new(key.expose_secret())?.verify(body.as_bytes(), &fields)?;
    }
    for (name, value) in [
        ("webhook-id", "d1"),
        ("content-type", "application/cloudevents+json"),
        ("user-agent", concat!("Cornjacket/", env!("CARGO_PKG_VERSION"))),
        ("x-team", "pumps"),
        ("traceparent", traceparent),
    ] {
        assert_eq!(fields[name], value);
    }
    let names = ["webhook-timestamp", "webhook-signature", "host", "content-length"];
    assert!(names.iter().all(|name| fields.contains_key(*name)) && fields.len() == 9, "{fields:?}");
    assert_eq!(from_structured(body.as_bytes())?.id, "e1");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_with_the_reason() -> anyhow::Result<()> {
    let outside = outside(&[])?;
    let key = Key::generate(Signing::Hmac)?.secret();
    let (message, nothing) = (message(), Message::default());
    for (message, keys, said) in [
        (&nothing, vec![key.clone()], "the delivery has no event"),
        (&message, vec![], "there is no key to sign with"),
        (&message, vec![key], "127.0.0.1: the address 127.0.0.1 is not allowed: loopback (RFC 1122)"),
    ] {
        let channel =
            open(&endpoint("http://127.0.0.1:9/", &[]), &keys).map_err(|bad| anyhow::anyhow!("{bad:?}"))?;
        let attempted = channel.send(telling(message, Timestamp::default()), &outside).await;
        assert_eq!(attempted.outcome, Outcome::Refused { disable: false });
        assert_eq!(attempted.error, said);
    }
    Ok(())
}

#[test]
fn everything_that_is_wrong_is_said_by_field() -> anyhow::Result<()> {
    let fields = |endpoint: &Endpoint, secrets: &[SecretString]| {
        let violations = open(endpoint, secrets).err().unwrap_or_default();
        violations.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
    };
    assert_eq!(fields(&Endpoint::default(), &[]), ["webhook"]);
    let mut bad = endpoint("ftp://a", &[("host", "a"), ("x-é", "b"), ("x-good", "c")]);
    if let Some(endpoint::Channel::Webhook(webhook)) = &mut bad.channel {
        webhook.signing = 9;
    }
    let found = fields(&bad, &["whsec_".into()]);
    let expected = [
        "webhook.url",
        "webhook.headers[\"host\"]",
        "webhook.headers[\"x-é\"]",
        "webhook.signing",
        "secrets",
    ];
    assert_eq!(found, expected);
    let forbidden =
        open(&endpoint("https://2130706433/", &[]), &[]).map_err(|bad| anyhow::anyhow!("{bad:?}"))?;
    let violation = forbidden.vet(&Allow::default()).expect_err("loopback");
    assert_eq!(violation.field, "webhook.url");
    assert_eq!(violation.description, "the address 127.0.0.1 is not allowed: loopback (RFC 1122)");
    assert_eq!(forbidden.vet(&Allow::parse(["127.0.0.0/8"])?), Ok(()));
    Ok(())
}
