//! Receivers that want us to wait, to fill our memory, or to go elsewhere: ordinary sockets on this machine.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

const DRIP: Duration = Duration::from_millis(20);
/// What the bomb is when somebody unpacks it.
const UNPACKED_MIB: usize = 64;

/// What somebody does who is told something.
#[derive(Clone, Debug)]
pub enum Harm {
    /// Takes the connection and says nothing, ever.
    Silence,
    /// Says that, and then a byte now and then.
    Drip(&'static str),
    /// Says that, and then the other over and over.
    Flood(&'static str, Vec<u8>),
    /// Says that and closes the connection.
    Answer(Vec<u8>),
    /// Says that before anything is asked, and waits.
    Nonsense(&'static [u8]),
}

/// Somebody who means harm, until he is dropped.
pub struct HostileReceiver {
    address: SocketAddr,
    /// Connections that were made to him.
    met: Arc<AtomicUsize>,
    _serving: AbortOnDropHandle<()>,
}

impl HostileReceiver {
    pub async fn start(harm: Harm) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, met) = (listener.local_addr()?, Arc::new(AtomicUsize::new(0)));
        let (harm, counter) = (Arc::new(harm), met.clone());
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                let harm = harm.clone();
                // Whoever is told goes away: that is what is to happen.
                connections.spawn(async move { drop(harm.to(stream).await) });
            }
        });
        Ok(Self { address, met, _serving: AbortOnDropHandle::new(serving) })
    }

    /// Where he is.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections were made to him.
    pub fn met(&self) -> usize {
        self.met.load(Ordering::SeqCst)
    }
}

impl Harm {
    /// A redirect.
    pub fn redirect(place: &str) -> Self {
        let head = format!("HTTP/1.1 302 Found\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n");
        Self::Answer(head.into_bytes())
    }

    /// An answer that is small, and large for whoever unpacks it.
    pub fn bomb() -> io::Result<Self> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 1 << 20];
        for _ in 0..UNPACKED_MIB {
            encoder.write_all(&zeros)?;
        }
        let bomb = encoder.finish()?;
        let length = bomb.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n");
        Ok(Self::Answer([head.as_bytes(), &bomb].concat()))
    }

    async fn to(&self, mut stream: TcpStream) -> io::Result<()> {
        match self {
            Self::Silence => std::future::pending().await,
            Self::Nonsense(said) => {
                stream.write_all(said).await?;
                std::future::pending().await
            }
            Self::Answer(said) => {
                hear(&mut stream).await?;
                stream.write_all(said).await
            }
            Self::Drip(begin) => {
                hear(&mut stream).await?;
                stream.write_all(begin.as_bytes()).await?;
                loop {
                    stream.write_all(b"x").await?;
                    tokio::time::sleep(DRIP).await;
                }
            }
            Self::Flood(begin, more) => {
                hear(&mut stream).await?;
                stream.write_all(begin.as_bytes()).await?;
                loop {
                    stream.write_all(more).await?;
                }
            }
        }
    }
}

/// Reads a request to its end.
async fn hear(stream: &mut TcpStream) -> io::Result<()> {
    let mut heard = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&heard);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                return Ok(());
            }
        }
        if stream.read_buf(&mut heard).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
