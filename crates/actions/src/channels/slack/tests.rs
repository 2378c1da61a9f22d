use std::time::Duration;

use cornjacket_proto::actions::endpoint::Channel::Slack as Settings;
use cornjacket_proto::actions::{self, Severity};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;
use crate::channels::testing::{Service, alarm, fields, message, opened, parted, telling};
use crate::channels::usual_rate;
use crate::limits::Rate;
use crate::message::AlarmChange;
use crate::outside::tests::{Receiver, hear, outside};
use crate::testing::NOW;

fn settings() -> cornjacket_proto::actions::endpoint::Channel {
    Settings(actions::Slack::default())
}

fn mrkdwn(said: &str) -> Value {
    json!({ "type": "mrkdwn", "text": said, "verbatim": true })
}

/// What Slack documents of a message, and refuses with 400.
fn slack(body: &Value, _: usize) -> (&'static str, String) {
    let length = |text: &Value| text.as_str().map_or(0, |text| text.chars().count());
    let blocks = body["blocks"].as_array().cloned().unwrap_or_default();
    let is_good = |block: &Value| match block["type"].as_str() {
        Some("section") => (1..=3_000).contains(&length(&block["text"]["text"])),
        Some("context") => block["elements"].as_array().is_some_and(|all| (1..=10).contains(&all.len())),
        _ => false,
    };
    let is_message = (1..=50).contains(&blocks.len()) && blocks.iter().all(is_good);
    if is_message && (1..=40_000).contains(&length(&body["text"])) {
        ("200 OK", "ok".into())
    } else {
        ("400 Bad Request", "invalid_blocks".into())
    }
}

#[test]
fn a_message_is_its_title_its_text_and_what_it_is_about() {
    let expected = json!({
        "text": "[critical] pump-7 is too hot",
        "blocks": [
            { "type": "section", "text": mrkdwn("*[critical] pump-7 is too hot*") },
            { "type": "section", "text": mrkdwn("91 °C\nsince noon") },
            { "type": "context", "elements": [mrkdwn("too-hot v3 · sensor.reading · pump-7")] },
        ],
        "unfurl_links": false,
        "unfurl_media": false,
    });
    assert_eq!(body(&message()), expected);
}

#[test]
fn what_became_of_an_alarm_is_said() {
    for (change, title, about) in [
        (AlarmChange::Raised, "[critical]", "alarm raised (critical)"),
        (AlarmChange::SeverityChanged, "[critical]", "alarm severity changed (critical)"),
        (AlarmChange::Acknowledged, "[acknowledged]", "alarm acknowledged (critical)"),
        (AlarmChange::Cleared, "[cleared]", "alarm cleared (critical)"),
    ] {
        let body = body(&alarm(change));
        let is_said =
            |at: &str, said: &str| body.pointer(at).and_then(Value::as_str).unwrap_or("").contains(said);
        assert!(is_said("/text", title) && is_said("/blocks/0/text/text", title), "{body}");
        assert!(is_said("/blocks/2/elements/0/text", about), "{body}");
    }
    for (severity, said) in [
        (Severity::Unspecified, "[warning]"),
        (Severity::Info, "[info]"),
        (Severity::Warning, "[warning]"),
        (Severity::Error, "[error]"),
    ] {
        let body = body(&Message { severity: severity.into(), ..message() });
        assert!(body["text"].as_str().is_some_and(|text| text.starts_with(said)), "{body}");
    }
}

#[test]
fn nothing_that_a_device_says_is_markup() {
    let mut message = alarm(AlarmChange::Raised);
    let event = message.event.as_mut().expect("an event");
    event.subject = "<!channel>&<https://evil|x>\n".into();
    event.r#type = "a<b".into();
    message.title = "*pump* &lt;!here&gt;".into();
    let body = body(&message);
    let about =
        "too-hot v3 · a&lt;b · &lt;!channel&gt;&amp;&lt;https://evil|x&gt;  · alarm raised (critical)";
    assert_eq!(body["blocks"][2]["elements"][0]["text"], about);
    assert_eq!(body["blocks"][0]["text"]["text"], "*[critical] ∗pump∗ &lt;!here&gt;*");
    let texts = body.to_string();
    assert!(!texts.contains('<') && !texts.contains('>'), "{texts}");
    assert_eq!(texts.matches("\"verbatim\":true").count(), texts.matches("mrkdwn").count());
}

#[test]
fn long_texts_are_sections_that_slack_takes_and_lose_nothing() {
    let line = "&amp;é".repeat(700) + "\n";
    for text in
        [line.repeat(3), "&lt;".repeat(4_096), "x".repeat(16_384), "\n".repeat(7_000), "&".repeat(9_000)]
    {
        let long = Message { text: text.clone(), title: "t&gt;".repeat(2_000), ..message() };
        let body = body(&long);
        assert_eq!(slack(&body, 0).0, "200 OK", "{body}");
        let pieces = pieces(&text);
        if !text.trim().is_empty() {
            assert_eq!(pieces.concat(), text);
        }
        let is_whole =
            |piece: &&str| !piece.ends_with("&am") && !piece.ends_with("&l") && !piece.ends_with("&lt");
        assert!(pieces.iter().all(is_whole));
    }
    let silent = Message { rule: "r".into(), ..Message::default() };
    assert_eq!(slack(&body(&silent), 0).0, "200 OK");
}

#[tokio::test]
async fn the_request_is_a_post_of_json() -> anyhow::Result<()> {
    let mut receiver = Receiver::saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
    let channel = opened(settings(), &[receiver.url().to_string().into()])?;
    let message = message();
    let attempted = channel.send(telling(&message, NOW), &outside(&["127.0.0.1"])?).await;
    assert_eq!((attempted.outcome, attempted.error.as_str()), (Outcome::Delivered, ""));
    let (first, fields, said) = parted(&receiver.ended().await??)?;
    assert_eq!(first, "POST /hook?a=b HTTP/1.1");
    assert_eq!((&fields["content-type"], fields.len()), (&"application/json".parse()?, 4));
    assert_eq!(serde_json::from_str::<Value>(&said)?, body(&message));
    Ok(())
}

#[tokio::test]
async fn what_slack_answers_has_its_meaning() -> anyhow::Result<()> {
    let refused = Outcome::Refused { disable: true };
    for (said, outcome, error) in [
        ("200 OK\r\ncontent-length: 3\r\n\r\nok\n", Outcome::Delivered, ""),
        (
            "200 OK\r\ncontent-length: 8\r\n\r\n<login/>",
            Outcome::Failed,
            "the answer is not Slack's `ok`: \"<login/>\"",
        ),
        (
            "429 Too Many\r\nretry-after: 30\r\n\r\n",
            Outcome::Held(Duration::from_secs(30)),
            "the answer is 429 Too Many Requests",
        ),
        ("410 Gone\r\n\r\nchannel_is_archived", refused, "the answer is 410 Gone"),
        ("500 Oops\r\n\r\nrollup_error", Outcome::Failed, "the answer is 500 Internal Server Error"),
    ] {
        let receiver = Receiver::saying(format!("HTTP/1.1 {said}")).await?;
        let channel = opened(settings(), &[receiver.url().to_string().into()])?;
        let attempted = channel.send(telling(&message(), NOW), &outside(&["127.0.0.1"])?).await;
        assert_eq!((attempted.outcome, attempted.error.as_str()), (outcome, error));
    }
    Ok(())
}

/// Slack takes one message a second. Whoever keeps to the usual rate hears no 429; whoever does not is held, and loses nothing.
#[tokio::test]
async fn one_a_second_is_what_slack_takes() -> anyhow::Result<()> {
    let documented = Rate { count: 1, per: Duration::from_secs(1) };
    let outside = outside(&["127.0.0.1"])?;
    for paces in [true, false] {
        let service = Service::new(documented, slack).await?;
        let channel = opened(settings(), &[service.receiver.url().to_string().into()])?;
        let rate = usual_rate(&crate::channels::testing::endpoint(settings())).expect("a limit");
        let (mut begun, mut titles) = (Vec::new(), Vec::new());
        for number in 0..5 {
            let title = format!("number {number}");
            let message = Message { title: title.clone(), ..message() };
            loop {
                if paces && let Err(until) = rate.room(&begun) {
                    service.set(until);
                }
                begun = vec![service.now()];
                match channel.send(telling(&message, service.now()), &outside).await.outcome {
                    Outcome::Delivered => break,
                    Outcome::Held(long) => service.set(service.now() + long),
                    other => panic!("{other:?}"),
                }
            }
            titles.push(format!("[critical] {title}"));
        }
        let heard = service.heard();
        assert_eq!(heard.too_many, if paces { 0 } else { 4 });
        assert_eq!(
            heard.taken.iter().map(|body| body["text"].as_str().unwrap_or("")).collect::<Vec<_>>(),
            titles
        );
    }
    Ok(())
}

#[tokio::test]
async fn its_url_is_a_secret() -> anyhow::Result<()> {
    const SECRET: &str = "xyzzyXYZZY";
    // It repeats what it was asked for.
    let receiver = Receiver::new(async |mut stream: TcpStream| {
        let heard = hear(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 404 No\r\n\r\n").await?;
        stream.write_all(&heard).await?;
        Ok(heard)
    });
    let receiver = receiver.await?;
    let channel = opened(settings(), &[format!("{}&key={SECRET}", receiver.url()).into()])?;
    let attempted = channel.send(telling(&message(), NOW), &outside(&["127.0.0.1"])?).await;
    let kept = format!("{} {}", attempted.error, String::from_utf8_lossy(&attempted.response));
    assert!(kept.contains("404") && kept.contains("POST [secret] HTTP/1.1"), "{kept}");
    assert!(!format!("{channel:?} {kept}").contains(SECRET), "{channel:?} {kept}");
    Ok(())
}

#[test]
fn what_is_wrong_is_said_by_field_and_not_with_the_secret() {
    assert_eq!(fields(settings(), &[]), ["slack.url"]);
    let bad: SecretString = "https://user:xyzzy@hooks.slack.com/x".into();
    let violations =
        crate::channels::open(&crate::channels::testing::endpoint(settings()), &[bad]).expect_err("a user");
    assert!(!format!("{violations:?}").contains("xyzzy"), "{violations:?}");
    let channel = Slack::new(&["https://10.0.0.1/x".into()], false).expect("a URL");
    assert_eq!(channel.vet(&Allow::default()).expect_err("private").field, "slack.url");
}
