//! How the source is doing, as far as its parts know.

use std::sync::{Arc, Mutex, PoisonError};

use cornjacket_bus::consumer::State;
use tokio::sync::watch;

/// Told by each part apart, so that none of them says that all is well while another waits.
#[derive(Clone, Debug)]
pub(super) struct Status {
    state: watch::Sender<State>,
    parts: Arc<Mutex<Parts>>,
}

/// What each part waits for.
#[derive(Debug, Default)]
struct Parts {
    broker: Option<String>,
    store: Option<String>,
    paused: bool,
}

impl Status {
    pub(super) fn new(state: watch::Sender<State>) -> Self {
        Self { state, parts: Arc::default() }
    }

    /// The state as operators see it.
    pub(super) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// What the connection waits for.
    pub(super) fn broker(&self, reason: Option<String>) {
        self.change(|parts| parts.broker = reason);
    }

    /// What storing waits for.
    pub(super) fn store(&self, reason: Option<String>) {
        self.change(|parts| parts.store = reason);
    }

    /// Whether an operator has paused it.
    pub(super) fn pause(&self, paused: bool) {
        self.change(|parts| parts.paused = paused);
    }

    /// Does nothing, and why.
    pub(super) fn waits(&self, reason: &(impl ToString + ?Sized)) {
        self.broker(Some(reason.to_string()));
    }

    /// Returns when no operator has paused it.
    pub(super) async fn until_resumed(&self) {
        let mut state = self.state.subscribe();
        // The sender is ours: it cannot be gone.
        drop(state.wait_for(|state| *state != State::Paused).await);
    }

    fn change(&self, change: impl FnOnce(&mut Parts)) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut parts);
        let reason = parts.store.clone().or_else(|| parts.broker.clone());
        let now = match reason {
            _ if parts.paused => State::Paused,
            Some(reason) => State::Waiting { reason },
            None => State::Running,
        };
        self.state.send_if_modified(|state| std::mem::replace(state, now.clone()) != now);
    }
}
