//! How many events a second each caller may send, through every door together.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cornjacket_domain::Caller;
use cornjacket_proto::status::{ErrorKind, Failure};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota as Rate, RateLimiter};

/// Callers that are remembered, at least, before those who have sent nothing of late are forgotten.
const REMEMBERED: usize = 10_000;

type Buckets<C> = RateLimiter<String, HashMapStateStore<String>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The quota of every caller: a bucket each, by name. Callers without a name have none.
#[derive(Clone, Debug)]
pub struct Quota<C: Clock + Clone = DefaultClock> {
    buckets: Option<Arc<Buckets<C>>>,
    /// Forget when there are more.
    most: Arc<AtomicUsize>,
    clock: C,
}

impl Quota {
    /// So many events a second, and as many at once, or `batch` where that is more; 0 is no limit.
    pub fn new(events_per_second: u32, batch: usize) -> Self {
        Self::with_clock(events_per_second, batch, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Quota<C> {
    fn with_clock(events_per_second: u32, batch: usize, clock: C) -> Self {
        let buckets = NonZeroU32::new(events_per_second).map(|rate| {
            let batch = u32::try_from(batch).unwrap_or(u32::MAX);
            let burst = rate.max(NonZeroU32::new(batch).unwrap_or(rate));
            let rate = Rate::per_second(rate).allow_burst(burst);
            Arc::new(RateLimiter::hashmap_with_clock(rate, clock.clone()))
        });
        Self { buckets, most: Arc::new(AtomicUsize::new(REMEMBERED)), clock }
    }

    /// Takes `events` from the caller's quota, or says when there will be as many.
    pub fn take(&self, caller: &Caller, events: usize) -> Result<(), Failure> {
        match self.wait(caller, events) {
            None => Ok(()),
            Some(delay) => {
                metrics::counter!("cornjacket_ingest_over_quota_total").increment(1);
                Err(Failure::new(ErrorKind::Exhausted, "more events a second than the quota allows")
                    .with_reason("QUOTA", [])
                    .with_retry_after(delay))
            }
        }
    }

    /// Takes one event from the caller's quota as soon as there is one.
    pub async fn taken(&self, caller: &Caller) {
        while let Some(delay) = self.wait(caller, 1) {
            tokio::time::sleep(delay).await;
        }
    }

    /// How long it takes until there are as many; nothing when they are taken.
    fn wait(&self, caller: &Caller, events: usize) -> Option<Duration> {
        let (Some(buckets), Some(name)) = (&self.buckets, caller.name()) else { return None };
        let events = NonZeroU32::new(u32::try_from(events).unwrap_or(u32::MAX))?;
        self.forget_idle(buckets);
        // A batch is never larger than the bucket: what is over its limit was refused before.
        match buckets.check_key_n(&name.to_owned(), events).ok()? {
            Ok(()) => None,
            Err(not_yet) => Some(not_yet.wait_time_from(self.clock.now())),
        }
    }

    /// Looks at all of them only once there are twice as many as were left the last time.
    fn forget_idle(&self, buckets: &Buckets<C>) {
        if buckets.len() > self.most.load(Ordering::Relaxed) {
            buckets.retain_recent();
            self.most.store(REMEMBERED.max(2 * buckets.len()), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_domain::Scope;
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn caller(name: &str) -> Caller {
        Caller::new(name, &[Scope::Ingest])
    }

    #[test]
    fn each_caller_has_as_many_as_the_quota_says_and_is_told_when_there_are_more() {
        let clock = FakeRelativeClock::default();
        let quota = Quota::with_clock(100, 50, clock.clone());
        assert!(quota.take(&caller("a"), 100).is_ok());
        let refused = quota.take(&caller("a"), 10).expect_err("all are taken");
        assert_eq!(refused.kind(), ErrorKind::Exhausted);
        assert_eq!(quota.wait(&caller("a"), 10), Some(Duration::from_millis(100)));
        assert!(quota.take(&caller("b"), 100).is_ok(), "everybody has a quota of their own");
        clock.advance(Duration::from_millis(100));
        assert!(quota.take(&caller("a"), 10).is_ok());
    }

    #[test]
    fn a_batch_may_be_larger_than_a_second_of_events() {
        let quota = Quota::with_clock(10, 5_000, FakeRelativeClock::default());
        assert!(quota.take(&caller("a"), 5_000).is_ok());
        assert!(quota.take(&caller("a"), 1).is_err());
    }

    #[test]
    fn who_is_nobody_in_particular_has_no_quota() {
        let quota = Quota::with_clock(1, 1, FakeRelativeClock::default());
        for _ in 0..10 {
            assert!(quota.take(&Caller::allow_all(), 1).is_ok());
        }
        assert!((0..10).all(|_| Quota::new(0, 1).take(&caller("a"), 1).is_ok()));
    }

    /// Idle ones are forgotten; a bucket that is not full is never one of them.
    #[test]
    fn many_callers_are_not_remembered_for_ever() {
        let clock = FakeRelativeClock::default();
        let quota = Quota::with_clock(1, 1, clock.clone());
        for at in 0..=REMEMBERED {
            assert!(quota.take(&caller(&at.to_string()), 1).is_ok());
        }
        clock.advance(Duration::from_mins(1));
        assert!(quota.take(&caller("last"), 1).is_ok());
        assert!(quota.buckets.as_ref().is_some_and(|buckets| buckets.len() == 1));
    }
}
