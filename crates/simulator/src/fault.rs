//! What can be wrong with a sensor, for a while and with one of its metrics.

use std::time::Duration;

use cornjacket_domain::Timestamp;

use crate::random::Random;
use crate::signal::Metric;

/// The attribute of a reading that says which fault is in it, for whoever grades a detector.
pub const LABEL: &str = "simulatedfault";

/// A fault under way.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// The metric, by its place among the device's.
    pub metric: usize,
    since: Timestamp,
    until: Timestamp,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// It shows what it last showed.
    Stuck(f64),
    /// One reading is far off, by this much.
    Spike(f64),
    /// It goes off by this much an hour.
    Drift(f64),
}

const STUCK: [Duration; 2] = [Duration::from_mins(2), Duration::from_mins(20)];
const DRIFT: [Duration; 2] = [Duration::from_mins(20), Duration::from_hours(2)];

impl Fault {
    /// Begins with the reading at `at`, whose true value is `value`.
    pub fn begin(metric: usize, of: &Metric, at: Timestamp, value: f64, random: &mut Random) -> Self {
        let sign = *random.one_of(&[-1.0, 1.0]);
        let (kind, lasts) = match random.one_of(&[0, 1, 2]) {
            0 => (Kind::Stuck(value), random.span(STUCK[0], STUCK[1])),
            1 => (Kind::Spike(sign * random.within(8.0, 20.0) * of.noise), Duration::ZERO),
            _ => (Kind::Drift(sign * random.within(1.0, 3.0) * of.swing), random.span(DRIFT[0], DRIFT[1])),
        };
        Self { metric, since: at, until: at + lasts, kind }
    }

    /// Whether the reading at `at` has it no longer.
    pub fn is_over(&self, at: Timestamp) -> bool {
        at > self.until
    }

    /// What the sensor makes of the true value.
    pub fn distort(&self, at: Timestamp, value: f64) -> f64 {
        let lasted = Duration::from_micros((at.as_micros() - self.since.as_micros()).unsigned_abs());
        match self.kind {
            Kind::Stuck(held) => held,
            Kind::Spike(height) => value + height,
            Kind::Drift(an_hour) => value + an_hour * lasted.as_secs_f64() / 3_600.0,
        }
    }

    /// The value of [`LABEL`].
    pub const fn name(&self) -> &'static str {
        match self.kind {
            Kind::Stuck(_) => "stuck",
            Kind::Spike(_) => "spike",
            Kind::Drift(_) => "drift",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(kind: Kind) -> Fault {
        let since = Timestamp::from_day(1);
        Fault { metric: 0, since, until: since + Duration::from_hours(1), kind }
    }

    #[test]
    fn a_stuck_value_stays_a_spike_jumps_and_a_drift_grows() {
        let later = Timestamp::from_day(1) + Duration::from_mins(30);
        for (kind, shown) in [(Kind::Stuck(7.0), 7.0), (Kind::Spike(5.0), 25.0), (Kind::Drift(4.0), 22.0)] {
            let distorted = fault(kind).distort(later, 20.0);
            assert!((distorted - shown).abs() < 1e-9, "{kind:?}: {distorted}");
        }
    }

    #[test]
    fn a_fault_ends() {
        let fault = fault(Kind::Stuck(7.0));
        assert!(!fault.is_over(Timestamp::from_day(1) + Duration::from_hours(1)));
        assert!(fault.is_over(Timestamp::from_day(1) + Duration::from_mins(61)));
    }
}
