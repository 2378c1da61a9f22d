//! What of the gateway can be set.

use std::time::Duration;

use crate::body::BodyLimits;

/// What of the gateway can be set. The defaults are what they say.
#[derive(Clone, Debug)]
pub struct Options {
    /// Request bodies, on the wire and decompressed: 9 MiB, within 30 s.
    pub body: BodyLimits,
    /// The largest response of a service, or message of a stream, in bytes: 64 MiB.
    pub response_bytes: usize,
    /// How long a call may take whose caller does not say: 30 s. Streams then have no end.
    pub default_timeout: Duration,
    /// How long a call may take whatever its caller says: 5 min. Not for streams.
    pub max_timeout: Duration,
    /// How often a quiet stream shows that it is there: 15 s.
    pub heartbeat: Duration,
    /// Origins that browsers may call from; `*` is all of them, none switches CORS off: none.
    pub cors_origins: Vec<String>,
    /// How connections are served.
    pub connections: ConnectionOptions,
}

/// How connections are served.
#[derive(Clone, Debug)]
pub struct ConnectionOptions {
    /// How long a client may take to send a request's head: 30 s. In HTTP/1.1 this includes the pause after the request
    /// before, so that proxies should keep their connections for less.
    pub header_timeout: Duration,
    /// The size of a request's head in bytes: 32 KiB.
    pub header_bytes: u32,
    /// How long a connection may move no byte before it is ended: 2 min. Streams move heartbeats.
    pub idle_timeout: Duration,
    /// Streams of an HTTP/2 connection at a time: 256.
    pub max_streams: u32,
    /// Connections at a time; more wait to be accepted: 10,000.
    pub max_connections: usize,
    /// How long requests under way may take when the gateway stops: 10 s.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            body: BodyLimits { bytes: 9 << 20, timeout: Duration::from_secs(30) },
            response_bytes: 64 << 20,
            default_timeout: Duration::from_secs(30),
            max_timeout: Duration::from_mins(5),
            heartbeat: Duration::from_secs(15),
            cors_origins: Vec::new(),
            connections: ConnectionOptions::default(),
        }
    }
}

impl Default for ConnectionOptions {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(30),
            header_bytes: 32 << 10,
            idle_timeout: Duration::from_mins(2),
            max_streams: 256,
            max_connections: 10_000,
            drain: Duration::from_secs(10),
        }
    }
}
