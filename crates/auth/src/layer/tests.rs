//! What comes through to a service, what a caller is told, and when streams end.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use cornjacket_domain::{Scope, Timestamp};
use cornjacket_proto::google::rpc;
use futures::stream;
use http::header::AUTHORIZATION;
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use prost::Message;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tower::{ServiceExt, service_fn};

use super::*;
use crate::Options;
use crate::testing::{self, NOW, SECRET, secret_token};

const APPEND: &str = "/cornjacket.ingest.v1.IngestService/Append";
const TAIL: &str = "/cornjacket.query.v1.QueryService/TailEvents";
const PAUSE: &str = "/cornjacket.admin.v1.AdminService/PauseConsumer";
const HEALTH: &str = "/grpc.health.v1.Health/Check";

fn layer(open_health: bool, clock: Arc<dyn Clock>) -> AuthLayer {
    let options = Options { secret: Some(SECRET.into()), ..Options::default() };
    AuthLayer::new(Some(Authenticator::start(&options, clock).expect("good options")), open_health)
}

fn request(path: &str, token: Option<&str>, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.uri_mut() = path.parse().expect("a path");
    if let Some(token) = token {
        let value = format!("Bearer {token}").parse().expect("a header");
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    request
}

/// Calls a service that answers nothing: its answer, and who called it.
async fn call(layer: &AuthLayer, request: Request<Body>) -> (Response<Body>, Option<Option<Caller>>) {
    let called = Arc::new(Mutex::new(None));
    let seen = called.clone();
    let service = layer.layer(service_fn(move |request: Request<Body>| {
        *seen.lock().expect("nobody panics") = Some(request.extensions().get::<Caller>().cloned());
        async { Ok(Response::new(Body::empty())) }
    }));
    let response = service.oneshot(request).await.expect("infallible");
    let called = called.lock().expect("nobody panics").take();
    (response, called)
}

/// The code and the reason that headers or trailers tell.
fn told(headers: &http::HeaderMap) -> (tonic::Code, String) {
    let status = Status::from_header_map(headers).expect("a status");
    let details = rpc::Status::decode(status.details()).expect("details").details;
    let info = rpc::ErrorInfo::decode(details[0].value.as_slice()).expect("a reason");
    (status.code(), info.reason)
}

#[tokio::test]
async fn who_is_not_known_or_may_not_is_told_so_and_comes_no_further() {
    let layer = layer(true, testing::clock());
    let good = secret_token(json!({}));
    let expired = secret_token(json!({ "exp": NOW }));
    for (path, token, code, reason) in [
        (APPEND, None, tonic::Code::Unauthenticated, "TOKEN_MISSING"),
        (APPEND, Some(expired.as_str()), tonic::Code::Unauthenticated, "TOKEN_EXPIRED"),
        ("/other.Service/Method", None, tonic::Code::Unauthenticated, "TOKEN_MISSING"),
        (PAUSE, Some(good.as_str()), tonic::Code::PermissionDenied, "SCOPE_MISSING"),
        ("/other.Service/Method", Some(good.as_str()), tonic::Code::PermissionDenied, "METHOD_REFUSED"),
    ] {
        let (response, called) = call(&layer, request(path, token, Body::empty())).await;
        assert_eq!(called, None, "{path}");
        assert_eq!(response.status(), 200);
        assert_eq!(told(response.headers()), (code, reason.to_owned()), "{path}");
        assert!(response.body().is_end_stream());
        let challenge = response.headers().get(WWW_AUTHENTICATE);
        assert_eq!(challenge.is_some(), code == tonic::Code::Unauthenticated, "{path}");
    }
}

#[tokio::test]
async fn the_caller_is_whom_the_token_names_and_nobody_else() {
    let layer = layer(true, testing::clock());
    let token = secret_token(json!({}));
    let mut spoofed = request(APPEND, Some(&token), Body::empty());
    spoofed.extensions_mut().insert(Caller::allow_all());
    let (response, seen) = call(&layer, spoofed).await;
    assert_eq!(response.headers().get("grpc-status"), None);
    let caller = seen.flatten().expect("a caller");
    assert_eq!(caller.name(), Some("someone"));
    assert!(caller.authorize(Scope::Admin).is_err());

    let mut without_token = request(APPEND, None, Body::empty());
    without_token.extensions_mut().insert(Caller::allow_all());
    assert_eq!(call(&layer, without_token).await.1, None);
    let mut open = request(HEALTH, None, Body::empty());
    open.extensions_mut().insert(Caller::allow_all());
    assert_eq!(call(&layer, open).await.1, Some(None));
}

#[tokio::test]
async fn health_is_open_where_the_setting_says_so() {
    let closed = layer(false, testing::clock());
    let (response, called) = call(&closed, request(HEALTH, None, Body::empty())).await;
    assert_eq!((told(response.headers()).0, called), (tonic::Code::Unauthenticated, None));
    let nothing_much = secret_token(json!({ "scope": null }));
    let (_, called) = call(&closed, request(HEALTH, Some(&nothing_much), Body::empty())).await;
    assert!(called.flatten().is_some());
}

#[tokio::test]
async fn without_authentication_everybody_may_do_everything() {
    let mut limited = request(PAUSE, None, Body::empty());
    limited.extensions_mut().insert(Caller::new("nobody", &[]));
    let (_, called) = call(&AuthLayer::new(None, false), limited).await;
    assert_eq!(called.flatten(), Some(Caller::allow_all()));
}

#[tokio::test]
async fn the_budget_is_that_of_the_callers_address_and_good_tokens_pass() {
    let layer = layer(true, testing::clock());
    let token = secret_token(json!({}));
    let from = |token: Option<&str>, address: [u8; 4]| {
        let mut request = request(APPEND, token, Body::empty());
        request.extensions_mut().insert(ClientAddress(address.into()));
        request
    };
    for _ in 0..60 {
        call(&layer, from(None, [192, 0, 2, 1])).await;
    }
    let (response, _) = call(&layer, from(None, [192, 0, 2, 1])).await;
    assert_eq!(
        Status::from_header_map(response.headers()).expect("a status").code(),
        tonic::Code::ResourceExhausted
    );
    assert!(call(&layer, from(Some(&token), [192, 0, 2, 1])).await.1.is_some());
    let mut connected = request(APPEND, None, Body::empty());
    let remote_addr = Some(([192, 0, 2, 1], 7).into());
    connected.extensions_mut().insert(TcpConnectInfo { local_addr: None, remote_addr });
    let (response, _) = call(&layer, connected).await;
    assert_eq!(
        Status::from_header_map(response.headers()).expect("a status").code(),
        tonic::Code::ResourceExhausted
    );
}

/// Goes with tokio's clock, which tests can halt.
#[derive(Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(NOW * 1_000_000) + self.0.elapsed()
    }
}

/// A call of a service that answers with `response`: the body of the answer, and what the service reads of `body`.
async fn stream(body: Body, response: Body) -> (Body, Body) {
    let layer = layer(true, Arc::new(TokioClock(Instant::now())));
    let parts = Arc::new(Mutex::new((Some(response), None)));
    let shared = parts.clone();
    let service = layer.layer(service_fn(move |request: Request<Body>| {
        let mut parts = shared.lock().expect("nobody panics");
        parts.1 = Some(request.into_body());
        let response = parts.0.take().expect("called once");
        async { Ok(Response::new(response)) }
    }));
    let request = request(TAIL, Some(&secret_token(json!({}))), body);
    let response = service.oneshot(request).await.expect("infallible").into_body();
    let read = parts.lock().expect("nobody panics").1.take().expect("it was called");
    (response, read)
}

fn message(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

fn endless() -> Body {
    Body::new(StreamBody::new(stream::pending::<Result<Frame<Bytes>, Status>>()))
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_token_does() {
    let (sender, receiver) = mpsc::channel(8);
    let (mut response, mut read) =
        stream(endless(), Body::new(StreamBody::new(ReceiverStream::new(receiver)))).await;
    let began = Instant::now();
    sender.send(Ok::<_, Status>(message("one"))).await.expect("it is read");
    let frame = response.frame().await.expect("a frame").expect("no error");
    assert_eq!(frame.into_data().expect("a message"), "one");

    let frame = response.frame().await.expect("a frame").expect("no error");
    let trailers = frame.into_trailers().expect("it is the end");
    assert_eq!(told(&trailers), (tonic::Code::Unauthenticated, "TOKEN_EXPIRED".to_owned()));
    let lasted = began.elapsed();
    assert!((Duration::from_hours(1)..Duration::from_secs(3601)).contains(&lasted), "{lasted:?}");
    assert!(response.frame().await.is_none());
    assert!(sender.is_closed(), "what made the stream is told to stop");

    let error = read.frame().await.expect("a frame").expect_err("the token has ended");
    assert_eq!(error.code(), tonic::Code::Unauthenticated);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_goes_on_ends_when_its_token_does() {
    let began = Instant::now();
    let (_response, mut read) = stream(endless(), Body::empty()).await;
    let error = read.frame().await.expect("a frame").expect_err("the token has ended");
    assert_eq!(error.code(), tonic::Code::Unauthenticated);
    assert!(began.elapsed() >= Duration::from_hours(1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_waits_ends_as_well() {
    let busy = stream::repeat_with(|| Ok::<_, Status>(message("more")));
    let (mut response, _) = stream(Body::empty(), Body::new(StreamBody::new(busy))).await;
    assert!(response.frame().await.expect("a frame").expect("no error").is_data());
    tokio::time::advance(Duration::from_hours(1)).await;
    let frame = response.frame().await.expect("a frame").expect("no error");
    assert_eq!(told(&frame.into_trailers().expect("the end")).1, "TOKEN_EXPIRED");
}

/// What it did is done: the caller must learn of it.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_ready_is_given_even_if_the_token_has_just_ended() {
    let trailers = Frame::trailers(
        [("grpc-status".parse().expect("a name"), HeaderValue::from(0))].into_iter().collect(),
    );
    let frames = stream::iter([Ok::<_, Status>(message("receipt")), Ok(trailers)]);
    let (mut response, _) = stream(Body::empty(), Body::new(StreamBody::new(frames))).await;
    tokio::time::advance(Duration::from_hours(1)).await;
    let frame = response.frame().await.expect("a frame").expect("no error");
    assert_eq!(frame.into_data().expect("a message"), "receipt");
    let frame = response.frame().await.expect("a frame").expect("no error");
    assert_eq!(frame.into_trailers().expect("the end")["grpc-status"], "0");
}
