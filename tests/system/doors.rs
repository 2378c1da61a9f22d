//! What users do first: grpcurl, a Python client, and asking for what they have just sent.

use std::time::Duration;

use cornjacket_proto::ingest::AppendRequest;
use cornjacket_proto::query::{GetEventRequest, GetProjectionRequest};
use cornjacket_testkit::Program;
use tonic::Code;

use super::cornjacket::{Cornjacket, http_get, stop, token};
use super::events::reading;
use super::tools::{grpcurl, tool};

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_lists_describes_appends_and_asks() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let ingest = format!("localhost:{}", cornjacket.ingest);
    let query = format!("localhost:{}", cornjacket.query);
    assert!(grpcurl(&[&ingest, "list"]).await?.contains("cornjacket.ingest.v1.IngestService"));
    assert!(grpcurl(&[&query, "list"]).await?.contains("cornjacket.query.v1.QueryService"));
    let described = grpcurl(&[&ingest, "describe", "cornjacket.ingest.v1.IngestService"]).await?;
    assert!(described.contains("rpc AppendStream"), "{described}");
    let health = grpcurl(&[&ingest, "grpc.health.v1.Health/Check"]).await?;
    assert!(health.contains("SERVING"), "{health}");

    let event = r#"{"event": {"id": "1", "source": "readme", "type": "sensor.reading", "subject": "pump-7",
        "sensor_reading": {"measurements": [{"metric": "temperature", "value": 21.5, "unit": "Cel"}]}}}"#;
    let appended = grpcurl(&["-d", event, &ingest, "cornjacket.ingest.v1.IngestService/Append"]).await?;
    let receipt: serde_json::Value = serde_json::from_str(&appended)?;
    let token = receipt["receipt"]["consistencyToken"].as_str().unwrap_or_default();
    let ask =
        serde_json::json!({"projection": "device_state", "subject": "pump-7", "consistency_token": token});
    let ask = ask.to_string();
    let state = grpcurl(&["-d", &ask, &query, "cornjacket.query.v1.QueryService/GetProjection"]).await?;
    let state: serde_json::Value = serde_json::from_str(&state)?;
    assert_eq!(state["state"]["metrics"]["temperature"]["value"], 21.5);
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_said_to_be_not_there() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let mut query = cornjacket.query().await?;
    let ask = |projection: &str, token: &str| GetProjectionRequest {
        projection: projection.into(),
        subject: "pump".into(),
        consistency_token: token.into(),
    };
    for (request, code) in [
        (ask("device_state", ""), Code::NotFound),
        (ask("no_such_projection", ""), Code::NotFound),
        (ask("", ""), Code::InvalidArgument),
        (ask("device_state", "no token"), Code::InvalidArgument),
    ] {
        assert_eq!(query.get_projection(request).await.expect_err("refused").code(), code);
    }
    let event = GetEventRequest { id: "1".into(), source: "nobody".into(), ..GetEventRequest::default() };
    assert_eq!(query.get_event(event).await.expect_err("refused").code(), Code::NotFound);

    // A promise of something that has not happened is waited for, and then it is said how far behind the state is.
    let mut ingest = cornjacket.ingest().await?;
    let event = AppendRequest { event: Some(reading("pump", "1", 1.0)) };
    let receipt = ingest.append(event).await?.into_inner().receipt.expect("a receipt");
    let token = cornjacket_domain::ConsistencyToken::decode(&receipt.consistency_token)?;
    let future = cornjacket_domain::ConsistencyToken { position: 99, ..token }.encode();
    let mut request = tonic::Request::new(ask("device_state", &future));
    request.set_timeout(Duration::from_millis(400));
    let status = query.get_projection(request).await.expect_err("it never comes");
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("includes position 1, not yet 99"), "{status:?}");
    assert!(http_get(cornjacket.ops, "/livez").await?.starts_with("HTTP/1.1 200"));
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_generated_python_client_appends_and_asks() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    // As buf.gen.yaml says, with the plugins that tests/setup lays down.
    let tools = std::env::var("CORNJACKET_TEST_TOOLS").unwrap_or_default();
    let path = format!("{tools}:{}", std::env::var("PATH").unwrap_or_default());
    let generate = tool("buf").args(["generate", "--output"]).arg(folder.path());
    generate.env("PATH", path).current_dir(root).output(Duration::from_mins(1)).await?;
    let clients = folder.path().join("target/clients");
    let typescript =
        std::fs::read_to_string(clients.join("typescript/cornjacket/ingest/v1/ingest_service_pb.ts"))?;
    assert!(typescript.contains("export const IngestService"), "{typescript}");
    let clients = clients.join("python");
    let script: Program = tool("python").arg(format!("{root}/tests/python/client.py"));
    let script = script.env("PYTHONPATH", clients.display().to_string());
    let script = script.arg(cornjacket.ingest.to_string()).arg(cornjacket.query.to_string()).arg(token()?);
    let printed = script.output(Duration::from_mins(1)).await?;
    assert!(printed.contains("21.5"), "{printed}");
    stop(process).await
}
