//! Clients that mean harm, or know no better: memory stays bounded, and everybody else is served.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use cornjacket_proto::ingest::AppendRequest;
use cornjacket_proto::query::TailEventsRequest;
use cornjacket_testkit::Process;
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use super::cornjacket::{Cornjacket, stop, token};
use super::events::reading;
use super::gateway::authorized;
use super::load;

const DEADLINE: Duration = Duration::from_mins(2);
/// What the process may have in memory, whatever they do.
const MEMORY: u64 = 512 << 20;
/// How long others are served meanwhile.
const TIME: Duration = Duration::from_secs(5);
/// The slowest answer that anybody else gets on a machine that is busy with tests.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a client of HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Who has begun by then need not hurry, and is asked only later whether it is still there.
const BEGUN: Duration = Duration::from_secs(20);

fn each() -> usize {
    if load::long() { 2_000 } else { 250 }
}

/// More than may stand at a listener of gRPC without having begun.
fn never_beginning() -> usize {
    if load::long() { 4_000 } else { 1_500 }
}

/// Connects to the gateway and sends the head of an append, with these headers.
async fn head(port: u16, headers: &str) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    let token = token()?;
    let head = format!(
        "POST /api/v1/ingest/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\n{headers}\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    Ok(stream)
}

/// What came back, until the other side has closed or has said enough.
async fn answer(mut stream: TcpStream) -> anyhow::Result<String> {
    let mut answer = vec![0; 1_024];
    let read = timeout(DEADLINE, stream.read(&mut answer)).await.context("an answer in time")??;
    Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
}

/// Connects to a gRPC listener and says this, which is less than a client of HTTP/2 begins with, or nothing.
async fn never_begins(port: u16, said: &[u8]) -> anyhow::Result<TcpStream> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(said).await?;
    Ok(stream)
}

/// Begins HTTP/2 (RFC 9113, section 3.4), asks nothing, and does not answer either: whether it may stay for so long.
async fn stays(port: u16, time: Duration) -> anyhow::Result<bool> {
    let empty_settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let mut stream = never_begins(port, &[PREFACE, &empty_settings].concat()).await?;
    let mut said = Vec::new();
    Ok(timeout(time, stream.read_to_end(&mut said)).await.is_err())
}

/// One byte of a request's head after the other, for ever.
async fn slow_head(port: u16) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
    stream.write_all(b"GET /api/v1/query/projections HTTP/1.1\r\nX-Slow: ").await?;
    let mut pace = interval(Duration::from_millis(200));
    loop {
        pace.tick().await;
        stream.write_all(b"a").await?;
    }
}

/// A body without an end.
async fn endless_body(port: u16) -> anyhow::Result<String> {
    let mut stream = head(port, "Transfer-Encoding: chunked\r\n").await?;
    let chunk = format!("10000\r\n{}\r\n", " ".repeat(0x1_0000));
    // It is cut off in the middle, or not read any further.
    for _ in 0..1_000 {
        if timeout(DEADLINE, stream.write_all(chunk.as_bytes()))
            .await
            .context("it takes or ends it")?
            .is_err()
        {
            break;
        }
    }
    answer(stream).await
}

/// A gigabyte of spaces in a megabyte.
fn bomb() -> anyhow::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..1_024 {
        encoder.write_all(&spaces)?;
    }
    Ok(encoder.finish()?)
}

async fn send_bomb(port: u16, bomb: &[u8]) -> anyhow::Result<String> {
    let headers = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", bomb.len());
    let mut stream = head(port, &headers).await?;
    stream.write_all(bomb).await?;
    answer(stream).await
}

/// Many who follow the log over one connection and read nothing of it.
async fn deaf_followers(cornjacket: Cornjacket, count: usize) -> anyhow::Result<()> {
    let mut query = cornjacket.query().await?;
    let mut deaf = Vec::new();
    for _ in 0..count {
        deaf.push(query.tail_events(TailEventsRequest::default()).await?.into_inner());
    }
    std::future::pending().await
}

/// The slowest of the appends over gRPC and HTTP, one after the other for a while.
async fn others(cornjacket: &Cornjacket, process: &Process) -> anyhow::Result<(Duration, u64)> {
    let (mut slowest, mut largest) = (Duration::ZERO, 0);
    let (until, mut number) = (Instant::now() + TIME, 0);
    let mut ingest = cornjacket.ingest().await?;
    while Instant::now() < until {
        let asked = Instant::now();
        let event = reading("pump", &format!("grpc-{number}"), 1.0);
        ingest.append(AppendRequest { event: Some(event) }).await?;
        let body =
            format!(r#"{{"id": "http-{number}", "source": "s", "type": "user.action", "subject": "u"}}"#);
        let json = [("content-type", "application/json")];
        let said = authorized(cornjacket.gateway, "POST /api/v1/ingest/events", &json, body).await?;
        anyhow::ensure!(said.status == 200, "{}", said.text());
        slowest = slowest.max(asked.elapsed());
        largest = largest.max(process.memory()?);
        number += 1;
    }
    println!("{number} others: the slowest took {slowest:?}; at most {} MiB resident", largest >> 20);
    Ok((slowest, largest))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_means_harm_takes_neither_memory_nor_time_of_others() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let port = cornjacket.gateway;
    let mut harm = JoinSet::new();
    for _ in 0..each() {
        harm.spawn(slow_head(port));
    }
    let mut idle = Vec::new();
    for _ in 0..each() {
        for port in [cornjacket.gateway, cornjacket.ingest, cornjacket.query] {
            idle.push(TcpStream::connect(("127.0.0.1", port)).await?);
        }
    }
    harm.spawn(deaf_followers(cornjacket.clone(), each()));
    let mut refused = JoinSet::new();
    for _ in 0..8 {
        refused.spawn(endless_body(port));
    }
    let bomb = std::sync::Arc::new(bomb()?);
    for _ in 0..8 {
        let bomb = bomb.clone();
        refused.spawn(async move { send_bomb(port, &bomb).await });
    }
    let (slowest, largest) = others(&cornjacket, &process).await?;
    assert!(slowest < PATIENCE, "others waited {slowest:?}");
    assert!(largest < MEMORY, "{largest} bytes resident");
    while let Some(answer) = refused.join_next().await {
        // Who goes on sending may be cut off before the answer is there.
        let answer = answer?.unwrap_or_default();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    harm.abort_all();
    drop(idle);
    stop(process).await
}

/// Who sends nothing gives its place up.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_come_is_not_waited_for() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let mut stream = TcpStream::connect(("127.0.0.1", cornjacket.gateway)).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await?;
    let mut left = Vec::new();
    timeout(DEADLINE, stream.read_to_end(&mut left)).await.context("it is closed")??;
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_begins_http2_is_sent_away_and_who_has_begun_stays() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let quiet = [cornjacket.ingest, cornjacket.query].map(|port| tokio::spawn(stays(port, BEGUN)));
    let mut silent = Vec::new();
    for number in 0..never_beginning() {
        let said = if number % 2 == 0 { &PREFACE[..12] } else { &[] };
        for port in [cornjacket.ingest, cornjacket.query] {
            silent.push(never_begins(port, said).await?);
        }
    }
    let (slowest, largest) = others(&cornjacket, &process).await?;
    assert!(slowest < PATIENCE, "others waited {slowest:?}");
    assert!(largest < MEMORY, "{largest} bytes resident");
    let gone = async {
        for stream in &mut silent {
            // However it ends, it has ended.
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    };
    timeout(DEADLINE, gone).await.context("who never begins is sent away")?;
    for stayed in quiet {
        assert!(stayed.await??, "who has begun was sent away");
    }
    stop(process).await
}
