//! The layer around a real server: what arrives at a client.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_auth::{AuthLayer, Authenticator, Options, TokenRequest, mint};
use cornjacket_domain::{Clock, SystemClock};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const SECRET: &str = "a secret of thirty-two bytes....";

/// A client of a server that asks for tokens.
async fn client() -> HealthClient<Channel> {
    let options = Options { secret: Some(SECRET.into()), ..Options::default() };
    let authenticator = Authenticator::start(&options, Arc::new(SystemClock)).expect("good options");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let (_, health) = tonic_health::server::health_reporter();
    let server = Server::builder().layer(AuthLayer::new(Some(authenticator), false)).add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let channel = Channel::from_shared(url).expect("a URL").connect().await.expect("it listens");
    HealthClient::new(channel)
}

fn request(lifetime: Option<Duration>) -> Request<HealthCheckRequest> {
    let mut request = Request::new(HealthCheckRequest::default());
    if let Some(lifetime) = lifetime {
        let token = TokenRequest {
            name: "someone".into(),
            scopes: Vec::new(),
            subjects: None,
            sources: None,
            audience: "cornjacket".into(),
            issuer: None,
            lifetime,
        };
        let token = mint(&SECRET.into(), &token, SystemClock.now()).expect("it is minted");
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    }
    request
}

#[tokio::test]
async fn a_call_needs_a_token() {
    let mut client = client().await;
    let refused = client.check(request(None)).await.expect_err("there is no token");
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(!refused.details().is_empty());
    assert!(client.check(request(Some(Duration::from_mins(1)))).await.is_ok());
}

#[tokio::test]
async fn failures_are_limited_by_the_address_of_the_connection() {
    let mut client = client().await;
    for _ in 0..60 {
        let refused = client.check(request(None)).await.expect_err("there is no token");
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    let refused = client.check(request(None)).await.expect_err("there is no token");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(client.check(request(Some(Duration::from_mins(1)))).await.is_ok());
}

#[tokio::test]
async fn a_stream_ends_when_its_token_does() {
    let mut client = client().await;
    let lifetime = Duration::from_secs(2);
    let mut stream = client.watch(request(Some(lifetime))).await.expect("a good token").into_inner();
    assert!(stream.message().await.expect("no error").is_some());
    let ended = tokio::time::timeout(Duration::from_secs(30), stream.message()).await;
    let status = ended.expect("it ends").expect_err("the token has ended");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(status.message(), "the token has expired");
}
