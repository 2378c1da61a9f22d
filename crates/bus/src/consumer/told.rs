//! What operators were last told: what is not new is said again only now and then.

use std::time::Duration;

use tokio::time::Instant;

/// How often they are told that nothing is new.
const REPEAT_EVERY: Duration = Duration::from_secs(5);

/// What they were last told, and when.
#[derive(Debug)]
pub struct Told<T>(Option<(T, Instant)>);

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: PartialEq> Told<T> {
    /// Whether they know it, and heard it a short while ago.
    pub fn knows(&self, report: &T) -> bool {
        self.0.as_ref().is_some_and(|(told, at)| told == report && at.elapsed() < REPEAT_EVERY)
    }

    /// They were told this just now.
    pub fn note(&mut self, report: T) {
        self.0 = Some((report, Instant::now()));
    }
}
