//! Who is simulated, from when on, and how much goes wrong.

use std::str::FromStr;
use std::time::Duration;

use cornjacket_domain::Timestamp;

/// What a simulation follows from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Another seed is another world.
    pub seed: u64,
    /// When the simulated clock begins.
    pub start: Timestamp,
    /// Devices, each with a reading every ten seconds.
    pub devices: u32,
    /// Users, each with a session now and then, more by day than by night.
    pub users: u32,
    /// Services, each with a heartbeat every fifteen seconds.
    pub services: u32,
    /// Of a device's readings, the share at which a fault begins.
    pub faults: Share,
    /// Of all events, the share that is sent twice.
    pub duplicates: Share,
    /// Of all events, the share that is sent late.
    pub late: Share,
    /// The most that an event is late by.
    pub late_by: Duration,
    /// Of the readings, the share that a projection on PostgreSQL cannot keep.
    pub poison: Share,
}

/// A part of a whole: 0 to 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share(f64);

/// Why a text is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be from 0 to 1, or from 0% to 100%")]
pub struct BadShare;

impl Share {
    /// Nothing of it.
    pub const NONE: Self = Self(0.0);
    /// All of it.
    pub const ALL: Self = Self(1.0);

    /// A share, unless it is outside 0 to 1.
    pub fn new(share: f64) -> Option<Self> {
        (0.0..=1.0).contains(&share).then_some(Self(share))
    }

    /// As a number.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl FromStr for Share {
    type Err = BadShare;

    fn from_str(text: &str) -> Result<Self, BadShare> {
        let (number, whole) = text.strip_suffix('%').map_or((text, 1.0), |number| (number, 100.0));
        let number: f64 = number.trim().parse().map_err(|_| BadShare)?;
        Self::new(number / whole).ok_or(BadShare)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_numbers_or_percentages() {
        assert_eq!("0.25".parse(), Ok(Share(0.25)));
        assert_eq!("25%".parse(), Ok(Share(0.25)));
        assert_eq!("1".parse(), Ok(Share::ALL));
        for bad in ["", "%", "-0.1", "1.1", "101%", "NaN", "inf", "half"] {
            assert_eq!(bad.parse::<Share>(), Err(BadShare), "{bad}");
        }
    }
}
