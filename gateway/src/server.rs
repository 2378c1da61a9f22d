//! Accepts connections and ends them: HTTP/1.1 and HTTP/2 on one listener, with TLS or without.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::connection;
use crate::options::ConnectionOptions;

/// After an accept that failed, most often for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Connections without TLS, for [`serve`].
pub async fn plain(stream: TcpStream) -> io::Result<TcpStream> {
    Ok(stream)
}

/// Serves `router` until `shutdown`, then lets requests under way finish for as long as `drain` says. `shake` makes a
/// connection of what was accepted, such as by a handshake of TLS, to which it sets a deadline; it keeps no other
/// connection waiting.
pub async fn serve<F, S>(
    listener: TcpListener,
    shake: impl Fn(TcpStream) -> F,
    router: Router,
    options: ConnectionOptions,
    shutdown: impl Future<Output = ()>,
) where
    F: Future<Output = io::Result<S>> + Send + 'static,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let drain = options.drain;
    let options = Arc::new(options);
    let places = Arc::new(Semaphore::new(options.max_connections));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        let (place, stream) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let peer = connection::peer(&stream);
        let (shaken, router) = (shake(stream), router.clone());
        let (options, stopped) = (Arc::clone(&options), stopped.clone());
        connections.spawn(async move {
            // How it fails is the client's affair.
            if let Ok(stream) = shaken.await {
                connection::serve(stream, peer, router, options, stopped).await;
            }
            drop(place);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let _ = stop.send(true);
    finish(connections, drain).await;
}

/// Waits for connections to end, and ends those that do not.
async fn finish(mut connections: JoinSet<()>, drain: Duration) {
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain, all).await.is_err() {
        tracing::warn!("requests were still under way when the gateway stopped");
    }
    connections.shutdown().await;
}

/// The next connection, with its place among those at a time.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, TcpStream) {
    // The semaphore is never closed: there is always a place in the end.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers must not wait for the acknowledgement of the one before.
                let _ = stream.set_nodelay(true);
                return (place, stream);
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
