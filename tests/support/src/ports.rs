//! Loopback ports for servers that tests start.
//!
//! Not port 0: a server that is to come back on its port must not find it taken. So the ports lie below the
//! range from which the kernel serves outgoing connections (where a client that retries a server which is
//! down may even connect to itself), and each stays claimed while this process lives, against other test
//! processes too.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Mutex, PoisonError};

/// Above the well-known ports, below Linux' default `ip_local_port_range`.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// The claims of this process: sockets in the abstract namespace, which the kernel releases with the process.
static CLAIMS: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// A free port on 127.0.0.1 that no other caller of this function gets while this process lives.
pub fn free_port() -> anyhow::Result<u16> {
    // Each `RandomState` has keys of its own: processes that start together look in different places.
    let offset = RandomState::new().hash_one(0_u8) % u64::from(RANGE.end - RANGE.start);
    let start = RANGE.start + u16::try_from(offset)?;
    (start..RANGE.end)
        .chain(RANGE.start..start)
        .find(|port| claim(*port) && is_free(*port))
        .ok_or_else(|| anyhow::format_err!("no free port in {RANGE:?}"))
}

fn claim(port: u16) -> bool {
    let listener = SocketAddr::from_abstract_name(format!("cornjacket-test-port-{port}"))
        .and_then(|name| UnixListener::bind_addr(&name));
    let Ok(listener) = listener else { return false };
    CLAIMS.lock().unwrap_or_else(PoisonError::into_inner).push(listener);
    true
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_given_once() {
        let port = free_port().expect("there are free ports");
        assert!(is_free(port));
        assert!(!claim(port));
    }
}
