use std::io::Write;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::{StreamExt, stream};

use crate::client::{Client, INGEST};

const POST: &str = "POST /api/v1/ingest/events";

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).expect("memory takes all");
    encoder.finish().expect("memory takes all")
}

fn zstd(text: &[u8]) -> Vec<u8> {
    zstd::encode_all(text, 19).expect("memory takes all")
}

#[tokio::test]
async fn bodies_are_capped_whether_they_say_their_size_or_not() {
    let client = Client::new();
    let large = " ".repeat(70_000);
    let declared = [("content-length", "70000")];
    let detail = client.ask(POST, &declared, large.clone()).await.problem(413)["detail"].to_string();
    assert!(detail.contains("65536"), "{detail}");
    let chunks = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1_000])));
    client.ask(POST, &[], Body::from_stream(chunks)).await.problem(413);
}

#[tokio::test]
async fn bodies_that_do_not_come_are_not_waited_for() {
    let never = stream::pending::<Result<Bytes, std::io::Error>>();
    Client::new().ask(POST, &[], Body::from_stream(never)).await.problem(408);
}

#[tokio::test]
async fn compressed_bodies_are_read() {
    let client = Client::new();
    for (encoding, body) in [("gzip", gzip(br#"{"id": "1"}"#)), ("zstd", zstd(br#"{"id": "1"}"#))] {
        let answer = client.ask(POST, &[("content-encoding", encoding)], body).await;
        assert_eq!(answer.json()["receipt"]["id"], "1");
    }
    client.ask(POST, &[("content-encoding", "gzip")], "no gzip").await.problem(400);
    let answer = client.ask(POST, &[("content-encoding", "br")], "").await;
    answer.problem(415);
    assert_eq!(answer.header("accept-encoding"), "gzip, zstd");
}

#[tokio::test]
async fn bombs_are_not_inflated() {
    let client = Client::new();
    let zeros = vec![b' '; 16 << 20];
    for (encoding, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd(&zeros))] {
        assert!(bomb.len() < 64 << 10, "the bomb must fit through the door");
        client.ask(POST, &[("content-encoding", encoding)], bomb).await.problem(413);
    }
}

#[tokio::test]
async fn frames_that_want_much_memory_are_refused() {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).expect("an encoder");
    encoder.window_log(27).expect("a window");
    encoder.write_all(br#"{"id": "1"}"#).expect("memory takes all");
    let body = encoder.finish().expect("memory takes all");
    Client::new().ask(POST, &[("content-encoding", "zstd")], body).await.problem(400);
}

#[tokio::test]
async fn other_media_types_are_refused() {
    let client = Client::new();
    client.append(&[("content-type", "application/x-www-form-urlencoded")], "{}").await.problem(415);
    for json in ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json"] {
        assert_eq!(client.append(&[("content-type", json)], "{}").await.status, 200, "{json}");
    }
}

#[tokio::test]
async fn large_answers_are_compressed() {
    let client = Client::new();
    let accept = [("accept-encoding", "gzip")];
    let large = client.ask("GET /api/v1/query/events/1?source=large", &accept, Body::empty()).await;
    assert_eq!(large.header("content-encoding"), "gzip");
    assert!(large.body.len() < 10_000);
    let some = format!("GET /api/v1/query/events/{}", "x".repeat(200));
    let small = client.ask(&some, &accept, Body::empty()).await;
    assert_eq!(small.header("content-encoding"), "");
    let tail = [("accept-encoding", "gzip"), ("accept", "text/event-stream")];
    let answer = client.open("GET /api/v1/query/events:tail?subject=quiet", &tail, Body::empty()).await;
    assert!(!answer.headers().contains_key("content-encoding"));
    let mut frames = answer.into_body().into_data_stream();
    let first = tokio::time::timeout(Duration::from_secs(10), frames.next());
    first.await.expect("in time").expect("an event").expect("bytes");
}

#[tokio::test]
async fn browsers_may_call_from_the_origins_that_are_set() {
    let mut options = crate::client::options();
    options.cors_origins = vec!["https://app.example".into()];
    let client = Client::with(options);
    let what = format!("OPTIONS {INGEST}");
    for (origin, allowed) in [("https://app.example", "https://app.example"), ("https://other.example", "")] {
        let headers = [("origin", origin), ("access-control-request-method", "POST")];
        let answer = client.ask(&what, &headers, Body::empty()).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
    }
    Client::new().ask(&what, &[("origin", "https://app.example")], Body::empty()).await.problem(405);
}
