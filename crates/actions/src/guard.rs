//! Which addresses may be dialled. Whoever makes an endpoint chooses where we connect to from inside our network
//! (server-side request forgery): only what everybody on the internet can reach anyhow is dialled, and what the settings
//! allow.
//!
//! The table follows the special-purpose registries of IANA (<https://www.iana.org/assignments/iana-ipv4-special-registry>,
//! `iana-ipv6-special-registry`), and names the clouds' metadata services, which hand out credentials. An IPv6 address that
//! stands for an IPv4 address is judged by that one.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::IpNet;

/// Networks that are not dialled, with the reason and who says so. The first row that has an address is the reason.
const FORBIDDEN: [(&str, &str); 44] = [
    ("169.254.169.254/32", "a metadata service (AWS, Azure, Google and others)"),
    ("169.254.170.2/32", "a metadata service (AWS ECS)"),
    ("169.254.170.23/32", "a metadata service (AWS EKS)"),
    ("100.100.100.200/32", "a metadata service (Alibaba)"),
    ("168.63.129.16/32", "a metadata service (Azure)"),
    ("192.0.0.192/32", "a metadata service (Oracle)"),
    ("0.0.0.0/32", "unspecified (RFC 1122)"),
    ("0.0.0.0/8", "this network (RFC 791)"),
    ("10.0.0.0/8", "private (RFC 1918)"),
    ("100.64.0.0/10", "shared by a carrier's customers (CGNAT, RFC 6598)"),
    ("127.0.0.0/8", "loopback (RFC 1122)"),
    ("169.254.0.0/16", "link-local (RFC 3927)"),
    ("172.16.0.0/12", "private (RFC 1918)"),
    ("192.0.0.0/24", "for protocols (RFC 6890)"),
    ("192.0.2.0/24", "for documentation (RFC 5737)"),
    ("192.88.99.0/24", "a relay of 6to4 (RFC 7526)"),
    ("192.168.0.0/16", "private (RFC 1918)"),
    ("198.18.0.0/15", "for benchmarks (RFC 2544)"),
    ("198.51.100.0/24", "for documentation (RFC 5737)"),
    ("203.0.113.0/24", "for documentation (RFC 5737)"),
    ("224.0.0.0/4", "multicast (RFC 5771)"),
    ("255.255.255.255/32", "broadcast (RFC 8190)"),
    ("240.0.0.0/4", "reserved (RFC 1112)"),
    ("fd00:ec2::254/128", "a metadata service (AWS)"),
    ("fd00:ec2::23/128", "a metadata service (AWS EKS)"),
    ("fd20:ce::254/128", "a metadata service (Google)"),
    ("::/128", "unspecified (RFC 4291)"),
    ("::1/128", "loopback (RFC 4291)"),
    ("64:ff9b:1::/48", "for a translation of its own (NAT64, RFC 8215)"),
    ("100::/64", "discarded (RFC 6666)"),
    ("100:0:0:1::/64", "a dummy (RFC 9780)"),
    ("2001::/32", "Teredo (RFC 4380)"),
    ("2001::/23", "for protocols (RFC 2928)"),
    ("2001:db8::/32", "for documentation (RFC 3849)"),
    ("3fff::/20", "for documentation (RFC 9637)"),
    ("5f00::/16", "for segment routing (RFC 9602)"),
    ("fc00::/7", "unique local (RFC 4193)"),
    ("fe80::/10", "link-local (RFC 4291)"),
    ("fec0::/10", "site-local (RFC 3879)"),
    ("ff00::/8", "multicast (RFC 4291)"),
    // What is left beside 2000::/3, from which alone IANA gives addresses.
    ("::/3", "given to nobody (RFC 4291)"),
    ("4000::/2", "given to nobody (RFC 4291)"),
    ("8000::/2", "given to nobody (RFC 4291)"),
    ("c000::/2", "given to nobody (RFC 4291)"),
];

/// Networks of IPv6 whose addresses stand for one of IPv4, and the byte at which that begins: IPv4-mapped (RFC 4291),
/// IPv4-translated (RFC 2765), NAT64 (RFC 6052), 6to4 (RFC 3056) and IPv4-compatible (RFC 4291).
const DISGUISES: [(&str, usize); 5] =
    [("::ffff:0:0/96", 12), ("::ffff:0:0:0/96", 12), ("64:ff9b::/96", 12), ("2002::/16", 2), ("::/96", 12)];

static NETWORKS: LazyLock<Vec<(IpNet, &str)>> =
    LazyLock::new(|| FORBIDDEN.into_iter().map(|(network, reason)| (ours(network), reason)).collect());
static HIDING: LazyLock<Vec<(IpNet, usize)>> =
    LazyLock::new(|| DISGUISES.into_iter().map(|(network, at)| (ours(network), at)).collect());

fn ours(network: &str) -> IpNet {
    network.parse().expect("a network of the tables above, all of which a test reads")
}

/// Why an address is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Forbidden {
    /// The address as it was written or resolved.
    pub address: IpAddr,
    /// What it stands for, where that is another one.
    pub hidden: Option<Ipv4Addr>,
    /// What it is, and who says so.
    pub reason: &'static str,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the address {}", self.address)?;
        if let Some(hidden) = self.hidden {
            write!(formatter, ", which stands for {hidden},")?;
        }
        write!(formatter, " is not allowed: {}", self.reason)
    }
}

/// Networks that may be dialled whatever the table says.
#[derive(Clone, Debug, Default)]
pub struct Allow(Vec<IpNet>);

/// An entry of the allow-list that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// It cannot be read.
    #[error("{0:?} is no address and no network: such as 127.0.0.1, ::1 or 10.0.0.0/8")]
    Grammar(String),
    /// It says more than the network does.
    #[error("{0:?} has bits behind its prefix: did you mean {1}?")]
    Bits(String, IpNet),
}

impl Allow {
    /// Reads the entries of a setting: addresses, and networks with the length of their prefix.
    pub fn parse<S: AsRef<str>>(entries: impl IntoIterator<Item = S>) -> Result<Self, BadEntry> {
        entries.into_iter().map(|entry| network(entry.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the address may be dialled, and if not, why.
    pub fn vet(&self, address: IpAddr) -> Result<(), Forbidden> {
        if self.has(address) {
            return Ok(());
        }
        // Before disguises, of which ::1 would be one of 0.0.0.1.
        let hidden = if is_itself(address) { None } else { hidden(address) };
        let judged = hidden.map_or(address, IpAddr::V4);
        match reason(judged).filter(|_| !self.has(judged)) {
            Some(reason) => Err(Forbidden { address, hidden, reason }),
            None => Ok(()),
        }
    }

    /// Whether the settings name the address, or a network that it is in.
    pub fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(entry: &str) -> Result<IpNet, BadEntry> {
    if let Ok(address) = entry.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet = entry.parse().map_err(|_| BadEntry::Grammar(entry.to_owned()))?;
    if network.trunc() == network {
        Ok(network)
    } else {
        Err(BadEntry::Bits(entry.to_owned(), network.trunc()))
    }
}

fn is_itself(address: IpAddr) -> bool {
    address == Ipv6Addr::UNSPECIFIED || address == Ipv6Addr::LOCALHOST
}

fn reason(address: IpAddr) -> Option<&'static str> {
    NETWORKS.iter().find(|(network, _)| network.contains(&address)).map(|(_, reason)| *reason)
}

fn hidden(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let (_, at) = HIDING.iter().find(|(network, _)| network.contains(&address))?;
    let octets: [u8; 4] = v6.octets()[*at..at + 4].try_into().expect("four bytes");
    Some(octets.into())
}

#[cfg(test)]
mod tests;
