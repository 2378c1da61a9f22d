use axum::body::Body;
use serde_json::json;

use crate::client::Client;

#[tokio::test]
async fn an_event_goes_in_and_its_receipt_comes_out() {
    let answer = Client::new().append(&[], r#"{"id": "1", "source": "s"}"#).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), "application/json");
    // 64-bit integers are strings, defaults are left out.
    assert_eq!(
        answer.json(),
        json!({"receipt": {"id": "1", "source": "s", "position": "1152921504606846976"}})
    );
}

#[tokio::test]
async fn only_the_response_body_is_answered() {
    let answer = Client::new().get("/api/v1/query/events/a/b%20c?source=plant-7%2Fline").await;
    assert_eq!(answer.json(), json!({"id": "a/b c", "source": "plant-7/line"}));
}

#[tokio::test]
async fn verbs_and_literals_come_first() {
    let client = Client::new();
    assert_eq!(client.get("/api/v1/query/events/a/b:timeline").await.json(), json!({"topic": "a/b"}));
    assert_eq!(client.get("/api/v1/query/events").await.json(), json!({}));
    let state = client.get("/api/v1/query/projections/device_state/a/b").await.json();
    assert_eq!(state, json!({"projection": "device_state", "subject": "a/b"}));
}

#[tokio::test]
async fn query_parameters_reach_nested_and_repeated_fields() {
    let client = Client::new();
    let query = "series.subject=a&series.metric=t&series.subject=b&series.metric=u&step=60s\
                 &startTime=2026-01-02T03:04:05Z&aggregations=AGGREGATION_MIN&aggregations=3&time_zone=Europe/Berlin";
    let answer = client.get(&format!("/api/v1/query/series:query?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let got = client.fake.series.lock().expect("the lock").clone();
    let keys: Vec<_> = got.series.iter().map(|key| (key.subject.as_str(), key.metric.as_str())).collect();
    assert_eq!(keys, [("a", "t"), ("b", "u")]);
    assert_eq!(got.step.expect("a step").seconds, 60);
    assert_eq!(got.start_time.expect("a time").seconds, 1_767_323_045);
    assert_eq!(got.aggregations, [2, 3]);
    assert_eq!(got.time_zone, "Europe/Berlin");
    // The additional binding takes the same as a body.
    let body = r#"{"series": [{"subject": "c", "metric": "v"}]}"#;
    assert_eq!(client.ask("POST /api/v1/query/series:query", &[], body).await.status, 200);
    assert_eq!(client.fake.series.lock().expect("the lock").series[0].subject, "c");
}

#[tokio::test]
async fn only_what_services_may_know_reaches_them() {
    let client = Client::new();
    let headers = [
        ("authorization", "Bearer t"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-request-id", "mine-1"),
        ("x-forwarded-user", "root"),
        ("grpc-previous-rpc-attempts", "1"),
        ("cornjacket-caller", "root"),
        ("request-timeout", "2"),
    ];
    let answer = client.append(&headers, "{}").await;
    assert_eq!(answer.header("x-request-id"), "mine-1");
    assert_eq!(answer.header("traceparent"), headers[1].1);
    let metadata = client.fake.metadata.lock().expect("the lock").clone();
    assert_eq!(metadata.get("authorization").expect("a token"), "Bearer t");
    assert_eq!(metadata.get("x-request-id").expect("an id"), "mine-1");
    for spoofed in ["x-forwarded-user", "grpc-previous-rpc-attempts", "cornjacket-caller", "request-timeout"]
    {
        assert!(!metadata.contains_key(spoofed), "{spoofed}");
    }
    let timeout = metadata.get("grpc-timeout").expect("a timeout").to_str().expect("ASCII");
    assert!(timeout.starts_with("19") && timeout.ends_with('u'), "{timeout}");
}

#[tokio::test]
async fn the_idempotency_key_is_the_events_id() {
    let client = Client::new();
    let key = [("idempotency-key", "\"k\"")];
    assert_eq!(client.append(&key, r#"{"source": "s"}"#).await.json()["receipt"]["id"], "k");
    assert_eq!(client.append(&key, r#"{"id": "k"}"#).await.json()["receipt"]["id"], "k");
    let problem = client.append(&key, r#"{"id": "other"}"#).await.problem(400);
    assert_eq!(problem["errors"][0]["field"], "event.id");
    let batch = r#"{"events": [{}, {"id": "own"}, {}]}"#;
    let answer = client.ask("POST /api/v1/ingest/events:batch", &key, batch).await.json();
    let ids: Vec<_> = (0..3).map(|index| answer["outcomes"][index]["receipt"]["id"].clone()).collect();
    assert_eq!(ids, ["k/0", "own", "k/2"]);
}

#[tokio::test]
async fn head_is_answered_like_get() {
    let answer = Client::new().ask("HEAD /api/v1/query/events", &[], Body::empty()).await;
    assert_eq!(answer.status, 200);
}
