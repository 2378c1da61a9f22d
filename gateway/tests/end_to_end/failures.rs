use std::time::Duration;

use axum::body::Body;
use cornjacket_gateway::{Gateway, Upstream};
use serde_json::json;
use tower::ServiceExt;

use crate::client::{Client, INGEST, options, upstreams};

fn about(subject: &str) -> String {
    json!({ "subject": subject }).to_string()
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let client = Client::new();
    let problem = client.get("/api/v2/nothing").await.problem(404);
    assert_eq!(problem["code"], "NOT_FOUND");
    assert_eq!(problem["type"], "urn:cornjacket:problem:not-found");
    let answer = client.ask(&format!("DELETE {INGEST}"), &[], Body::empty()).await;
    answer.problem(405);
    assert_eq!(answer.header("allow"), "POST");
    // A stream of requests has no route.
    client.ask("POST /cornjacket.ingest.v1.IngestService/AppendStream", &[], "{}").await.problem(404);
}

#[tokio::test]
async fn bad_json_is_told_with_field_line_and_column() {
    let event = "{\"sensorReading\": {\"measurements\": [{\"value\": 1},\n  {\"value\": \"warm\"}]}}";
    let problem = Client::new().append(&[], event).await.problem(400);
    let error = &problem["errors"][0];
    assert_eq!(error["field"], "event.sensorReading.measurements[1].value");
    assert_eq!((&error["line"], &error["column"]), (&json!(2), &json!(18)));
    assert_eq!(problem["details"][0]["@type"], "type.googleapis.com/google.rpc.BadRequest");
}

#[tokio::test]
async fn what_is_unknown_is_named() {
    let client = Client::new();
    let field = |answer: serde_json::Value| answer["errors"][0]["field"].clone();
    assert_eq!(field(client.get("/api/v1/query/events?nope=1").await.problem(400)), "nope");
    assert_eq!(field(client.append(&[], r#"{"nope": 1}"#).await.problem(400)), "event.nope");
    let answer = client.ask(&format!("POST {INGEST}?event.id=1"), &[], "{}").await;
    assert_eq!(field(answer.problem(400)), "event.id");
}

#[tokio::test]
async fn a_services_failure_keeps_its_details() {
    let client = Client::new();
    let answer = client.append(&[], &about("full")).await;
    let problem = answer.problem(429);
    assert_eq!(answer.header("retry-after"), "2");
    assert_eq!(problem["details"][0]["retryDelay"], "1.200s");
    let problem = client.append(&[], &about("bad")).await.problem(400);
    assert_eq!(problem["errors"][0]["field"], "event.sensorReading");
    assert_eq!(problem["errors"][0]["reason"], "REQUIRED");
    assert_eq!(problem["details"][0]["fieldViolations"][0]["field"], "event.sensor_reading");
    client.append(&[], &about("large")).await.problem(413);
    let answer = client.append(&[], &about("stranger")).await;
    answer.problem(401);
    assert!(answer.header("www-authenticate").starts_with("Bearer "));
}

#[tokio::test]
async fn defects_leak_nothing() {
    let answer = Client::new().append(&[], &about("defect")).await;
    assert_eq!(answer.problem(500)["code"], "INTERNAL");
    assert!(!answer.text().contains("hunter2"));
}

#[tokio::test]
async fn services_that_are_not_there_are_unavailable_or_not_offered() {
    // Port 1 of this machine is nobody's.
    let upstream = Upstream::remote("http://127.0.0.1:1").expect("an address");
    let gateway = Gateway::new(options(), upstreams(&upstream)).expect("a gateway");
    let client = Client { fake: crate::fake::Fake::default(), router: gateway.layered(gateway.router()) };
    let answer = client.append(&[], "{}").await;
    answer.problem(503);
    assert_eq!(answer.header("retry-after"), "1");
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
    client.get("/api/v1/admin/consumers").await.problem(501);
}

#[tokio::test]
async fn deadlines_are_kept() {
    let client = Client::new();
    for header in [("grpc-timeout", "50m"), ("request-timeout", "0.05")] {
        let answer = client.append(&[header], &about("slow")).await;
        assert_eq!(answer.problem(504)["code"], "DEADLINE_EXCEEDED");
        client.fake.dropped.notified().await;
    }
    let problem = client.append(&[("request-timeout", "soon")], "{}").await.problem(400);
    assert_eq!(problem["errors"][0]["field"], "request-timeout");
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_its_call() {
    let client = Client::new();
    let request = http::Request::post(INGEST).body(Body::from(about("slow"))).expect("a request");
    let call = tokio::spawn(client.router.clone().oneshot(request));
    tokio::time::timeout(Duration::from_secs(10), async {
        while client.fake.metadata.lock().expect("the lock").is_empty() {
            tokio::task::yield_now().await;
        }
        call.abort();
        client.fake.dropped.notified().await;
    })
    .await
    .expect("the call ends");
}
