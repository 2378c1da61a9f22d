//! Time, passed in.

use std::fmt::Debug;
use std::ops::{Add, Sub};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// An instant: whole microseconds since 1970-01-01T00:00:00Z. May be negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

const MICROS_PER_SECOND: i64 = 1_000_000;
/// Protobuf's range: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z, in seconds.
const PROTOBUF_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

impl Timestamp {
    /// The last one that protobuf can say, and PostgreSQL's client: as an end, after everything.
    pub const LAST: Self = Self(*PROTOBUF_SECONDS.end() * MICROS_PER_SECOND + MICROS_PER_SECOND - 1);

    /// From microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// From protobuf, cut to microseconds. `None` outside protobuf's range (years 1 to 9999) or with bad nanos.
    pub fn from_proto(timestamp: &prost_types::Timestamp) -> Option<Self> {
        if !PROTOBUF_SECONDS.contains(&timestamp.seconds) || !(0..1_000_000_000).contains(&timestamp.nanos) {
            return None;
        }
        Some(Self(timestamp.seconds * MICROS_PER_SECOND + i64::from(timestamp.nanos) / 1_000))
    }

    /// To protobuf.
    pub fn to_proto(self) -> prost_types::Timestamp {
        let nanos = self.0.rem_euclid(MICROS_PER_SECOND) * 1_000;
        prost_types::Timestamp {
            seconds: self.0.div_euclid(MICROS_PER_SECOND),
            nanos: i32::try_from(nanos).expect("less than 10^9"),
        }
    }

    /// The first instant of a day, counted in UTC days since 1970.
    pub const fn from_day(day: i64) -> Self {
        Self(day * 24 * 3600 * MICROS_PER_SECOND)
    }

    /// Whole UTC days since 1970.
    pub const fn day(self) -> i64 {
        self.0.div_euclid(24 * 3600 * MICROS_PER_SECOND)
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

impl Sub<Duration> for Timestamp {
    type Output = Self;
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }
}

/// Where the time comes from.
pub trait Clock: Debug + Send + Sync {
    /// The time now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::default() + since_epoch
    }
}

/// A clock that stands until it is told otherwise.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that stands at `now`.
    pub const fn at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.set(self.now() + by);
    }

    /// Sets the clock, backwards as well.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protobuf_times_are_cut_to_microseconds() {
        let before_1970 = prost_types::Timestamp { seconds: -1, nanos: 999_999_999 };
        let time = Timestamp::from_proto(&before_1970).expect("in range");
        assert_eq!(time.as_micros(), -1);
        assert_eq!(time.to_proto(), prost_types::Timestamp { seconds: -1, nanos: 999_999_000 });
        assert_eq!(time.day(), -1);
    }

    #[test]
    fn times_outside_protobufs_range_are_refused() {
        for (seconds, nanos) in [(253_402_300_800, 0), (-62_135_596_801, 0), (0, -1), (0, 1_000_000_000)] {
            assert_eq!(Timestamp::from_proto(&prost_types::Timestamp { seconds, nanos }), None);
        }
        let last = Timestamp::LAST;
        assert_eq!(Timestamp::from_proto(&last.to_proto()), Some(last));
        assert_eq!(Timestamp::from_proto(&(last + Duration::from_micros(1)).to_proto()), None);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::at(Timestamp::from_micros(5));
        assert_eq!(clock.now(), clock.now());
        clock.advance(Duration::from_micros(2));
        assert_eq!(clock.now().as_micros(), 7);
    }
}
