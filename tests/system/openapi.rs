//! The gateway's own description: it is `OpenAPI`, and every answer to whatever can be made of it is as it says.

use std::time::Duration;

use cornjacket_proto::events::system_event::Status;
use cornjacket_testkit::Program;

use super::cornjacket::{Cornjacket, stop, token};
use super::events::{reading, system_status, user_action};
use super::http::ask;
use super::tools::tool;

const DEADLINE: Duration = Duration::from_mins(8);
/// What no URL is too bad for and what answers are held against. Whether a request is refused or done is not looked at:
/// the parser takes more spellings than the canonical ones, and services refuse more than a schema can say.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_schema_conformance,response_headers_conformance";
const HOOKS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/python/schemathesis_hooks.py");
/// The only method whose answers do not end.
const TAIL: &str = "QueryService_TailEvents";

/// `schemathesis run` with a fixed seed, to be told which operations and phases.
fn schemathesis(cornjacket: &Cornjacket, folder: &std::path::Path) -> anyhow::Result<Program> {
    let program = tool("schemathesis").env("SCHEMATHESIS_HOOKS", HOOKS).current_dir(folder);
    Ok(program
        .args(["run", &format!("http://127.0.0.1:{}/openapi.json", cornjacket.gateway)])
        .args(["--header", &format!("Authorization: Bearer {}", token()?)])
        .args(["--checks", CHECKS, "--seed", "1", "--max-examples", "20", "--continue-on-failure"])
        .args(["--generation-database", "none", "--request-timeout", "20", "--no-color"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_as_the_document_says() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    cornjacket.append(reading("pump-7", "known", 21.5)).await?;
    cornjacket.append(user_action("ada", "login", "login")).await?;
    cornjacket.append(system_status("database", "health", Status::Down, "gone")).await?;

    let document = ask(cornjacket.gateway, "GET /openapi.json", &[], "").await?;
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, &document.body)?;
    tool("openapi-spec-validator").args(["--schema", "3.1"]).arg(&file).output(DEADLINE).await?;

    let others = schemathesis(&cornjacket, folder.path())?.args(["--exclude-operation-id", TAIL]);
    let others = others.args(["--phases", "examples,coverage,fuzzing"]);
    // Each of its answers takes as long as it may, so that it is asked less often, beside the others.
    let tail = schemathesis(&cornjacket, folder.path())?.args(["--include-operation-id", TAIL]);
    let tail = tail.args(["--phases", "examples,fuzzing", "--header", "Request-Timeout: 1"]);
    let (others, tail) = tokio::join!(others.output(DEADLINE), tail.output(DEADLINE));
    println!("{}\n{}", others?, tail?);
    stop(process).await
}
