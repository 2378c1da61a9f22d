//! Bodies that take long to read.

use std::fmt::Write;
use std::pin::pin;
use std::time::{Duration, Instant};

use axum::body::Body;
use cornjacket_gateway::{BodyLimits, Options};

use crate::client::Client;

const KEYS: usize = 50_000;

fn many_keys() -> String {
    let mut text = r#"{"id": "1", "struct": {"k": 1"#.to_owned();
    for number in 0..KEYS {
        let _ = write!(text, r#", "k{number}": 1"#);
    }
    text + "}}"
}

/// The time from the first poll of `work` to its end, and the longest that a poll took: so long nobody else had the thread.
async fn longest_poll<T>(work: impl Future<Output = T>) -> (T, Duration, Duration) {
    let mut work = pin!(work);
    let (began, mut longest) = (Instant::now(), Duration::ZERO);
    let done = std::future::poll_fn(|context| {
        let polled = Instant::now();
        let outcome = work.as_mut().poll(context);
        longest = longest.max(polled.elapsed());
        outcome
    })
    .await;
    (done, began.elapsed(), longest)
}

#[tokio::test]
async fn a_large_body_keeps_nobody_elses_call_waiting() {
    let body = BodyLimits { bytes: 9 << 20, timeout: Duration::from_secs(30) };
    let client = Client::with(Options { body, ..Options::default() });
    let types = [("events", "application/json", "1"), ("cloudevents", "application/cloudevents+json", "2")];
    for (path, content_type, id) in types {
        let text = match path {
            "events" => many_keys(),
            _ => format!(
                r#"{{"specversion": "1.0", "id": "2", "source": "s", "type": "t", "subject": "u", "data": {}}}"#,
                many_keys()
            ),
        };
        let headers = [("content-type", content_type)];
        let what = format!("POST /api/v1/ingest/{path}");
        let asked = client.ask(&what, &headers, Body::from(text));
        let (answer, whole, longest) = longest_poll(asked).await;
        assert_eq!(answer.json()["receipt"]["id"], id, "{}", answer.text());
        assert!(longest < whole / 2, "{what}: {longest:?} of {whole:?} in one piece");
    }
}
