//! What an endpoint's answers say of it: when it is left alone, and when it is given up.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_store::Health;

/// Failures in a row after which nothing is sent for [`OPEN`].
pub const FAILURES: u32 = 5;
/// How long nothing is sent; then one attempt tells whether the endpoint is well again.
pub const OPEN: Duration = Duration::from_mins(5);
/// How long an endpoint may fail before nothing is sent to it any more.
pub const GIVE_UP: Duration = Duration::from_hours(5 * 24);

/// After as long without an attempt, a failure has nothing to do with those before it. Longer than any schedule waits.
const SILENCE: Duration = Duration::from_hours(24);

/// What an endpoint made of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took it.
    Good,
    /// It did not, or there was none.
    Bad,
    /// It wants to be left alone for so long.
    Hold(Duration),
    /// It is gone.
    Gone,
    /// It refused this one thing, and does not want it again.
    Refused,
    /// It says nothing of how the endpoint is: whoever asked it went away, or it may not be asked.
    Nothing,
    /// It was not asked, by our own fault.
    NotAsked,
}

/// How an endpoint is doing after an answer.
pub fn after(before: &Health, answer: Answer, now: Timestamp) -> Health {
    let mut health = before.clone();
    match answer {
        // Who says so is there: of an endpoint that was left alone that is all a probe is to find out.
        Answer::Good | Answer::Refused => {
            return Health { disabled: health.disabled, ..Health::default() };
        }
        Answer::Bad => {
            health.failures = health.failures.saturating_add(1);
            let goes_on = before.open_until.is_some_and(|until| now <= until + SILENCE);
            let since = before.failing_since.filter(|_| goes_on || health.failures < FAILURES).unwrap_or(now);
            health.failing_since = Some(since);
            if health.failures >= FAILURES {
                health.open_until = Some(now + OPEN);
            }
            if goes_on && now >= since + GIVE_UP {
                health.disabled.get_or_insert_with(|| "it failed for five days".to_owned());
            }
        }
        Answer::Hold(long) => health.held_until = Some(now + long),
        Answer::Gone => {
            health.disabled.get_or_insert_with(|| "it answered 410: it is gone".to_owned());
        }
        Answer::Nothing | Answer::NotAsked => {}
    }
    health
}

/// How many deliveries may be under way to an endpoint at once, which has so many slots; one where it has to show that it is
/// well again. When that may change by itself, where it is none.
pub fn slots(health: &Health, slots: u32, now: Timestamp) -> Result<u32, Option<Timestamp>> {
    if health.disabled.is_some() {
        return Err(None);
    }
    let closed_until = health.open_until.max(health.held_until).filter(|until| *until > now);
    if closed_until.is_some() {
        return Err(closed_until);
    }
    Ok(if health.failures >= FAILURES { 1 } else { slots })
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn failed(times: u32) -> Health {
        (0..times).fold(Health::default(), |health, _| after(&health, Answer::Bad, NOW))
    }

    #[test]
    fn five_failures_in_a_row_close_it_for_five_minutes_and_one_attempt_opens_it() {
        assert_eq!(slots(&failed(4), 4, NOW), Ok(4));
        let health = failed(5);
        assert_eq!(slots(&health, 4, NOW), Err(Some(NOW + OPEN)));
        let later = NOW + OPEN;
        assert_eq!(slots(&health, 4, later), Ok(1), "a probe");
        let again = after(&health, Answer::Bad, later);
        assert_eq!(slots(&again, 4, later), Err(Some(later + OPEN)));
        assert_eq!(slots(&after(&health, Answer::Good, later), 4, later), Ok(4));
        let nothing = after(&health, Answer::Nothing, later);
        assert_eq!(nothing, health);
    }

    #[test]
    fn who_refuses_one_thing_is_there_for_the_others() {
        let later = NOW + OPEN;
        assert_eq!(slots(&after(&failed(5), Answer::Refused, later), 4, later), Ok(4));
        assert_eq!(after(&failed(4), Answer::Refused, NOW), Health::default(), "no longer in a row");
    }

    #[test]
    fn a_good_answer_in_between_begins_the_count_anew() {
        let health = after(&failed(4), Answer::Good, NOW);
        assert_eq!(health, Health::default());
    }

    #[test]
    fn what_fails_for_five_days_is_given_up() {
        let every_hour = |hours: Range<u32>| {
            let asked = hours.map(|hour| NOW + Duration::from_hours(1) * hour);
            asked.fold(failed(5), |health, now| after(&health, Answer::Bad, now))
        };
        assert_eq!(every_hour(1..120).disabled, None);
        let health = every_hour(1..121);
        assert_eq!(slots(&health, 4, NOW + GIVE_UP * 2), Err(None));
        assert!(health.disabled.is_some_and(|why| why.contains("five days")));
        let gone = after(&Health::default(), Answer::Gone, NOW);
        assert!(gone.disabled.is_some_and(|why| why.contains("410")));
    }

    #[test]
    fn what_failed_once_and_long_ago_is_not_given_up_at_its_next_failure() {
        for failures in [1, 4, 5, 6] {
            let (before, later) = (failed(failures), NOW + GIVE_UP * 2);
            let health = (0..6).fold(before, |health, _| after(&health, Answer::Bad, later));
            assert_eq!((health.disabled, health.failing_since), (None, Some(later)), "{failures}");
        }
    }

    #[test]
    fn what_is_our_own_fault_says_nothing_of_it() {
        assert_eq!(after(&failed(4), Answer::NotAsked, NOW), failed(4));
    }

    #[test]
    fn what_wants_to_be_left_alone_is() {
        let health = after(&Health::default(), Answer::Hold(Duration::from_secs(7)), NOW);
        assert_eq!(health.failures, 0);
        let until = NOW + Duration::from_secs(7);
        assert_eq!(slots(&health, 4, NOW), Err(Some(until)));
        assert_eq!(slots(&health, 4, until), Ok(4));
    }
}
