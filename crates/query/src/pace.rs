//! Not faster than it was asked for.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Steps in a second: what is done at once is never more than this part of a second's worth, and never less than one.
const STEPS: u32 = 10;

/// A limit on how many things are done in a second.
#[derive(Debug)]
pub(crate) struct Pace {
    most: Option<NonZeroU32>,
    /// Nothing is done before.
    next: Instant,
}

impl Pace {
    /// At most `per_second`; without a limit when that is zero.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { most: NonZeroU32::new(per_second), next: Instant::now() }
    }

    /// How many may be done at once, when more than `most` never are.
    pub(crate) fn at_once(&self, most: u32) -> u32 {
        self.most.map_or(most, |limit| limit.get().div_ceil(STEPS).min(most))
    }

    /// Returns when `count` may be done. What was not done in time is not made up for.
    pub(crate) async fn wait_for(&mut self, count: u32) {
        let Some(most) = self.most else { return };
        sleep_until(self.next).await;
        self.next = Instant::now() + Duration::from_secs(1) * count / most.get();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seconds_for(things: u32, per_second: u32) -> f64 {
        let (began, mut pace, mut left) = (Instant::now(), Pace::new(per_second), things);
        while left > 0 {
            let count = left.min(pace.at_once(1_000));
            pace.wait_for(count).await;
            left -= count;
        }
        began.elapsed().as_secs_f64()
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_has_as_many_as_were_asked_for() {
        for per_second in [1, 3, 10, 250, 9_999] {
            let took = seconds_for(20 * per_second, per_second).await;
            assert!((18.9..20.2).contains(&took), "{per_second} a second: {took} s");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_waits() {
        assert!(seconds_for(1_000_000, 0).await < f64::EPSILON);
    }
}
