//! How many attempts may begin: so many in any span of a given length. Attempts themselves are counted, wherever they were made.

use std::time::Duration;

use cornjacket_domain::Timestamp;

/// No limit looks further back.
pub const LONGEST: Duration = Duration::from_hours(1);

/// At most `count` attempts in any span of `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many: 1 or more.
    pub count: u32,
    /// The length of a span.
    pub per: Duration,
}

impl Rate {
    /// Attempts that began at this time or before no longer count at `now`.
    pub fn forgotten_at(&self, now: Timestamp) -> Timestamp {
        let micros = i64::try_from(self.per.as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(now.as_micros().saturating_sub(micros))
    }

    /// How many may begin now; or when one may again. `begun` are those that count, the newest first.
    pub fn room(&self, begun: &[Timestamp]) -> Result<u32, Timestamp> {
        let room = self.count.saturating_sub(u32::try_from(begun.len()).unwrap_or(u32::MAX));
        match begun.get(self.count.saturating_sub(1) as usize) {
            Some(oldest) if room == 0 => Err(*oldest + self.per),
            _ => Ok(room),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_span_has_more_and_whoever_waits_gets_on(count in 1_u32..12, steps in prop::collection::vec(0_u64..20, 1..200)) {
            let rate = Rate { count, per: Duration::from_mins(1) };
            let (mut now, mut begun): (_, Vec<Timestamp>) = (Timestamp::from_micros(1 << 40), Vec::new());
            for step in steps {
                now = now + Duration::from_secs(step);
                let counted = |begun: &[Timestamp]| -> Vec<Timestamp> {
                    begun.iter().rev().filter(|one| **one > rate.forgotten_at(now)).copied().collect()
                };
                match rate.room(&counted(&begun)) {
                    Ok(room) => {
                        prop_assert!(room >= 1);
                        begun.push(now);
                    }
                    Err(until) => {
                        prop_assert!(until > now);
                        // By then there is room.
                        now = until;
                        let room = rate.room(&begun.iter().rev().filter(|one| **one > rate.forgotten_at(now)).copied().collect::<Vec<_>>());
                        prop_assert!(room.is_ok());
                    }
                }
                let within = begun.iter().filter(|one| **one > rate.forgotten_at(now)).count();
                prop_assert!(within <= count as usize);
            }
        }
    }
}
