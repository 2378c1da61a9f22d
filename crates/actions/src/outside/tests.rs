//! Attempts against real servers on loopback, which is allowed here. Servers that drip or hang do so for ever: what ends is
//! the attempt.

mod hostile;
mod names;
mod ordinary;
mod secure;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::*;

/// For attempts that are to end by themselves.
const LONG: Duration = Duration::from_secs(20);
/// For attempts that are to be cut off.
const SHORT: Duration = Duration::from_secs(1);

/// A server, until it is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    /// Connections that were made to it.
    met: Arc<AtomicUsize>,
    /// What became of each connection.
    ended: tokio::sync::mpsc::UnboundedReceiver<io::Result<Vec<u8>>>,
    _serving: JoinSet<()>,
}

impl Receiver {
    /// One that does so with each connection.
    pub(crate) async fn new<F, S>(serve: S) -> anyhow::Result<Self>
    where
        F: Future<Output = io::Result<Vec<u8>>> + Send + 'static,
        S: Fn(TcpStream) -> F + Send + 'static,
    {
        Self::at((Ipv4Addr::LOCALHOST, 0).into(), serve).await
    }

    async fn at<F, S>(address: SocketAddr, serve: S) -> anyhow::Result<Self>
    where
        F: Future<Output = io::Result<Vec<u8>>> + Send + 'static,
        S: Fn(TcpStream) -> F + Send + 'static,
    {
        let listener = TcpListener::bind(address).await?;
        let (address, met) = (listener.local_addr()?, Arc::new(AtomicUsize::new(0)));
        let (report, ended) = tokio::sync::mpsc::unbounded_channel();
        let (mut serving, counter) = (JoinSet::new(), met.clone());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let (served, report) = (serve(stream), report.clone());
                connections.spawn(async move { drop(report.send(served.await)) });
            }
        });
        Ok(Self { address, met, ended, _serving: serving })
    }

    /// One that reads the request and then says so.
    pub(crate) async fn saying(answer: impl Into<Vec<u8>>) -> anyhow::Result<Self> {
        let answer: Arc<[u8]> = answer.into().into();
        Self::new(move |stream| say(stream, answer.clone())).await
    }

    fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }

    /// What came of the next connection that ends.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<io::Result<Vec<u8>>> {
        use anyhow::Context;
        timeout(LONG, self.ended.recv()).await?.context("nobody serves")
    }

    pub(crate) fn url(&self) -> ReceiverUrl {
        url(&format!("http://{}/hook?a=b", self.address))
    }
}

fn url(text: &str) -> ReceiverUrl {
    ReceiverUrl::parse(text).expect("a URL")
}

async fn say(mut stream: TcpStream, answer: Arc<[u8]>) -> io::Result<Vec<u8>> {
    let heard = hear(&mut stream).await?;
    stream.write_all(&answer).await?;
    Ok(heard)
}

/// Reads a request to its end.
pub(crate) async fn hear(stream: &mut (impl AsyncReadExt + Unpin)) -> io::Result<Vec<u8>> {
    let mut heard = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&heard);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                return Ok(heard);
            }
        }
        if stream.read_buf(&mut heard).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// What names mean, one answer after the other; the last one stays.
#[derive(Debug)]
pub(crate) struct Script {
    answers: Vec<Vec<IpAddr>>,
    asked: AtomicUsize,
}

impl Script {
    pub(crate) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let read = |addresses: &&[&str]| addresses.iter().map(|it| it.parse().expect("an address")).collect();
        Arc::new(Self { answers: answers.iter().map(read).collect(), asked: AtomicUsize::new(0) })
    }
}

#[async_trait::async_trait]
impl Resolve for Script {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        Ok(self.answers[asked.min(self.answers.len() - 1)].clone())
    }
}

/// With what is allowed.
pub(crate) fn outside(allowed: &[&str]) -> anyhow::Result<Outside> {
    trusting(allowed, &[])
}

pub(crate) fn trusting(allowed: &[&str], roots: &[CertificateDer<'static>]) -> anyhow::Result<Outside> {
    // Another test may have been first.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    Ok(Outside::new(Allow::parse(allowed)?, roots)?)
}

fn call(url: &ReceiverUrl) -> Call<'_> {
    Call {
        url,
        method: Method::POST,
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
        now: Timestamp::default(),
        client_errors_are_final: false,
    }
}

/// One attempt to reach that server.
async fn attempt(receiver: &Receiver, deadline: Duration) -> anyhow::Result<Attempted> {
    Ok(outside(&["127.0.0.1"])?.attempt(call(&receiver.url()), deadline).await)
}
