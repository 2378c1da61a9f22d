//! Where a receiver is, as somebody wrote it.
//!
//! The URL is read once, as browsers do (<https://url.spec.whatwg.org>), and only what was read is used: addresses in
//! decimal, octal, hexadecimal or short form, in percent codes or in other scripts' digits have become plain addresses by
//! then, and names are in ASCII. What that standard would overlook or mend (spaces, backslashes, missing slashes) is refused.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cornjacket_domain::violation::{Reason, Violation};
use url::{Host, Url};

use crate::guard::{Allow, Forbidden};

/// Characters of a URL, at the most.
const MOST_CHARACTERS: usize = 2_048;
/// What every machine has for itself (RFC 6761).
const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// A URL that may be that of a receiver: `http` or `https`, with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverUrl(Url);

/// What is wrong with a URL.
#[derive(Debug, thiserror::Error)]
pub enum BadUrl {
    /// There is none.
    #[error("must be set")]
    Missing,
    /// It is too long.
    #[error("has {0} characters; the limit is {MOST_CHARACTERS}")]
    TooLong(usize),
    /// A space, a control character or a backslash.
    #[error("has the character {0:?}, which must be written as a percent code")]
    Character(char),
    /// It is not for HTTP.
    #[error("must begin with https:// or http://")]
    Scheme,
    /// It cannot be read.
    #[error("is no URL: {0}")]
    Grammar(#[from] url::ParseError),
    /// Secrets do not belong into URLs.
    #[error("must not have a user or password")]
    UserInfo,
    /// Servers never see it.
    #[error("must not have a fragment (#…)")]
    Fragment,
    /// Nothing listens there.
    #[error("must not have port 0")]
    Port,
    /// Its host is an address that is not dialled.
    #[error("{0}")]
    Forbidden(#[from] Forbidden),
    /// Its host is this machine.
    #[error("{name} is {} and {}: {forbidden}", LOOPBACKS[0], LOOPBACKS[1])]
    Localhost {
        /// The name.
        name: String,
        /// The one of them that is not dialled.
        forbidden: Forbidden,
    },
}

impl BadUrl {
    /// As what is wrong with a field.
    pub fn of(self, field: &str) -> Violation {
        let reason = match self {
            Self::Missing => Reason::Required,
            Self::TooLong(_) => Reason::TooLong,
            Self::Forbidden(_) | Self::Localhost { .. } => Reason::Range,
            Self::Character(_)
            | Self::Scheme
            | Self::Grammar(_)
            | Self::UserInfo
            | Self::Fragment
            | Self::Port => Reason::Grammar,
        };
        Violation::new(field, reason, self.to_string())
    }
}

impl ReceiverUrl {
    /// Reads one. Whether its host may be dialled is for [`ReceiverUrl::vet`] to say.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        well_written(text)?;
        let url = Url::parse(text)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadUrl::UserInfo);
        }
        if url.fragment().is_some() {
            return Err(BadUrl::Fragment);
        }
        if url.port() == Some(0) {
            return Err(BadUrl::Port);
        }
        Ok(Self(url))
    }

    /// Refuses a host that is seen to be one that is not dialled. What a name resolves to is seen at each attempt.
    pub fn vet(&self, allow: &Allow) -> Result<(), BadUrl> {
        match self.host() {
            Host::Ipv4(address) => allow.vet(address.into())?,
            Host::Ipv6(address) => allow.vet(address.into())?,
            Host::Domain(name) if is_localhost(name) => {
                for address in LOOPBACKS {
                    let refused = |forbidden| BadUrl::Localhost { name: name.to_owned(), forbidden };
                    allow.vet(address).map_err(refused)?;
                }
            }
            Host::Domain(_) => {}
        }
        Ok(())
    }

    /// Its host.
    pub fn host(&self) -> Host<&str> {
        self.0.host().expect("URLs with http and https have one")
    }

    /// Its port, or that of its scheme.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().expect("http and https have one")
    }

    /// Whether TLS is spoken there.
    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Host and port as the header `host` has them: a port that goes without saying is left out.
    pub fn authority(&self) -> String {
        let host = self.host();
        self.0.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
    }

    /// Path and query, as they are asked for.
    pub fn path_and_query(&self) -> &str {
        &self.0[url::Position::BeforePath..url::Position::AfterQuery]
    }
}

impl fmt::Display for ReceiverUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

fn well_written(text: &str) -> Result<(), BadUrl> {
    if text.is_empty() {
        return Err(BadUrl::Missing);
    }
    let characters = text.chars().count();
    if characters > MOST_CHARACTERS {
        return Err(BadUrl::TooLong(characters));
    }
    let is_mended =
        |character: &char| character.is_control() || character.is_whitespace() || *character == '\\';
    if let Some(character) = text.chars().find(is_mended) {
        return Err(BadUrl::Character(character));
    }
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    let is_http = |scheme: &str| ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    // `https:///host` would lose a slash.
    let has_host = !text.contains(":///");
    if scheme.is_some_and(is_http) && has_host { Ok(()) } else { Err(BadUrl::Scheme) }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests;
