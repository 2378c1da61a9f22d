//! From a TCP connection to one that may have TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::listeners::Configs;
use super::stream::Stream;
use super::watched::Watched;

/// How long a client may take for its handshake.
const HANDSHAKE_DEADLINE: Duration = Duration::from_secs(10);

/// Makes connections of a listener, with TLS where that is set.
#[derive(Clone, Debug)]
pub struct Acceptor {
    configs: Option<Arc<Watched<Configs>>>,
    choose: fn(&Configs) -> &Arc<ServerConfig>,
}

impl Acceptor {
    /// With TLS if there is something to show, and of that what is chosen.
    pub const fn new(
        configs: Option<Arc<Watched<Configs>>>,
        choose: fn(&Configs) -> &Arc<ServerConfig>,
    ) -> Self {
        Self { configs, choose }
    }

    /// Shakes hands. Who cannot is no error of ours: it is counted.
    pub async fn accept(self, tcp: TcpStream) -> io::Result<Stream> {
        let Some(configs) = &self.configs else { return Ok(Stream::plain(tcp)) };
        let peer = tcp.peer_addr();
        let acceptor = TlsAcceptor::from(Arc::clone((self.choose)(&configs.current())));
        let shaken = timeout(HANDSHAKE_DEADLINE, acceptor.accept(tcp)).await;
        let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        shaken.map(Stream::tls).inspect_err(|error| {
            metrics::counter!("cornjacket_tls_handshake_failures_total").increment(1);
            tracing::debug!(?peer, %error, "a client could not shake hands");
        })
    }
}
