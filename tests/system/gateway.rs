//! HTTP/JSON: the same events and the same answers as over gRPC, straight and through Traefik.

use std::time::Duration;

use cornjacket_testkit::{Program, Traefik};
use serde_json::{Value, json};

use super::cornjacket::{Cornjacket, stop, token};
use super::http::{Answer, ask};
use super::tools::{grpcurl, tool};

const DEADLINE: Duration = Duration::from_mins(1);
const EVENTS: &str = "/api/v1/ingest/events";
const CLOUDEVENTS: &str = "POST /api/v1/ingest/cloudevents";

/// The event of the README, as JSON.
fn event(id: &str) -> Value {
    json!({"id": id, "source": "readme", "type": "sensor.reading", "subject": "pump-7",
        "sensorReading": {"measurements": [{"metric": "temperature", "value": 21.5, "unit": "Cel"}]}})
}

/// The same, as CloudEvents have it.
fn cloudevent(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "readme", "type": "sensor.reading", "subject": "pump-7",
        "data": {"measurements": [{"metric": "temperature", "value": 21.5, "unit": "Cel"}]}})
}

async fn started() -> anyhow::Result<(tempfile::TempDir, Cornjacket, cornjacket_testkit::Process)> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    Ok((folder, cornjacket, process))
}

/// In front of it, with more in its static configuration.
pub async fn traefik(cornjacket: &Cornjacket, more: &str) -> anyhow::Result<Traefik> {
    let at = |scheme: &str, port: u16| format!("{scheme}://127.0.0.1:{port}");
    let environment = [
        ("CORNJACKET_GATEWAY", at("http", cornjacket.gateway)),
        ("CORNJACKET_INGEST", at("h2c", cornjacket.ingest)),
        ("CORNJACKET_QUERY", at("h2c", cornjacket.query)),
    ];
    Traefik::start(tool("traefik"), &environment, more).await
}

/// Asks with a token for everything.
pub async fn authorized(
    port: u16,
    what: &str,
    headers: &[(&str, &str)],
    body: impl Into<prost::bytes::Bytes>,
) -> anyhow::Result<Answer> {
    let authorization = format!("Bearer {}", token()?);
    ask(port, what, &[&[("authorization", authorization.as_str())], headers].concat(), body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_event_through_every_door_is_one_event() -> anyhow::Result<()> {
    let (_folder, cornjacket, process) = started().await?;
    let traefik = traefik(&cornjacket, "").await?;
    let json = [("content-type", "application/json")];
    let structured = [("content-type", "application/cloudevents+json")];
    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "readme"),
        ("ce-type", "sensor.reading"),
        ("ce-subject", "pump-7"),
    ];
    let data = cloudevent("1")["data"].to_string();
    let append = format!("POST {EVENTS}");
    let batch = json!({"events": [event("1")]}).to_string();
    let answers = [
        authorized(cornjacket.gateway, &append, &json, event("1").to_string()).await?,
        authorized(traefik.web, &append, &json, event("1").to_string()).await?,
        authorized(traefik.web, CLOUDEVENTS, &structured, cloudevent("1").to_string()).await?,
        authorized(traefik.web, CLOUDEVENTS, &binary, data).await?,
        authorized(traefik.web, &format!("{append}:batch"), &json, batch).await?,
        authorized(
            traefik.web,
            CLOUDEVENTS,
            &[("content-type", "application/cloudevents-batch+json")],
            json!([cloudevent("1")]).to_string(),
        )
        .await?,
    ];
    let mut receipts = Vec::new();
    for answer in answers {
        assert_eq!(answer.status, 200, "{}", answer.text());
        let answer = answer.json()?;
        let single = answer.get("receipt").or_else(|| answer.pointer("/outcomes/0/receipt"));
        receipts.push(single.cloned().unwrap_or_default());
    }
    // As a user types it, over TCP of our own and through Traefik.
    let request = json!({"event": event("1")}).to_string();
    for port in [cornjacket.ingest, traefik.web] {
        let address = format!("localhost:{port}");
        let said = grpcurl(&["-d", &request, &address, "cornjacket.ingest.v1.IngestService/Append"]).await;
        receipts.push(serde_json::from_str::<Value>(&said?)?["receipt"].clone());
    }
    let curl = Program::new("curl").args(["-sS", "-H", &format!("authorization: Bearer {}", token()?)]);
    let curl = curl.args(["-H", "content-type: application/json", "-d", &event("1").to_string()]);
    let said = curl.arg(format!("http://localhost:{}{EVENTS}", traefik.web)).output(DEADLINE).await?;
    receipts.push(serde_json::from_str::<Value>(&said)?["receipt"].clone());

    assert!(receipts[0]["position"] == "1" && receipts[0].get("duplicate").is_none(), "{}", receipts[0]);
    for receipt in &receipts[1..] {
        let mut first = receipts[0].clone();
        first["duplicate"] = true.into();
        assert_eq!(*receipt, first);
    }
    assert!(traefik.log()?.contains("\"RequestPath\":\"/api/v1/ingest/events\""), "it logs requests as JSON");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_answered_as_json_and_as_cloudevents() -> anyhow::Result<()> {
    let (_folder, cornjacket, process) = started().await?;
    let json = [("content-type", "application/json")];
    let append = format!("POST {EVENTS}");
    let port = cornjacket.gateway;
    let receipt = authorized(port, &append, &json, event("a/1").to_string()).await?.json()?;
    let token = receipt["receipt"]["consistencyToken"].as_str().unwrap_or_default().to_owned();

    let one = "GET /api/v1/query/events/a/1?source=readme";
    let found = authorized(port, one, &[], "").await?.json()?;
    assert_eq!((&found["id"], &found["sensorReading"]), (&json!("a/1"), &event("1")["sensorReading"]));
    let out = authorized(port, one, &[("accept", "application/cloudevents+json")], "").await?;
    assert_eq!(out.header("content-type"), "application/cloudevents+json");
    let out = out.json()?;
    assert_eq!((&out["specversion"], &out["id"]), (&json!("1.0"), &json!("a/1")), "{out}");
    let binary = authorized(port, one, &[("accept", "application/cloudevents")], "").await?;
    assert_eq!((binary.header("ce-id"), binary.header("ce-subject")), ("a/1", "pump-7"));
    assert_eq!(binary.json()?, event("1")["sensorReading"]);
    let list = "GET /api/v1/query/events?subject=pump-7";
    let batch = authorized(port, list, &[("accept", "application/cloudevents-batch+json")], "").await?;
    assert_eq!(batch.json()?[0]["id"], "a/1", "{}", batch.text());
    // Sent again as it came out, it is the same event.
    let structured = [("content-type", "application/cloudevents+json")];
    let again = authorized(port, CLOUDEVENTS, &structured, out.to_string()).await?.json()?;
    assert_eq!((&again["receipt"]["position"], &again["receipt"]["duplicate"]), (&json!("1"), &json!(true)));

    let state = format!("GET /api/v1/query/projections/device_state/pump-7?consistencyToken={token}");
    let state = authorized(port, &state, &[], "").await?.json()?;
    assert_eq!(state["state"]["metrics"]["temperature"]["value"], 21.5, "{state}");
    let series = "GET /api/v1/query/series:query?series.subject=pump-7&series.metric=temperature&step=60s";
    let series = authorized(port, &format!("{series}&consistency_token={token}"), &[], "").await?.json()?;
    assert_eq!(series["series"][0]["buckets"][0]["avg"], 21.5, "{series}");
    let document = ask(port, "GET /openapi.json", &[], "").await?.json()?;
    assert_eq!(document["openapi"], "3.1.1");
    assert!(document["paths"][EVENTS]["post"].is_object(), "{document}");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named_with_its_field_line_and_column() -> anyhow::Result<()> {
    let (_folder, cornjacket, process) = started().await?;
    let json = [("content-type", "application/json")];
    let append = format!("POST {EVENTS}");
    let mut hostile = event("1");
    hostile["sensorReading"]["measurements"][0]["value"] = "warm".into();
    let wrong = authorized(cornjacket.gateway, &append, &json, hostile.to_string()).await?;
    assert_eq!((wrong.status, wrong.header("content-type")), (400, "application/problem+json"));
    let wrong = wrong.json()?;
    assert_eq!(wrong["errors"][0]["field"], "event.sensorReading.measurements[0].value", "{wrong}");
    assert!(wrong["errors"][0]["line"] == 1 && wrong["errors"][0]["column"].is_u64(), "{wrong}");
    hostile["sensorReading"]["measurements"][0]["value"] = "NaN".into();
    let wrong = authorized(cornjacket.gateway, &append, &json, hostile.to_string()).await?.json()?;
    assert_eq!(wrong["errors"][0]["field"], "event.sensorReading.measurements[0].value", "{wrong}");
    assert_eq!((&wrong["code"], &wrong["status"]), (&json!("INVALID_ARGUMENT"), &json!(400)));
    let without = [("content-type", "application/cloudevents+json")];
    let wrong = authorized(cornjacket.gateway, CLOUDEVENTS, &without, r#"{"specversion":"1.0"}"#).await?;
    let fields: Vec<Value> = wrong.json()?["errors"].as_array().cloned().unwrap_or_default();
    let fields: Vec<_> = fields.iter().filter_map(|error| error["field"].as_str()).collect();
    assert_eq!(fields, ["id", "source", "type", "subject"], "{}", wrong.text());
    stop(process).await
}
