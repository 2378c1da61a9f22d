use cornjacket_proto::actions::endpoint;
use serde_json::json;

use super::*;
use crate::channels::testing::{alarm, fields, message, opened, parted, telling};
use crate::classify::Outcome;
use crate::message::{AlarmChange, Message};
use crate::outside::tests::{Receiver, outside};
use crate::testing::NOW;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn settings(url: &str, body: &str) -> actions::HttpRequest {
    actions::HttpRequest { url: url.into(), body: body.into(), ..Default::default() }
}

fn channel(settings: &actions::HttpRequest) -> endpoint::Channel {
    endpoint::Channel::Http(settings.clone())
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// What a server hears; or why it hears nothing.
async fn heard(
    settings: &actions::HttpRequest,
    secrets: &[SecretString],
    message: &Message,
) -> anyhow::Result<Result<(String, HeaderMap, String), String>> {
    let mut receiver = Receiver::saying(OK).await?;
    let server = receiver.url().to_string();
    let settings = actions::HttpRequest {
        url: settings.url.replace("SERVER", server.trim_end_matches("/hook?a=b")),
        ..settings.clone()
    };
    let channel = opened(channel(&settings), secrets)?;
    let attempted = channel.send(telling(message, NOW), &outside(&["127.0.0.1"])?).await;
    if attempted.outcome != Outcome::Delivered {
        assert_eq!(attempted.outcome, Outcome::Refused { disable: false });
        return Ok(Err(attempted.error));
    }
    Ok(Ok(parted(&receiver.ended().await??)?))
}

#[tokio::test]
async fn a_request_is_made_of_what_is_told() -> anyhow::Result<()> {
    let settings = actions::HttpRequest {
        method: "PUT".into(),
        headers: map(&[
            ("X-Rule", "{{ rule }} {{ rule_version }}"),
            ("x-plain", "a"),
            ("idempotency-key", "{{ delivery }}"),
        ]),
        ..settings(
            "SERVER/tickets/{{ event.subject }}?at={{ event.position }}",
            r#"{"title": "{{ title }}", "text": "{{ text }}", "severity": "{{ severity }}", "position": {{ event.position }},
              "alarm": "{{ alarm_key }}", "change": "{{ alarm_change }}", "event": {{ event }}}"#,
        )
    };
    let secret: SecretString = json!({ "authorization": "Bearer xyzzy" }).to_string().into();
    let (first, fields, body) =
        heard(&settings, &[secret], &alarm(AlarmChange::Cleared)).await?.map_err(anyhow::Error::msg)?;
    assert_eq!(first, "PUT /tickets/pump-7?at=42 HTTP/1.1");
    for (name, value) in [
        ("x-rule", "too-hot 3"),
        ("x-plain", "a"),
        ("idempotency-key", "d1"),
        ("authorization", "Bearer xyzzy"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(fields[name], value);
    }
    assert_eq!(fields.len(), 8, "{fields:?}");
    let body: serde_json::Value = serde_json::from_str(&body)?;
    let event = &body["event"];
    assert_eq!((&event["subject"], &event["position"]), (&json!("pump-7"), &json!(42)));
    let expected = json!({
        "title": "pump-7 is too hot", "text": "91 °C\nsince noon", "severity": "critical", "position": 42,
        "alarm": "hot/pump-7", "change": "cleared", "event": event,
    });
    assert_eq!(body, expected);
    Ok(())
}

#[tokio::test]
async fn what_is_not_said_has_a_default() -> anyhow::Result<()> {
    let (first, fields, body) =
        heard(&settings("SERVER", ""), &[], &message()).await?.map_err(anyhow::Error::msg)?;
    assert_eq!((first.as_str(), body.as_str()), ("POST / HTTP/1.1", ""));
    assert!(!fields.contains_key("content-type"), "{fields:?}");
    let plain =
        actions::HttpRequest { content_type: "text/plain".into(), ..settings("SERVER/", "{{ title }}: \"") };
    let (_, fields, body) = heard(&plain, &[], &message()).await?.map_err(anyhow::Error::msg)?;
    assert_eq!((body.as_str(), &fields["content-type"]), ("pump-7 is too hot: \"", &"text/plain".parse()?));
    Ok(())
}

#[tokio::test]
async fn nothing_that_a_device_says_gets_out_of_where_it_stands() -> anyhow::Result<()> {
    let settings = actions::HttpRequest {
        headers: map(&[("x-title", "t={{ title }}")]),
        ..settings(
            "SERVER/a/{{ event.subject }}/b?q={{ title }}",
            r#"{"title": "{{ title }}", "as": {{ event.subject }}0}"#,
        )
    };
    let hostile = |title: &str, subject: &str| {
        let mut message = message();
        message.title = title.into();
        message.event.as_mut().expect("an event").subject = subject.into();
        message
    };
    let wild = hostile("\", \"admin\": true, \"\u{1f}\\\r\nx-evil: 1&r=2#é", "1");
    let (first, fields, body) = heard(&settings, &[], &wild).await?.map_err(anyhow::Error::msg)?;
    let encoded = "%22%2C%20%22admin%22%3A%20true%2C%20%22%1F%5C%0D%0Ax-evil%3A%201%26r%3D2%23%C3%A9";
    assert_eq!(first, format!("POST /a/1/b?q={encoded} HTTP/1.1"));
    assert_eq!(fields["x-title"], "t=\", \"admin\": true, \"?\\??x-evil: 1&r=2#?");
    assert!(!fields.contains_key("x-evil"));
    assert_eq!(serde_json::from_str::<serde_json::Value>(&body)?, json!({ "title": wild.title, "as": 10 }));

    // Nor does it lead elsewhere in the URL, and what is no JSON is not sent.
    let (first, ..) = heard(&settings, &[], &hostile("", "1")).await?.map_err(anyhow::Error::msg)?;
    assert_eq!(first, "POST /a/1/b?q= HTTP/1.1");
    for (subject, said) in [
        ("..", "http.url: becomes a path with a segment of dots"),
        (".", "http.url: becomes a path with a segment of dots"),
        ("x", "http.body: becomes what is no JSON: expected value at line 1 column 21"),
    ] {
        assert_eq!(heard(&settings, &[], &hostile("", subject)).await?, Err(said.to_owned()), "{subject}");
    }
    let (first, ..) =
        heard(&self::settings("SERVER/{{ event.subject }}", ""), &[], &hostile("", "../@evil:80/?#"))
            .await?
            .map_err(anyhow::Error::msg)?;
    assert_eq!(first, "POST /..%2F%40evil%3A80%2F%3F%23 HTTP/1.1");
    let large = settings_of_size();
    assert_eq!(
        heard(&large, &[], &hostile(&"x".repeat(70_000), "1")).await?,
        Err("the template fails: http.body: becomes more than 1048576 bytes".into())
    );
    Ok(())
}

fn settings_of_size() -> actions::HttpRequest {
    settings("SERVER/", &format!("\"{}\"", "{{ title }}".repeat(16)))
}

#[tokio::test]
async fn its_secret_headers_are_secrets() -> anyhow::Result<()> {
    let receiver = Receiver::saying("HTTP/1.1 200 OK\r\n\r\nyou said: Bearer xyzzy").await?;
    let secret: SecretString = json!({ "authorization": "Bearer xyzzy" }).to_string().into();
    let channel = opened(channel(&settings(&receiver.url().to_string(), "")), &[secret])?;
    let attempted = channel.send(telling(&message(), NOW), &outside(&["127.0.0.1"])?).await;
    assert_eq!(&*attempted.response, b"you said: [secret]");
    assert!(!format!("{channel:?} {attempted:?}").contains("xyzzy"), "{channel:?}");
    Ok(())
}

#[test]
fn everything_that_is_wrong_is_said_by_field_and_not_with_the_secret() {
    let bad = actions::HttpRequest {
        method: "get".into(),
        headers: map(&[("host", "a"), ("x-a", "{{ a"), ("cookie", "a")]),
        content_type: "json".into(),
        ..settings("https://{{ event.subject }}/", "{{ a | nope }}")
    };
    let secret: SecretString =
        json!({ "authorization": "xyzzy\n", "host": "xyzzy", "x-a": "xyzzy" }).to_string().into();
    let expected = [
        "http.method",
        "http.url",
        "http.headers[\"cookie\"]",
        "http.headers[\"host\"]",
        "http.content_type",
        "http.body",
        "http.secret_headers[\"authorization\"]",
        "http.secret_headers[\"host\"]",
    ];
    assert_eq!(fields(channel(&bad), std::slice::from_ref(&secret)), expected);
    let violations = HttpRequest::new(&bad, &[secret, "xyzzy".into()], false).expect_err("all of it");
    assert!(!format!("{violations:?}").contains("xyzzy"), "{violations:?}");
    assert_eq!(fields(channel(&settings("https://a/", "")), &["xyzzy".into()]), ["http.secret_headers"]);
    for url in [
        "",
        "ftp://a/",
        "//a/",
        "{{ a }}://b/",
        "https://a{{ b }}/",
        "https://u:p@a/",
        "https://a b/",
        "https://a/ ",
    ] {
        assert_eq!(fields(channel(&settings(url, "")), &[]), ["http.url"], "{url}");
    }
    let get = actions::HttpRequest { method: "GET".into(), ..settings("https://a/", "{}") };
    assert_eq!(fields(channel(&get), &[]), ["http.body"]);
    let twice = actions::HttpRequest { headers: map(&[("X-Key", "a")]), ..settings("https://a/", "") };
    let secret: SecretString = json!({ "x-key": "b" }).to_string().into();
    assert_eq!(fields(channel(&twice), &[secret]), ["http.secret_headers[\"x-key\"]"]);
    let private = HttpRequest::new(&settings("http://0x7f.1/{{ rule }}", ""), &[], false).expect("a URL");
    assert_eq!(private.vet(&Allow::default()).expect_err("loopback").field, "http.url");
}

#[test]
fn what_a_secret_is_sent_to_is_scheme_host_and_port() {
    for (url, expected) in [
        ("https://a.example/b?c", "https://a.example"),
        ("https://a.example:8443?c", "https://a.example:8443"),
        ("https://a.example\\@evil/", "https://a.example"),
        ("https://a.example", "https://a.example"),
        ("", ""),
    ] {
        assert_eq!(server(url), expected);
    }
}
