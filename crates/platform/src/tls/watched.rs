//! What is made of files, and made anew when they change.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::files::{Contents, Files};

/// How often files are looked at, at the most. They are few and small.
const LOOK_EVERY: Duration = Duration::from_secs(1);

type Make<T> = Box<dyn Fn(&Contents) -> anyhow::Result<T> + Send + Sync>;

/// What is made of files, and made anew when they change. What cannot be made leaves the one before in place.
pub struct Watched<T> {
    files: Files,
    make: Make<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    looked: Instant,
    /// Compared as a whole: times of modification stand still when a file is copied with its own.
    seen: Contents,
    current: Arc<T>,
}

impl<T> Watched<T> {
    /// Made of the files as they are now.
    pub fn new(
        files: Files,
        make: impl Fn(&Contents) -> anyhow::Result<T> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let seen = files.read();
        let current = Arc::new(make(&seen)?);
        let state = Mutex::new(State { looked: Instant::now(), seen, current });
        Ok(Self { files, make: Box::new(make), state })
    }

    /// Made of the files as they were within the last second, or as they last were good.
    pub fn current(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            self.look(&mut state);
        }
        Arc::clone(&state.current)
    }

    fn look(&self, state: &mut State<T>) {
        state.looked = Instant::now();
        let found = self.files.read();
        if found == state.seen {
            return;
        }
        match (self.make)(&found) {
            Ok(current) => {
                tracing::info!(files = ?self.files, "TLS goes on with renewed files");
                state.current = Arc::new(current);
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "renewed TLS files are no good: going on with those before");
            }
        }
        // Said once: the next look is at what changes after this.
        state.seen = found;
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Watched").field("files", &self.files).finish_non_exhaustive()
    }
}
