//! From a receiver's URL to a connection.
//!
//! A name is resolved once per connection. All its addresses are vetted, and one that is forbidden refuses the name; what is
//! dialled is an address that was vetted, not the name, so that a name that means something else a moment later (DNS
//! rebinding) gains nothing. Addresses in a URL go the same way. Nothing here knows of proxies, and no connection serves
//! twice.

mod bounded;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use url::Host;

use self::bounded::Bounded;
use crate::classify::Outcome;
use crate::guard::{Allow, Forbidden};
use crate::progress::{Progress, Step};
use crate::receiver_url::ReceiverUrl;
use crate::resolve::Resolve;

/// How long the addresses may be looked for.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);
/// How long all of a name's addresses may be tried.
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
/// Addresses of a name that are tried, at the most. All are vetted.
const MOST_TRIED: usize = 4;
/// Bytes that are read on one connection. TLS, the head of an answer and its body never have as many together, however small the
/// chunks of the body are.
const MOST_HEARD: usize = 512 << 10;

/// A connection, with TLS or without.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// An address is forbidden, now and the next time.
    #[error("{host}: {forbidden}")]
    Forbidden {
        /// The host of the URL.
        host: String,
        /// The address.
        forbidden: Forbidden,
    },
    /// An address is not one of the settings' own, for what may only go there.
    #[error(
        "{0}: the address {1} is not among those that the settings allow, and without TLS nothing is sent elsewhere"
    )]
    NotListed(String, IpAddr),
    /// The name could not be resolved.
    #[error("{0} could not be resolved: {1}")]
    Resolve(String, io::Error),
    /// The name has no address.
    #[error("{0} has no address")]
    NoAddress(String),
    /// Nobody answered, at the address that was tried last.
    #[error("{0} could not be connected to: {1}")]
    Connect(SocketAddr, io::Error),
    /// The host has no name that a certificate could have.
    #[error("{0} is no name that a certificate could have")]
    Name(String),
    /// TLS could not be agreed on.
    #[error("TLS could not be agreed on: {0}")]
    Tls(io::Error),
}

impl DialError {
    /// What it means for the attempt.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Forbidden { .. } | Self::NotListed(..) | Self::Name(_) => {
                Outcome::Refused { disable: false }
            }
            Self::Resolve(..) | Self::NoAddress(_) | Self::Connect(..) | Self::Tls(_) => Outcome::Failed,
        }
    }
}

/// What connects to receivers.
#[derive(Clone, Debug)]
pub struct Dialler {
    /// Whether only what the settings name is dialled.
    pub only_listed: bool,
    pub resolver: Arc<dyn Resolve>,
    pub allow: Allow,
    pub tls: Arc<ClientConfig>,
}

impl Dialler {
    /// Connects. The caller sees to a deadline, which is `within`.
    pub async fn dial(
        &self,
        url: &ReceiverUrl,
        within: Duration,
        progress: &mut Progress,
    ) -> Result<Box<dyn Connection>, DialError> {
        let stream = self.reach(url, within, progress).await?;
        if !url.is_https() {
            return Ok(stream);
        }
        secure(self.tls.clone(), url, stream, progress).await
    }

    /// Connects without TLS, whatever the scheme.
    pub async fn reach(
        &self,
        url: &ReceiverUrl,
        within: Duration,
        progress: &mut Progress,
    ) -> Result<Box<dyn Connection>, DialError> {
        let addresses = self.vetted(url).await?;
        progress.step = Step::Connecting;
        let stream = connect(url, &addresses, within.min(CONNECT_DEADLINE), progress).await?;
        Ok(Box::new(Bounded::new(stream, MOST_HEARD)))
    }

    /// The addresses of the URL's host, if all of them may be dialled.
    async fn vetted(&self, url: &ReceiverUrl) -> Result<Vec<IpAddr>, DialError> {
        let addresses = match url.host() {
            Host::Ipv4(address) => vec![address.into()],
            Host::Ipv6(address) => vec![address.into()],
            Host::Domain(name) => self.resolve(name).await?,
        };
        let forbidden = addresses.iter().find_map(|address| self.allow.vet(*address).err());
        let stranger = addresses.iter().find(|address| self.only_listed && !self.allow.has(**address));
        if let Some(stranger) = stranger {
            return Err(DialError::NotListed(url.host().to_string(), *stranger));
        }
        match forbidden {
            Some(forbidden) => Err(DialError::Forbidden { host: url.host().to_string(), forbidden }),
            None => Ok(addresses),
        }
    }

    async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, DialError> {
        let resolved = timeout(RESOLVE_DEADLINE, self.resolver.resolve(name)).await;
        let resolved = resolved.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        resolved.map_err(|error| DialError::Resolve(name.to_owned(), error))
    }
}

/// Agrees on TLS with whom the URL names.
pub async fn secure(
    tls: Arc<ClientConfig>,
    url: &ReceiverUrl,
    stream: Box<dyn Connection>,
    progress: &mut Progress,
) -> Result<Box<dyn Connection>, DialError> {
    progress.step = Step::Securing;
    let secured = TlsConnector::from(tls).connect(server_name(url)?, stream).await;
    Ok(Box::new(secured.map_err(DialError::Tls)?))
}

/// Connects to the first address that lets us. Each has its share of the time, so that one that swallows everything leaves
/// some to the next.
async fn connect(
    url: &ReceiverUrl,
    addresses: &[IpAddr],
    within: Duration,
    progress: &mut Progress,
) -> Result<TcpStream, DialError> {
    let end = Instant::now() + within;
    let mut failure = DialError::NoAddress(url.host().to_string());
    let tried = &addresses[..addresses.len().min(MOST_TRIED)];
    for (before, address) in tried.iter().enumerate() {
        let address = SocketAddr::new(*address, url.port());
        progress.address = Some(address);
        let left = u32::try_from(tried.len() - before).expect("a few");
        let share = end.saturating_duration_since(Instant::now()) / left;
        let connected = timeout(share, TcpStream::connect(address)).await;
        match connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = DialError::Connect(address, error),
        }
    }
    Err(failure)
}

/// Whose certificate is asked for. A dot that ends a name is the resolver's affair alone.
fn server_name(url: &ReceiverUrl) -> Result<ServerName<'static>, DialError> {
    match url.host() {
        Host::Ipv4(address) => Ok(ServerName::IpAddress(IpAddr::from(address).into())),
        Host::Ipv6(address) => Ok(ServerName::IpAddress(IpAddr::from(address).into())),
        Host::Domain(name) => {
            let bare = name.strip_suffix('.').unwrap_or(name).to_owned();
            ServerName::try_from(bare).map_err(|_| DialError::Name(name.to_owned()))
        }
    }
}
