//! `silence`: nothing came for longer than expected.
//!
//! A detector says only how long it would wait ([`super::Detector::patience`]); how long a series is quiet is counted by the
//! vigil, and only while samples would have been seen: an outage of ours is not a silence. Unless a time is given, it is
//! learned: a quantile of the last [`GAPS`] gaps between samples, which neither a few long silences nor bursts disturb. Scores are
//! of the gaps that samples end, so that they follow from the samples alone; findings come of waiting.

use std::time::Duration;

use cornjacket_domain::Sample;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::limits::score;
use super::method::{Method, Prepared};
use super::parameters::{Grade, between, finite, read, refused, seconds, some_seconds};
use super::{Finding, Kind, Model, ParameterError, Verdict};

/// How many gaps are remembered.
pub const GAPS: usize = 64;
/// The usual gap is that which nine in ten do not exceed.
const QUANTILE: (usize, usize) = (9, 10);

/// The kind. What its parameters mean is said at [`Parameters`].
#[derive(Debug)]
pub struct Silence;

/// What a person sets. A [`super::Bar`] multiplies the time after which it is a silence.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// After so many seconds it is a silence. Learned unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_seconds: Option<f64>,
    /// After how many times the usual gap it is a silence, where that is learned: above 1, and 5 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// Nothing shorter is a silence, where it is learned. 10 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum_seconds: Option<f64>,
    /// How many gaps must be known, where it is learned: 1 to 64, and 16 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warm_up: Option<u32>,
    severity: Grade,
}

impl Kind for Silence {
    fn name(&self) -> &'static str {
        "silence"
    }

    fn version(&self) -> &'static str {
        "1"
    }

    fn configure(&self, parameters: &Value) -> Result<Box<dyn Model>, ParameterError> {
        let mut parameters: Parameters = read(parameters)?;
        let when = match parameters.after_seconds {
            Some(after) => parameters.fixed(after)?,
            None => parameters.learned()?,
        };
        Ok(Prepared::model(self, Ready { when, parameters }))
    }

    fn example(&self) -> Value {
        json!({ "factor": 5.0, "minimum_seconds": 10.0 })
    }
}

impl Parameters {
    fn fixed(&self, after: f64) -> Result<When, ParameterError> {
        let after = some_seconds("after_seconds", after)?;
        for (field, given) in [
            ("factor", self.factor.is_some()),
            ("minimum_seconds", self.minimum_seconds.is_some()),
            ("warm_up", self.warm_up.is_some()),
        ] {
            if given {
                return Err(refused(field, "has no meaning beside after_seconds"));
            }
        }
        Ok(When::After(after))
    }

    fn learned(&mut self) -> Result<When, ParameterError> {
        let factor = *self.factor.get_or_insert(5.0);
        finite("factor", factor)?;
        if factor <= 1.0 || factor > 1e6 {
            return Err(refused("factor", format!("must be above 1 and at most a million, is {factor}")));
        }
        let minimum = seconds("minimum_seconds", *self.minimum_seconds.get_or_insert(10.0))?;
        let warm_up = *self.warm_up.get_or_insert(16);
        between("warm_up", warm_up, 1, 64)?;
        Ok(When::Times { factor, minimum, warm_up: warm_up as usize })
    }
}

#[derive(Clone, Copy, Debug)]
enum When {
    After(Duration),
    Times { factor: f64, minimum: Duration, warm_up: usize },
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Ready {
    #[serde(skip)]
    when: When,
    parameters: Parameters,
}

#[derive(Debug, Default, Deserialize, Serialize)]
struct State {
    /// Of the last sample, in microseconds.
    last: Option<i64>,
    /// The last gaps that are longer than nothing, in microseconds, as a ring.
    gaps: Vec<u64>,
    next: usize,
}

impl State {
    fn remember(&mut self, gap: u64) {
        if self.gaps.len() < GAPS {
            self.gaps.push(gap);
        } else if let Some(oldest) = self.gaps.get_mut(self.next) {
            *oldest = gap;
        }
        self.next = (self.next + 1) % GAPS;
    }

    fn usual(&self) -> Duration {
        let mut gaps = self.gaps.clone();
        let rank = (gaps.len() * QUANTILE.0 / QUANTILE.1).min(gaps.len().saturating_sub(1));
        if gaps.is_empty() {
            return Duration::ZERO;
        }
        Duration::from_micros(*gaps.select_nth_unstable(rank).1)
    }
}

impl Ready {
    /// After how long it is a silence, once that is known.
    fn deadline(&self, state: &State, factor: f64) -> Option<Duration> {
        let deadline = match self.when {
            When::After(after) => after,
            When::Times { warm_up, .. } if state.gaps.len() < warm_up => return None,
            When::Times { factor, minimum, .. } => times(state.usual(), factor).max(minimum),
        };
        Some(times(deadline, factor).max(Duration::from_micros(1)))
    }
}

fn times(duration: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(duration.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

impl Method for Ready {
    type State = State;

    fn observe(&self, state: &mut State, sample: &Sample, factor: f64) -> Verdict {
        let now = sample.time.as_micros();
        let gap = state.last.map(|last| now.saturating_sub(last)).and_then(|gap| u64::try_from(gap).ok());
        let score = gap.zip(self.deadline(state, factor)).map(|(gap, deadline)| {
            score(Duration::from_micros(gap).as_secs_f64() / deadline.as_secs_f64() - 1.0)
        });
        if let Some(gap) = gap.filter(|gap| *gap > 0) {
            state.remember(gap);
        }
        state.last = Some(now);
        Verdict { score, expected: None, finding: None }
    }

    const MINDS_SILENCE: bool = true;

    fn patience(&self, state: &State, factor: f64) -> Option<(Duration, Finding)> {
        // What never spoke is not silent.
        state.last?;
        let (severity, contributions) = (self.parameters.severity.severity(), vec![("silence", 1.0)]);
        Some((self.deadline(state, factor)?, Finding { severity, contributions }))
    }

    fn owned_bytes(state: &State) -> usize {
        state.gaps.capacity() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests;
