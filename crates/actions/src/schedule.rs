//! When something is tried again that could not be delivered.

use std::time::Duration;

use cornjacket_proto::actions::RetrySchedule;

/// How much a delay may vary, either way: receivers that were all away are not found all at once.
const JITTER: f64 = 0.2;

const ADR: [u64; 5] = [1, 2, 4, 8, 16];
/// After those of `ADR`.
const PAGE: (u64, usize) = (300, 12);
const SYNC: [u64; 7] = [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000];

/// How long after its failure number `failures` (from 1 on) something is tried again, on average; never when that was the last.
pub fn delay(schedule: RetrySchedule, failures: u32) -> Option<Duration> {
    let index = usize::try_from(failures).ok()?.checked_sub(1)?;
    let seconds = match schedule {
        RetrySchedule::Unspecified | RetrySchedule::Adr => ADR.get(index).copied(),
        RetrySchedule::Page => {
            ADR.get(index).copied().or_else(|| (index < ADR.len() + PAGE.1).then_some(PAGE.0))
        }
        RetrySchedule::Sync => SYNC.get(index).copied(),
    };
    seconds.map(Duration::from_secs)
}

/// A delay by chance: `chance` is 0 to 1.
pub fn jittered(delay: Duration, chance: f64) -> Duration {
    delay.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(schedule: RetrySchedule) -> Vec<u64> {
        (1..).map_while(|failures| delay(schedule, failures)).map(|delay| delay.as_secs()).collect()
    }

    #[test]
    fn schedules_are_those_that_are_promised() {
        assert_eq!(delays(RetrySchedule::Adr), [1, 2, 4, 8, 16]);
        assert_eq!(delays(RetrySchedule::Unspecified), delays(RetrySchedule::Adr));
        let page = delays(RetrySchedule::Page);
        assert_eq!(page[..5], [1, 2, 4, 8, 16]);
        assert_eq!(page[5..], [300; 12], "an hour");
        assert_eq!(delays(RetrySchedule::Sync), [5, 300, 1_800, 7_200, 18_000, 36_000, 36_000]);
        assert_eq!(delay(RetrySchedule::Adr, 0), None, "nothing has failed");
    }

    #[test]
    fn delays_vary_by_a_fifth() {
        let second = Duration::from_secs(1);
        let near = |one: Duration, other: f64| (one.as_secs_f64() - other).abs() < 1e-9;
        assert!(near(jittered(second, 0.0), 0.8));
        assert!(near(jittered(second, 0.5), 1.0));
        assert!(near(jittered(second, 1.0), 1.2));
    }
}
