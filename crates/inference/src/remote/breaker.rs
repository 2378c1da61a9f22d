//! When a server is not asked, since it has failed.

use std::time::Duration;

use cornjacket_domain::Timestamp;

/// Failures in a row after which a server is left alone.
const MOST_FAILURES: u32 = 3;
/// For how long. Then one request is tried.
pub(crate) const PAUSE: Duration = Duration::from_secs(5);

/// Whether a server is asked. It opens by failures in a row, and closes by a success.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    /// Since when nobody asks, and why: none while it is closed.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    /// The last failure, or the last time that somebody was let through to try.
    since: Timestamp,
    reason: String,
}

/// What an answer, or that there was none, has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// The server is left alone from now on.
    Open,
    /// The server is asked again from now on.
    Closed,
}

impl Breaker {
    /// Lets a request through, or says why not. While it is open, one is let through after each pause, whatever became of
    /// the one before: it may have been dropped without a word.
    pub fn admit(&mut self, now: Timestamp) -> Result<(), String> {
        let Some(open) = &mut self.open else { return Ok(()) };
        // A clock that was put back must not make the pause longer.
        if (open.since..open.since + PAUSE).contains(&now) {
            return Err(open.reason.clone());
        }
        open.since = now;
        Ok(())
    }

    /// A request was answered.
    pub fn succeeded(&mut self) -> Option<Turned> {
        self.failures = 0;
        self.open.take().map(|_| Turned::Closed)
    }

    /// A request was not, for that reason.
    pub fn failed(&mut self, now: Timestamp, reason: &str) -> Option<Turned> {
        self.failures = self.failures.saturating_add(1);
        if self.failures < MOST_FAILURES {
            return None;
        }
        let was_open = self.open.replace(Open { since: now, reason: reason.to_owned() });
        was_open.is_none().then_some(Turned::Open)
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_domain::Clock;
    use cornjacket_domain::clock::ManualClock;

    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);
    /// With a millisecond more it is the pause.
    const NEARLY: Duration = PAUSE.saturating_sub(MILLISECOND);

    #[test]
    fn three_failures_in_a_row_open_it_and_a_success_in_between_does_not_count() {
        let (mut breaker, now) = (Breaker::default(), Timestamp::default());
        for _ in 0..5 {
            assert_eq!((breaker.failed(now, "gone"), breaker.failed(now, "gone")), (None, None));
            assert!(breaker.admit(now).is_ok());
            assert_eq!(breaker.succeeded(), None);
        }
        assert_eq!((breaker.failed(now, "gone"), breaker.failed(now, "gone")), (None, None));
        assert_eq!(breaker.failed(now, "slow"), Some(Turned::Open));
        assert_eq!(breaker.admit(now), Err("slow".to_owned()));
    }

    #[test]
    fn after_a_pause_one_is_let_through_and_its_success_closes_it() {
        let (mut breaker, clock) = (Breaker::default(), ManualClock::at(Timestamp::default()));
        for _ in 0..3 {
            breaker.failed(clock.now(), "gone");
        }
        clock.advance(NEARLY);
        assert!(breaker.admit(clock.now()).is_err());
        clock.advance(MILLISECOND);
        assert!(breaker.admit(clock.now()).is_ok());
        assert!(breaker.admit(clock.now()).is_err(), "only one");
        assert_eq!(breaker.failed(clock.now(), "still gone"), None, "it is open already");
        clock.advance(NEARLY);
        assert_eq!(breaker.admit(clock.now()), Err("still gone".to_owned()));
        clock.advance(MILLISECOND);
        assert!(breaker.admit(clock.now()).is_ok());
        assert_eq!(breaker.succeeded(), Some(Turned::Closed));
        assert!(breaker.admit(clock.now()).is_ok());
        assert_eq!(breaker.failed(clock.now(), "gone"), None, "it counts from the beginning");
    }

    #[test]
    fn who_was_let_through_and_never_came_back_holds_up_nobody() {
        let (mut breaker, clock) = (Breaker::default(), ManualClock::at(Timestamp::default()));
        for _ in 0..3 {
            breaker.failed(clock.now(), "gone");
        }
        clock.advance(PAUSE);
        assert!(breaker.admit(clock.now()).is_ok());
        clock.advance(PAUSE);
        assert!(breaker.admit(clock.now()).is_ok());
        clock.set(Timestamp::default());
        assert!(breaker.admit(clock.now()).is_ok(), "the clock was put back");
    }
}
