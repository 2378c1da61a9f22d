//! Events, as they become due.

use std::num::NonZeroU64;
use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_simulator::{Sent, Simulation};
use tokio::time::{Instant, sleep_until};

/// When events are due.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// When their time has come by the simulated clock, which began at that time.
    Clock(Timestamp),
    /// So many a second.
    PerSecond(NonZeroU64),
    /// At once.
    Unlimited,
}

impl Pace {
    /// How long after the beginning an event is due that `before` others came before.
    fn due(self, before: u64, event: &Sent) -> Duration {
        match self {
            Self::Clock(start) => Duration::from_micros(event.at.as_micros().abs_diff(start.as_micros())),
            Self::PerSecond(rate) => {
                Duration::from_secs(before / rate) + Duration::from_secs(before % rate) / clamped(rate)
            }
            Self::Unlimited => Duration::ZERO,
        }
    }
}

/// Nobody sends more than four billion a second.
fn clamped(rate: NonZeroU64) -> u32 {
    u32::try_from(rate.get()).unwrap_or(u32::MAX)
}

/// A simulation, an end, and a pace.
#[derive(Debug)]
pub struct Feed {
    events: std::iter::Peekable<std::iter::Take<Simulation>>,
    pace: Pace,
    batch: usize,
    begun: Instant,
    end: Option<Duration>,
    taken: u64,
}

impl Feed {
    /// Begins now. Ends after `count` events, or when `end` has passed.
    pub fn new(
        events: Simulation,
        pace: Pace,
        batch: usize,
        count: Option<usize>,
        end: Option<Duration>,
    ) -> Self {
        let events = events.take(count.unwrap_or(usize::MAX)).peekable();
        Self { events, pace, batch, begun: Instant::now(), end, taken: 0 }
    }

    /// Waits until an event is due, and takes all that are, up to a batch. Cancel safe.
    pub async fn next(&mut self) -> Option<Vec<Sent>> {
        let due = self.pace.due(self.taken, self.events.peek()?);
        if self.end.is_some_and(|end| due >= end || self.begun.elapsed() >= end) {
            return None;
        }
        sleep_until(self.begun + due).await;
        let now = self.begun.elapsed();
        let mut batch = Vec::new();
        while batch.len() < self.batch {
            let (pace, taken) = (self.pace, self.taken);
            let Some(event) = self.events.next_if(|event| pace.due(taken, event) <= now) else { break };
            batch.push(event);
            self.taken += 1;
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_simulator::{Options, Share};

    use super::*;

    const START: Timestamp = Timestamp::from_day(20_000);

    fn feed(pace: Pace, batch: usize, count: Option<usize>, end: Option<Duration>) -> Feed {
        let options = Options {
            seed: 1,
            start: START,
            devices: 10,
            users: 0,
            services: 0,
            faults: Share::NONE,
            duplicates: Share::NONE,
            late: Share::NONE,
            late_by: Duration::ZERO,
            poison: Share::NONE,
        };
        Feed::new(Simulation::new(options), pace, batch, count, end)
    }

    /// When each batch came, and how large it was.
    async fn batches(mut feed: Feed) -> Vec<(Duration, usize)> {
        let begun = Instant::now();
        let mut batches = Vec::new();
        while let Some(batch) = feed.next().await {
            batches.push((begun.elapsed(), batch.len()));
        }
        batches
    }

    #[tokio::test(start_paused = true)]
    async fn a_rate_spreads_events_evenly() {
        let rate = NonZeroU64::new(100).expect("above zero");
        let batches = batches(feed(Pace::PerSecond(rate), 500, Some(200), None)).await;
        assert_eq!(batches.iter().map(|(_, size)| size).sum::<usize>(), 200);
        let last = batches.last().expect("some").0;
        assert!((1_990..=1_995).contains(&last.as_millis()), "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_became_due_meanwhile_comes_in_one_batch() {
        let rate = NonZeroU64::new(100).expect("above zero");
        let mut feed = feed(Pace::PerSecond(rate), 30, None, None);
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut sizes = Vec::new();
        for _ in 0..4 {
            sizes.push(feed.next().await.expect("no end").len());
        }
        assert_eq!(sizes, [30, 30, 30, 11]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_simulated_clock_goes_as_ours_does_and_ends_with_it() {
        let batches = batches(feed(Pace::Clock(START), 500, None, Some(Duration::from_mins(1)))).await;
        let (sum, last) =
            (batches.iter().map(|(_, size)| size).sum::<usize>(), batches.last().expect("some").0);
        assert!((55..=65).contains(&sum), "{sum}: ten devices, every ten seconds");
        assert!(last < Duration::from_mins(1) && last > Duration::from_secs(50), "{last:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_pace_batches_are_full() {
        let batches = batches(feed(Pace::Unlimited, 64, Some(130), None)).await;
        assert_eq!(batches.iter().map(|(_, size)| *size).collect::<Vec<_>>(), [64, 64, 2]);
    }
}
