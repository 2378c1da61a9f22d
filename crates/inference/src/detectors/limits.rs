//! Where a value is between limits, and when an anomaly begins and is over: what `threshold` and `rate_of_change` share.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::ParameterError;
use super::parameters::{between, finite, micros, not_negative, positive, refused, seconds};

/// The most samples that an anomaly can be made to hold for.
const MOST_HELD: u32 = 1_000_000;

/// A side of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Side {
    Above,
    Below,
}

/// An interval, all in the unit of what is compared with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Limits {
    pub upper: Option<f64>,
    pub lower: Option<f64>,
    /// How far back inside is over.
    pub hysteresis: f64,
    /// How far outside is considerable: where the score is ¾. Absent: half of what lies between the limits; of one limit its
    /// distance from zero.
    pub scale: Option<f64>,
}

/// Where a value is, given the bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    /// ½ at the limit, 0 at a scale inside it, ¾ at a scale outside it, 1 infinitely far out.
    pub score: f64,
    /// The limit that it is beyond.
    pub beyond: Option<Side>,
    /// Whether what was above is over.
    pub over_above: bool,
    /// Whether what was below is over.
    pub over_below: bool,
}

impl Limits {
    /// The limits, if they make sense. The names are those of the parameters.
    pub fn checked(self, upper: &str, lower: &str) -> Result<Self, ParameterError> {
        for (field, limit) in [(upper, self.upper), (lower, self.lower)] {
            limit.map_or(Ok(()), |limit| finite(field, limit))?;
        }
        not_negative("hysteresis", self.hysteresis)?;
        self.scale.map_or(Ok(()), |scale| positive("scale", scale))?;
        match (self.upper, self.lower) {
            (None, None) => Err(refused(upper, format!("{upper}, {lower} or both must be given"))),
            (Some(above), Some(below)) if above <= below => {
                Err(refused(upper, format!("{above} is not above {below}, which is {lower}")))
            }
            (Some(above), Some(below)) if self.hysteresis >= above - below => {
                Err(refused("hysteresis", "must be less than what lies between the limits"))
            }
            _ => Ok(self),
        }
    }

    /// The scale, as given or as follows from the limits.
    pub fn scale(&self) -> f64 {
        let scale = match (self.scale, self.upper, self.lower) {
            (Some(scale), ..) => scale,
            (None, Some(upper), Some(lower)) => (upper / 2.0 - lower / 2.0).abs(),
            (None, Some(limit), None) | (None, None, Some(limit)) => limit.abs(),
            (None, None, None) => 0.0,
        };
        if scale > 0.0 { scale } else { 1.0 }
    }

    /// Where a value is. The bar moves each limit outwards by `factor - 1` scales, and makes the scale larger by the factor.
    pub fn place(&self, value: f64, factor: f64) -> Place {
        let scale = self.scale();
        let moved = scale * (factor - 1.0);
        let above = self.upper.map_or(f64::NEG_INFINITY, |upper| value - (upper + moved));
        let below = self.lower.map_or(f64::NEG_INFINITY, |lower| (lower - moved) - value);
        let beyond = match (above > 0.0, below > 0.0) {
            (true, _) => Some(Side::Above),
            (false, true) => Some(Side::Below),
            (false, false) => None,
        };
        Place {
            score: score(above.max(below) / (scale * factor)),
            beyond,
            over_above: above <= -self.hysteresis,
            over_below: below <= -self.hysteresis,
        }
    }
}

/// From how many scales something is outside its limit (negative: inside) to a score.
pub(crate) fn score(outside: f64) -> f64 {
    if outside > 0.0 { 1.0 - 0.5 / (1.0 + outside) } else { (0.5 * (1.0 + outside)).max(0.0) }
}

/// What must hold before it is an anomaly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hold {
    time: Duration,
    samples: u32,
}

impl Hold {
    /// For so many seconds and so many samples, of which the first beyond the limit is one.
    pub fn checked(hold_seconds: f64, hold_samples: u32) -> Result<Self, ParameterError> {
        between("hold_samples", hold_samples, 1, MOST_HELD)?;
        Ok(Self { time: seconds("hold_seconds", hold_seconds)?, samples: hold_samples })
    }
}

/// The anomaly that lasts, and the one that may come of what is beyond a limit now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Episode {
    open: Option<Side>,
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Pending {
    side: Side,
    since_micros: i64,
    samples: u32,
}

impl Episode {
    /// Takes in where the next sample is: the side of the anomaly that begins with it, if one does. One begins when all
    /// samples were beyond the limit for as long as it must hold, and is over with the first that is back inside by the
    /// hysteresis. Between the two there is no other on that side.
    pub fn step(&mut self, time: Timestamp, place: &Place, hold: Hold) -> Option<Side> {
        let over = match self.open {
            None => false,
            Some(Side::Above) => place.over_above,
            Some(Side::Below) => place.over_below,
        };
        if over {
            self.open = None;
        }
        let waits_for = place.beyond.filter(|side| self.open != Some(*side));
        let Some(side) = waits_for else {
            self.pending = None;
            return None;
        };
        let now = time.as_micros();
        let fresh = Pending { side, since_micros: now, samples: 0 };
        let mut pending = self.pending.filter(|pending| pending.side == side).unwrap_or(fresh);
        pending.samples = pending.samples.saturating_add(1);
        let lasted = now.saturating_sub(pending.since_micros);
        let begins = lasted >= micros(hold.time) && pending.samples >= hold.samples;
        self.pending = (!begins).then_some(pending);
        if begins {
            self.open = Some(side);
        }
        begins.then_some(side)
    }
}
