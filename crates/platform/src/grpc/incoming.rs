//! The connections of a gRPC listener: those that have begun HTTP/2.
//!
//! A connection waits in here, in a task of its own, while it shakes hands and until the client has said what HTTP/2 begins
//! with. From then on HTTP/2 looks after it: pings find out whether a client that is idle is still there. Before, nobody
//! would, so that waiting has an end, and those that wait are counted: when they are too many, the oldest goes.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::time::Duration;

use futures::Stream as FuturesStream;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::begun::Begun;
use crate::tls::Acceptor;

/// After an accept that failed, most often for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// How many may wait, and how long.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Connections that have not begun, at a time.
    pub most: usize,
    /// How long one may take to begin when it has shaken hands.
    pub longest: Duration,
    /// How long each has in any case, also when as many wait as may. Until then nobody is accepted in its place.
    pub shortest: Duration,
}

impl Default for Patience {
    /// A client begins in a round trip or two, so that one that is slow is not harmed; and who opens connections for
    /// nothing gets 1,024 of them in a second, and nobody has to stand in line behind them for longer.
    fn default() -> Self {
        let (longest, shortest) = (Duration::from_secs(10), Duration::from_secs(1));
        Self { most: 1_024, longest, shortest }
    }
}

/// The connections that have begun, in the order in which they have. Those that fail, or take too long, are left out.
pub fn incoming(
    listener: TcpListener,
    acceptor: Acceptor,
    patience: Patience,
) -> impl FuturesStream<Item = io::Result<Begun>> + Send {
    let waiting = Waiting { next: 0, since: BTreeMap::new(), tasks: JoinSet::new() };
    let entrance = Entrance { listener, acceptor, patience, waiting };
    futures::stream::unfold(entrance, async |mut entrance| {
        let begun = entrance.next().await;
        Some((Ok(begun), entrance))
    })
}

struct Entrance {
    listener: TcpListener,
    acceptor: Acceptor,
    patience: Patience,
    waiting: Waiting,
}

/// Those that have not begun yet, by the order in which they came. Dropped, it ends them.
struct Waiting {
    next: u64,
    since: BTreeMap<u64, (Instant, AbortHandle)>,
    tasks: JoinSet<(u64, Option<Begun>)>,
}

impl Entrance {
    async fn next(&mut self) -> Begun {
        loop {
            let free = self.waiting.free_at(self.patience);
            tokio::select! {
                ended = self.waiting.ended() => {
                    if let Some(begun) = ended {
                        return begun;
                    }
                }
                tcp = accept(&self.listener, free) => self.admit(tcp),
            }
        }
    }

    fn admit(&mut self, tcp: TcpStream) {
        if self.waiting.since.len() >= self.patience.most {
            self.waiting.end_oldest();
        }
        let begins = begin(self.acceptor.clone(), tcp, self.patience.longest);
        self.waiting.add(begins);
    }
}

impl Waiting {
    fn add(&mut self, begins: impl Future<Output = Option<Begun>> + Send + 'static) {
        let number = self.next;
        self.next += 1;
        // A task of its own: its arithmetic is nothing for the task that accepts.
        let task = self.tasks.spawn(async move { (number, begins.await) });
        self.since.insert(number, (Instant::now(), task));
    }

    /// When one no longer waits: the connection, if it has begun.
    async fn ended(&mut self) -> Option<Begun> {
        let Some(ended) = self.tasks.join_next().await else { return pending().await };
        // Who was ended is no longer among them.
        let (number, begun) = ended.ok()?;
        self.since.remove(&number);
        begun
    }

    fn end_oldest(&mut self) {
        if let Some((_, (_, task))) = self.since.pop_first() {
            task.abort();
            metrics::counter!("cornjacket_grpc_never_begun_total").increment(1);
        }
    }

    /// When somebody else may come in, if that is not at once.
    fn free_at(&self, patience: Patience) -> Option<Instant> {
        let oldest = self.since.values().next().filter(|_| self.since.len() >= patience.most);
        oldest.map(|(since, _)| *since + patience.shortest)
    }
}

async fn accept(listener: &TcpListener, not_before: Option<Instant>) -> TcpStream {
    if let Some(time) = not_before {
        sleep_until(time).await;
    }
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                // Small answers must not wait for the acknowledgement of the one before.
                let _ = tcp.set_nodelay(true);
                return tcp;
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Shakes hands, which has a deadline of its own, and waits for HTTP/2 to begin. Who does not is no error of ours.
async fn begin(acceptor: Acceptor, tcp: TcpStream, longest: Duration) -> Option<Begun> {
    let stream = acceptor.accept(tcp).await.ok()?;
    let begun = timeout(longest, Begun::new(stream)).await;
    let Ok(begun) = begun else {
        metrics::counter!("cornjacket_grpc_never_begun_total").increment(1);
        return None;
    };
    begun.ok()
}

#[cfg(test)]
mod tests;
