use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::client::Client;

const TAIL: &str = "GET /api/v1/query/events:tail";
const SSE: (&str, &str) = ("accept", "text/event-stream");

#[tokio::test]
async fn messages_come_as_lines() {
    let answer = Client::new().ask(TAIL, &[], Body::empty()).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-accel-buffering"), "no");
    let lines: Vec<Value> =
        answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let message =
        |position: &str, token: &str| json!({"caughtUp": {"position": position}, "resumeToken": token});
    assert_eq!(lines, [message("1", "t1"), message("2", "t2")]);
}

#[tokio::test]
async fn messages_come_as_events_with_their_tokens() {
    let answer = Client::new().ask(TAIL, &[SSE], Body::empty()).await;
    assert_eq!(answer.header("content-type"), "text/event-stream");
    let first = answer.text().split("\n\n").next().expect("an event");
    assert_eq!(first, "id: t1\ndata: {\"caughtUp\":{\"position\":\"1\"},\"resumeToken\":\"t1\"}");
}

#[tokio::test]
async fn an_error_in_the_middle_is_the_last_thing() {
    let client = Client::new();
    let broken = format!("{TAIL}?subject=broken");
    let answer = client.ask(&broken, &[], Body::empty()).await;
    assert_eq!(answer.status, 200);
    let last: Value = serde_json::from_str(answer.text().lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["error"]["status"], 503);
    assert_eq!(last["error"]["code"], "UNAVAILABLE");
    assert_eq!(last["error"]["requestId"], answer.header("x-request-id"));
    let answer = client.ask(&broken, &[SSE], Body::empty()).await;
    let events: Vec<_> = answer.text().trim_end().split("\n\n").collect();
    assert_eq!(events.len(), 3);
    assert!(events[2].starts_with("event: error\ndata: {\"type\":"), "{}", events[2]);
}

#[tokio::test]
async fn an_error_before_the_first_message_has_its_status() {
    let answer = Client::new().ask(&format!("{TAIL}?subject=late"), &[SSE], Body::empty()).await;
    assert_eq!(answer.problem(400)["code"], "OUT_OF_RANGE");
}

#[tokio::test]
async fn the_last_event_id_resumes() {
    let client = Client::new();
    client.ask(&format!("{TAIL}?resume_token=old"), &[SSE, ("last-event-id", "t9")], Body::empty()).await;
    assert_eq!(client.fake.tail.lock().expect("the lock").resume_token, "t9");
}

#[tokio::test]
async fn quiet_streams_beat_until_the_client_is_gone() {
    let client = Client::new();
    let quiet = format!("{TAIL}?subject=quiet");
    for (headers, heartbeat) in [([SSE], ":\n\n"), ([("accept", "*/*")], "\n")] {
        let answer = client.open(&quiet, &headers, Body::empty()).await;
        let mut frames = answer.into_body().into_data_stream().skip(2);
        let third = tokio::time::timeout(Duration::from_secs(10), frames.next()).await.expect("in time");
        assert_eq!(third.expect("a frame").expect("bytes"), heartbeat);
        drop(frames);
        let dropped = tokio::time::timeout(Duration::from_secs(10), client.fake.dropped.notified());
        dropped.await.expect("the stream is dropped");
    }
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline() {
    let timeout = ("request-timeout", "0.2");
    let answer = Client::new().ask(&format!("{TAIL}?subject=quiet"), &[timeout], Body::empty()).await;
    let last: Value = serde_json::from_str(answer.text().lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["error"]["code"], "DEADLINE_EXCEEDED");
}
