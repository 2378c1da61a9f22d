//! Who may come in: every method, every kind of caller, through every door.

mod intrusions;

use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cornjacket_auth::{TokenRequest, access};
use cornjacket_domain::{Clock, Scope, SystemClock};
use cornjacket_gateway::{BytesCodec, Route, Routes};
use cornjacket_proto::query::TailEventsRequest;
use cornjacket_proto::{DESCRIPTOR_POOL, DynamicMessage};
use cornjacket_testkit::Process;
use futures::StreamExt;
use prost::Message;
use prost::bytes::Bytes;
use prost_reflect::{DeserializeOptions, MethodDescriptor};
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

use self::intrusions::{Expect, intrusions};
use super::cornjacket::{AUDIENCE, Cornjacket, SECRET, http_get, minted, stop};
use super::events::reading;
use super::http::{self, Answer};

const DEADLINE: Duration = Duration::from_secs(20);
/// A stream that has said nothing for so long has said what it had.
const QUIET: Duration = Duration::from_millis(700);
/// What nobody else may see.
const HUSH: &str = "hush-hush";

fn request(scopes: &[Scope]) -> TokenRequest {
    TokenRequest::new("somebody", scopes, AUDIENCE)
}

/// Every method of ours.
fn methods() -> Vec<MethodDescriptor> {
    let services =
        DESCRIPTOR_POOL.services().filter(|service| service.full_name().starts_with("cornjacket."));
    services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

fn port(cornjacket: &Cornjacket, method: &MethodDescriptor) -> u16 {
    match method.parent_service().name() {
        "IngestService" => cornjacket.ingest,
        "ActionService" => cornjacket.actions,
        _ => cornjacket.query,
    }
}

/// Calls any method with one message: what it answers, until it ends or has nothing more to say.
async fn grpc(
    cornjacket: &Cornjacket,
    token: Option<&str>,
    method: &MethodDescriptor,
    message: Vec<u8>,
) -> anyhow::Result<Result<Vec<Bytes>, Status>> {
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", port(cornjacket, method)))?;
    let mut client = tonic::client::Grpc::new(endpoint.timeout(DEADLINE).connect().await?);
    client.ready().await?;
    let mut request = Request::new(futures::stream::iter([Bytes::from(message)]));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse()?);
    }
    let mut answers = match client.streaming(request, path(method).parse()?, BytesCodec).await {
        Ok(response) => response.into_inner(),
        Err(status) => return Ok(Err(status)),
    };
    let mut said = Vec::new();
    loop {
        match timeout(QUIET, answers.next()).await {
            Ok(Some(Ok(message))) => said.push(message),
            Ok(Some(Err(status))) => return Ok(Err(status)),
            Ok(None) | Err(_) => return Ok(Ok(said)),
        }
    }
}

/// A token that no algorithm signs.
fn unsigned() -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let exp = SystemClock.now().as_micros() / 1_000_000 + 600;
    let claims =
        json!({"sub": "somebody", "aud": "cornjacket", "exp": exp, "scope": "ingest query actions admin"});
    format!("{}.{}.", part(json!({"alg": "none", "typ": "JWT"})), part(claims))
}

/// Those who are nobody, and the reason that they are given.
fn strangers() -> anyhow::Result<Vec<(Option<String>, &'static str)>> {
    let all = request(&Scope::ALL);
    let now = SystemClock.now();
    let sign = |secret: &str, request: &TokenRequest, at| {
        cornjacket_auth::mint(&secret.to_owned().into(), request, at)
    };
    Ok(vec![
        (None, "TOKEN_MISSING"),
        (Some("not.a.token".to_owned()), "TOKEN_MALFORMED"),
        (Some(sign(SECRET, &all, now - Duration::from_hours(2))?), "TOKEN_EXPIRED"),
        (Some(sign("another secret that is long enough", &all, now)?), "SIGNATURE_INVALID"),
        (
            Some(sign(SECRET, &TokenRequest { audience: "others".to_owned(), ..all.clone() }, now)?),
            "AUDIENCE_MISMATCH",
        ),
        (Some(unsigned()), "ALGORITHM_REFUSED"),
    ])
}

async fn started(settings: &[(&str, &str)]) -> anyhow::Result<(tempfile::TempDir, Cornjacket, Process)> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let own = [("store.url", url.as_str()), ("auth.failures_per_minute", "100000")];
    let cornjacket = Cornjacket::new(&[&own, settings].concat())?;
    let process = cornjacket.start().await?;
    Ok((folder, cornjacket, process))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_method_answers_a_stranger_through_any_door() -> anyhow::Result<()> {
    let (_folder, cornjacket, process) = started(&[]).await?;
    let routes = Routes::new(&DESCRIPTOR_POOL)?;
    let mut asked = 0;
    for method in methods() {
        let access::Access::Scope(needed) = access::needed(&path(&method)) else {
            anyhow::bail!("{} needs no scope", method.full_name());
        };
        let others: Vec<Scope> = Scope::ALL.into_iter().filter(|scope| *scope != needed).collect();
        let mut callers = strangers()?;
        callers.push((Some(minted(&request(&others))?), "SCOPE_MISSING"));
        for (token, reason) in callers {
            let (code, status) = if reason == "SCOPE_MISSING" {
                (Code::PermissionDenied, 403)
            } else {
                (Code::Unauthenticated, 401)
            };
            let what = format!("{} {reason}", method.full_name());
            let refused = grpc(&cornjacket, token.as_deref(), &method, vec![]).await?;
            let refused = refused.err().with_context(|| what.clone())?;
            assert_eq!(refused.code(), code, "{what}: {refused:?}");
            assert!(String::from_utf8_lossy(refused.details()).contains(reason), "{what}: {refused:?}");
            for route in routes.all().iter().filter(|route| route.method == method) {
                let answer = http::call(cornjacket.gateway, token.as_deref(), route, &json!({})).await?;
                assert_eq!(answer.status, status, "{what}: {}", answer.text());
                assert!(answer.text().contains(reason), "{what}: {}", answer.text());
                assert_eq!(status == 401, !answer.header("www-authenticate").is_empty(), "{what}");
            }
            asked += 1;
        }
    }
    println!("{asked} calls were refused, as gRPC and as HTTP");
    for (token, _) in strangers()? {
        let authorization = format!("Bearer {}", token.unwrap_or_default());
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/cloudevents+json")];
        let answer = http::ask(cornjacket.gateway, "POST /api/v1/ingest/cloudevents", &headers, "{}").await?;
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
    let head = cornjacket.append(reading("pump", "1", 1.0)).await?;
    assert_eq!(head.position, 1, "nothing was stored");
    stop(process).await
}

fn encoded(method: &MethodDescriptor, request: &Value) -> anyhow::Result<Vec<u8>> {
    let text = request.to_string();
    let mut json = serde_json::Deserializer::from_str(&text);
    let options = DeserializeOptions::new();
    Ok(DynamicMessage::deserialize_with_options(method.input(), &mut json, &options)?.encode_to_vec())
}

/// As gRPC and as HTTP.
async fn intrude(
    cornjacket: &Cornjacket,
    token: &str,
    (name, request): (&str, &Value),
    expect: Expect,
) -> anyhow::Result<()> {
    let method = methods().into_iter().find(|method| method.full_name().ends_with(name));
    let method = method.with_context(|| format!("there is no method {name}"))?;
    let answer = grpc(cornjacket, Some(token), &method, encoded(&method, request)?).await?;
    let what = format!("{name} {request}");
    match (&answer, expect) {
        (Err(status), Expect::Refused) => {
            assert_eq!(status.code(), Code::PermissionDenied, "{what}: {status:?}");
        }
        (Ok(_), Expect::Without | Expect::Nothing) => {}
        _ => panic!("{what}: {answer:?}, and not {expect:?}"),
    }
    let seen =
        answer.as_ref().map_or_else(|status| status.message().as_bytes().to_vec(), |said| said.concat());
    assert!(!String::from_utf8_lossy(&seen).contains(HUSH), "{what}: {answer:?}");
    let routes = Routes::new(&DESCRIPTOR_POOL)?;
    for route in routes.all().iter().filter(|route| route.method == method) {
        let answer = http::call(cornjacket.gateway, Some(token), route, request).await?;
        let status = if expect == Expect::Refused { 403 } else { 200 };
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        assert!(!answer.text().contains(HUSH), "{what}: {}", answer.text());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limited_token_sees_and_changes_nothing_of_others() -> anyhow::Result<()> {
    let (folder, cornjacket, process) = started(&[]).await?;
    let mut theirs = reading("theirs", "1", 1.0);
    theirs.source = "theirs".to_owned();
    if let Some(cornjacket_proto::events::event::Payload::SensorReading(reading)) = &mut theirs.payload {
        reading.measurements[0].unit = HUSH.to_owned();
    }
    let receipt = cornjacket.append(theirs).await?;
    // Everything is there to be seen.
    let mut query = cornjacket.query().await?;
    let ask = cornjacket_proto::query::ListSeriesRequest {
        consistency_token: receipt.consistency_token,
        ..Default::default()
    };
    assert_eq!(query.list_series(ask).await?.into_inner().series.len(), 1);

    let mine = Some(vec!["mine-*".to_owned()]);
    let by_subject = minted(&TokenRequest { subjects: mine.clone(), ..request(&Scope::ALL) })?;
    let by_source = minted(&TokenRequest { sources: mine, ..request(&Scope::ALL) })?;
    let intrusions = intrusions();
    for method in methods() {
        let covered = intrusions.iter().any(|(name, ..)| method.full_name().ends_with(name));
        assert!(covered, "{} has no line", method.full_name());
    }
    for (name, request, limited_by_subject, limited_by_source) in &intrusions {
        intrude(&cornjacket, &by_subject, (name, request), *limited_by_subject).await?;
        intrude(&cornjacket, &by_source, (name, request), *limited_by_source).await?;
    }
    stop(process).await?;
    let log =
        super::full_stack::read_log(&format!("sqlite://{}/cornjacket.db", folder.path().display())).await?;
    assert_eq!(log.len(), 1, "nothing was stored, and no operator's action either: {log:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_is_slowed_down_and_nobody_else() -> anyhow::Result<()> {
    let (_folder, cornjacket, process) = started(&[("auth.failures_per_minute", "5")]).await?;
    let list = "GET /api/v1/query/projections";
    let try_token = async |token: &str| -> anyhow::Result<Answer> {
        http::ask(cornjacket.gateway, list, &[("authorization", &format!("Bearer {token}"))], "").await
    };
    for _ in 0..5 {
        assert_eq!(try_token("guess").await?.status, 401);
    }
    let slowed = try_token("guess").await?;
    assert_eq!(slowed.status, 429, "{}", slowed.text());
    assert!(slowed.header("retry-after").parse::<u64>().is_ok_and(|seconds| seconds > 0), "{slowed:?}");
    assert_eq!(try_token(&minted(&request(&Scope::ALL))?).await?.status, 200);
    let metrics = http_get(cornjacket.ops, "/metrics").await?;
    assert!(metrics.contains("cornjacket_auth_failures_total{reason=\"TOKEN_MALFORMED\"} 6"), "{metrics}");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_token_does() -> anyhow::Result<()> {
    let (_folder, cornjacket, process) = started(&[]).await?;
    cornjacket.append(reading("pump", "1", 1.0)).await?;
    let short = || minted(&TokenRequest { lifetime: Duration::from_secs(2), ..request(&[Scope::Query]) });
    let channel = cornjacket.channel_with(cornjacket.query, &short()?).await?;
    let mut query = cornjacket_proto::query::query_service_client::QueryServiceClient::new(channel);
    let mut tail = query.tail_events(TailEventsRequest::default()).await?.into_inner();
    let end = async {
        loop {
            match tail.message().await {
                Ok(Some(_)) => {}
                end => return end,
            }
        }
    };
    let end = timeout(DEADLINE, end).await?.expect_err("it is cut");
    assert_eq!(end.code(), Code::Unauthenticated, "{end:?}");

    let authorization = format!("Bearer {}", short()?);
    let headers = [("authorization", authorization.as_str()), ("accept", "text/event-stream")];
    let tail = http::ask(cornjacket.gateway, "GET /api/v1/query/events:tail", &headers, "").await?;
    assert!(tail.text().contains("pump") && tail.text().contains("event: error"), "{}", tail.text());
    assert!(tail.text().contains("TOKEN_EXPIRED"), "{}", tail.text());
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_has_a_quota_of_its_own_through_all_doors() -> anyhow::Result<()> {
    let settings = [("ingest.events_per_second", "10"), ("ingest.batch_events", "10")];
    let (_folder, cornjacket, process) = started(&settings).await?;
    let one = minted(&request(&[Scope::Ingest]))?;
    let other = minted(&TokenRequest { name: "other".to_owned(), ..request(&[Scope::Ingest]) })?;
    let route = Routes::new(&DESCRIPTOR_POOL)?;
    let route = |name: &str| -> anyhow::Result<Route> {
        let all = route.all().iter().find(|route| route.method.name() == name);
        Ok(all.context("annotated")?.as_ref().clone())
    };
    let event = json!({"source": "x", "type": "user.action", "subject": "u"});
    let batch = json!({"events": vec![event.clone(); 10]});
    assert_eq!(http::call(cornjacket.gateway, Some(&one), &route("AppendBatch")?, &batch).await?.status, 200);
    let method = methods().into_iter().find(|method| method.name() == "Append").context("Append")?;
    let request = json!({"event": event});
    let refused = grpc(&cornjacket, Some(&one), &method, encoded(&method, &request)?).await?;
    assert_eq!(refused.expect_err("over the quota").code(), Code::ResourceExhausted);
    let refused = http::call(cornjacket.gateway, Some(&one), &route("Append")?, &request).await?;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "1"), "{}", refused.text());
    assert_eq!(http::call(cornjacket.gateway, Some(&other), &route("Append")?, &request).await?.status, 200);
    stop(process).await
}
