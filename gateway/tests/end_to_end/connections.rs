//! Over real connections: both versions of HTTP, slow clients, shutdown.

use std::net::SocketAddr;
use std::time::Duration;

use cornjacket_gateway::{ConnectionOptions, Gateway, Upstream, plain, serve};
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::client::{options, upstreams};
use crate::fake::Fake;

const SOON: Duration = Duration::from_secs(10);

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

async fn served(connections: ConnectionOptions) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let upstream = Upstream::in_process(Fake::default().routes());
    let gateway = Gateway::new(options(), upstreams(&upstream)).expect("a gateway");
    let (stop, stopped) = oneshot::channel();
    let router = gateway.layered(gateway.router());
    let server =
        tokio::spawn(serve(listener, plain, router, connections, async { stopped.await.unwrap_or(()) }));
    Served { address, stop, server }
}

fn short() -> ConnectionOptions {
    let quick = Duration::from_millis(200);
    ConnectionOptions { header_timeout: quick, idle_timeout: quick, drain: quick, ..Default::default() }
}

/// Reads until the server ends the connection.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A reset is an end too.
    let _ = timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("the server ends it");
    bytes
}

#[tokio::test]
async fn both_versions_of_http_are_served() {
    let served = served(ConnectionOptions::default()).await;
    let uri = format!("http://{}/api/v1/query/events", served.address);
    let request =
        || Request::get(&uri).header("host", "x").body(Empty::<bytes::Bytes>::new()).expect("a request");
    let stream = TcpStream::connect(served.address).await.expect("a connection");
    let (mut one, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    tokio::spawn(connection);
    assert_eq!(one.send_request(request()).await.expect("an answer").status(), 200);
    let stream = TcpStream::connect(served.address).await.expect("a connection");
    let (mut two, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let answer = two.send_request(request()).await.expect("an answer");
    assert_eq!(answer.into_body().collect().await.expect("a body").to_bytes(), "{}");
}

#[tokio::test]
async fn heads_that_do_not_come_are_not_waited_for() {
    let served = served(ConnectionOptions { idle_timeout: Duration::from_mins(10), ..short() }).await;
    let mut stream = TcpStream::connect(served.address).await.expect("a connection");
    stream.write_all(b"GET /api/v1/query/events HTTP/1.1\r\nhost: x\r\n").await.expect("written");
    until_closed(&mut stream).await;
}

#[tokio::test]
async fn connections_that_move_nothing_are_ended() {
    let served = served(ConnectionOptions { header_timeout: Duration::from_mins(10), ..short() }).await;
    for opening in [b"".as_slice(), b"GET /", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"] {
        let mut stream = TcpStream::connect(served.address).await.expect("a connection");
        stream.write_all(opening).await.expect("written");
        until_closed(&mut stream).await;
    }
}

#[tokio::test]
async fn heads_are_bounded() {
    let served = served(ConnectionOptions { header_bytes: 16 << 10, ..Default::default() }).await;
    let mut stream = TcpStream::connect(served.address).await.expect("a connection");
    let head = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(64 << 10));
    let _ = stream.write_all(head.as_bytes()).await;
    let answer = until_closed(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn stopping_ends_streams_after_the_drain() {
    let served = served(ConnectionOptions { drain: Duration::from_millis(200), ..Default::default() }).await;
    let mut stream = TcpStream::connect(served.address).await.expect("a connection");
    let request = b"GET /api/v1/query/events:tail?subject=quiet HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(request).await.expect("written");
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");
    served.stop.send(()).expect("the server listens");
    timeout(SOON, served.server).await.expect("in time").expect("no panic");
    assert!(TcpStream::connect(served.address).await.is_err());
}
