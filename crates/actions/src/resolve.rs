//! From names to addresses.

use std::fmt::Debug;
use std::io;
use std::net::IpAddr;

use async_trait::async_trait;

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolve: Debug + Send + Sync {
    /// All of them, as they are now.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// What the machine knows: `/etc/hosts`, and the servers of `/etc/resolv.conf`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    /// Who stops waiting leaves a thread behind, until the resolver's own deadline.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((name, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}
