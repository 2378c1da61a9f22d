//! Keys of an endpoint: fetched when they are needed, together, and not too often.
//!
//! Nobody waits for keys but a token whose key is not known, and whoever comes first after a long silence. A fetch is a
//! task of its own, so that a caller that goes away does not end it for the others.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cornjacket_domain::{Clock, Timestamp};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::endpoint::Endpoint;
use super::{KeySet, is_over, jwks};
use crate::refusal::RETRY_KEYS;

/// From one fetch to the next at least, whatever is asked: tokens with made-up keys cost the provider no more.
const NOT_BEFORE: Duration = RETRY_KEYS;

/// Keys of this age are fetched again, while they go on serving.
const REFRESH: Duration = Duration::from_mins(5);

/// Keys of this age are waited for, unless the endpoint is known to be down: in a process that nobody has called for
/// long, a key that was taken back does not work even once.
const TOO_OLD: Duration = Duration::from_mins(10);

/// The keys of an endpoint.
#[derive(Debug)]
pub struct RemoteKeys {
    endpoint: Endpoint,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: Arc<KeySet>,
    /// The document that they are from.
    digest: [u8; 32],
    /// When they were fetched.
    fetched: Option<Timestamp>,
    /// When it was last tried.
    tried: Option<Timestamp>,
    /// Whether that failed.
    failed: bool,
    /// Closes when the fetch that is under way ends, however it ends.
    fetching: Option<Fetching>,
}

type Fetching = watch::Receiver<()>;

impl RemoteKeys {
    /// Fetches nothing yet.
    pub fn new(endpoint: Endpoint, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self { endpoint, clock, state: Mutex::default() })
    }

    /// The keys as they were last fetched, none before the first time.
    pub async fn current(self: &Arc<Self>) -> Arc<KeySet> {
        let (keys, fetched, failed) = {
            let state = self.state();
            (state.keys.clone(), state.fetched, state.failed)
        };
        let is_older = |age| fetched.is_some_and(|fetched| is_over(fetched, age, self.clock.now()));
        if !is_older(REFRESH) {
            return keys;
        }
        match self.fetch() {
            Some(fetching) if is_older(TOO_OLD) && !failed => {
                ended(fetching).await;
                self.state().keys.clone()
            }
            _ => keys,
        }
    }

    /// The keys after a fetch, if one is due or under way, and whether the last one succeeded.
    pub async fn renewed(self: &Arc<Self>) -> (Arc<KeySet>, bool) {
        if let Some(fetching) = self.fetch() {
            ended(fetching).await;
        }
        let state = self.state();
        (state.keys.clone(), !state.failed)
    }

    /// The fetch that is under way, or a new one if it is time.
    fn fetch(self: &Arc<Self>) -> Option<Fetching> {
        let now = self.clock.now();
        let mut state = self.state();
        let under_way = state.fetching.as_ref().filter(|fetching| fetching.has_changed().is_ok());
        if let Some(fetching) = under_way {
            return Some(fetching.clone());
        }
        if state.tried.is_some_and(|tried| !is_over(tried, NOT_BEFORE, now)) {
            return None;
        }
        let (under_way, fetching) = watch::channel(());
        (state.tried, state.fetching) = (Some(now), Some(fetching.clone()));
        let keys = self.clone();
        tokio::spawn(async move {
            let fetched = keys.endpoint.fetch().await;
            keys.note(now, fetched);
            drop(under_way);
        });
        Some(fetching)
    }

    fn note(&self, now: Timestamp, fetched: Result<Vec<u8>, String>) {
        let outcome = if fetched.is_ok() { "ok" } else { "failed" };
        metrics::counter!("cornjacket_auth_key_fetches_total", "outcome" => outcome).increment(1);
        let mut state = self.state();
        let taken = fetched.and_then(|document| state.take(&document));
        state.failed = taken.is_err();
        match taken {
            Ok(()) => state.fetched = Some(now),
            Err(why) => tracing::warn!(why, "keys could not be fetched; the last ones go on serving"),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the keys of a document. One that was seen before changes nothing, so that checked tokens stay so.
    fn take(&mut self, document: &[u8]) -> Result<(), String> {
        let digest = Sha256::digest(document).into();
        if self.digest != digest {
            self.keys = self.keys.followed_by(jwks::parse(document)?);
            self.digest = digest;
        }
        Ok(())
    }
}

async fn ended(mut fetching: Fetching) {
    while fetching.changed().await.is_ok() {}
}
