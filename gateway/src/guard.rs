//! Who may come in: nobody without a good token gets past here. Services check it again, and what it allows.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use cornjacket_auth::{Authenticator, ClientAddress};
use http::HeaderMap;

use crate::problem::Problem;

const FORWARDED_FOR: &str = "x-forwarded-for";

/// Checks the token of every request.
#[derive(Clone, Debug)]
pub struct Guard {
    authenticator: Authenticator,
    proxies: Arc<[IpAddr]>,
}

impl Guard {
    /// What `proxies` say of where a request comes from is believed; failures are counted by that address.
    pub fn new(authenticator: Authenticator, proxies: &[IpAddr]) -> Self {
        Self { authenticator, proxies: proxies.into() }
    }

    /// Puts it around everything of a router.
    pub fn around(self, router: Router) -> Router {
        router.layer(from_fn_with_state(self, check))
    }

    /// The address that the request comes from: each proxy adds the one that it saw at the end of the list, so that what
    /// stands before the first that no proxy of ours has added may be made up.
    fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let is_proxy = |address: &IpAddr| self.proxies.contains(&address.to_canonical());
        let peer = peer?;
        if !is_proxy(&peer) {
            return Some(peer);
        }
        let values = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
        let listed = values.flat_map(|value| value.split(',')).map(|address| address.trim().parse().ok());
        let listed: Vec<Option<IpAddr>> = listed.collect();
        let added = listed.into_iter().rev().map_while(|address| address);
        Some(added.into_iter().find(|address| !is_proxy(address)).unwrap_or(peer))
    }
}

async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<ClientAddress>().map(|address| address.0);
    let client = guard.client(peer, request.headers());
    match guard.authenticator.authenticate(request.headers(), client).await {
        Ok(_) => next.run(request).await,
        Err(failure) => Problem::from(failure).answer(request.headers()),
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_auth::Options;
    use cornjacket_domain::SystemClock;
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_what_a_proxy_of_ours_has_added_is_believed() {
        let secret = Some("x".repeat(32).into());
        let authenticator =
            Authenticator::start(&Options { secret, ..Options::default() }, Arc::new(SystemClock));
        let ours: IpAddr = [127, 0, 0, 1].into();
        let guard = Guard::new(authenticator.expect("there is a secret"), &[ours]);
        let other: IpAddr = [192, 0, 2, 7].into();
        let client = |peer: IpAddr, forwarded: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED_FOR, HeaderValue::from_static(forwarded));
            guard.client(Some(peer), &headers)
        };
        assert_eq!(client(ours, "192.0.2.7"), Some(other));
        assert_eq!(client(ours, "198.51.100.1, 192.0.2.7"), Some(other), "the first may be made up");
        assert_eq!(client(ours, "192.0.2.7, 127.0.0.1"), Some(other), "through two proxies");
        assert_eq!(client(other, "198.51.100.1"), Some(other), "nobody whom we know says so");
        assert_eq!(client(ours, "nonsense"), Some(ours));
    }
}
