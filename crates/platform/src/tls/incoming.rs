//! The connections of a gRPC listener.

use std::io;

use futures::{Stream as FuturesStream, StreamExt, future};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::server::TcpIncoming;

use super::Acceptor;
use super::stream::Stream;

/// Handshakes at a time; more wait to be accepted.
const HANDSHAKES: usize = 1024;

/// The connections of a listener, in the order in which they are through with their handshakes: a slow one keeps nobody
/// waiting. Those that fail are left out.
pub fn incoming(
    listener: TcpListener,
    acceptor: Acceptor,
) -> impl FuturesStream<Item = io::Result<Stream>> + Send {
    TcpIncoming::from(listener)
        .with_nodelay(Some(true))
        .map(move |accepted| shake(accepted, acceptor.clone()))
        .buffer_unordered(HANDSHAKES)
        .filter_map(future::ready)
}

/// Tells whoever serves that it could not accept, but not that a client could not shake hands.
async fn shake(
    accepted: io::Result<tokio::net::TcpStream>,
    acceptor: Acceptor,
) -> Option<io::Result<Stream>> {
    let tcp = match accepted {
        Ok(tcp) => tcp,
        Err(error) => return Some(Err(error)),
    };
    // A task of its own: its arithmetic is nothing for the task that accepts.
    let shaken = AbortOnDropHandle::new(tokio::spawn(acceptor.accept(tcp)));
    shaken.await.ok()?.ok().map(Ok)
}
