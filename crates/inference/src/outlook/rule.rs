//! Limits that series are not to cross, and what a forecast means for them.

use std::time::Duration;

use cornjacket_domain::{Patterns, Sample, SeriesKey};
use cornjacket_proto::events::anomaly_detected::Severity;
use cornjacket_store::Episode;

use crate::forecasters::breach::breach;
use crate::forecasters::{Breach, Limit, Prediction};

/// An episode ends when a breach is at most so likely as this part of what began it: a probability that wavers about the rule's
/// does not begin one after the other.
const OVER: f64 = 0.5;

/// What is expected of some series, and since when that is worth an event.
#[derive(Clone, Debug)]
pub struct Rule {
    /// What operators know it by; what was expected is remembered by it.
    pub name: String,
    /// Which subjects have series that it is about.
    pub subjects: Patterns,
    /// Which of their metrics.
    pub metrics: Patterns,
    /// What is above it crosses it.
    pub upper: Option<f64>,
    /// What is below it crosses it.
    pub lower: Option<f64>,
    /// How far to look ahead.
    pub horizon: Duration,
    /// How long a step is; by default as the series and the horizon make sensible.
    pub step: Option<Duration>,
    /// How often to look.
    pub every: Duration,
    /// From which probability on a breach is expected: 0.1 to 1.
    pub probability: f64,
    /// How much it matters.
    pub severity: Severity,
}

impl Rule {
    /// Whether it is about that series.
    pub(super) fn is_about(&self, key: &SeriesKey) -> bool {
        self.subjects.allow(&key.subject) && self.metrics.allow(&key.metric)
    }

    /// What a forecast makes of the breach that was known of: the episode that goes on or begins, and the breach where it
    /// begins.
    pub(super) fn judge(
        &self,
        limit: Limit,
        known: Option<Episode>,
        prediction: &Prediction,
        last: &Sample,
    ) -> (Option<Episode>, Option<Breach>) {
        let value = value(limit);
        // What was expected of another limit is not expected of this one.
        let known = known.filter(|known| known.limit.total_cmp(&value).is_eq());
        // What has happened is not expected, and nothing follows from it about what was.
        if is_beyond(limit, last.value) || is_beyond(limit, prediction.last_step) {
            return (known, None);
        }
        let breach = breach(&prediction.forecast, limit);
        match known {
            Some(_) if breach.probability <= OVER * self.probability => (None, None),
            Some(known) => (Some(known), None),
            None if breach.probability >= self.probability => {
                (Some(Episode { since: last.position, limit: value }), Some(breach))
            }
            None => (None, None),
        }
    }
}

/// The limit, in the series' unit.
pub(super) const fn value(limit: Limit) -> f64 {
    match limit {
        Limit::Upper(value) | Limit::Lower(value) => value,
    }
}

fn is_beyond(limit: Limit, value: f64) -> bool {
    match limit {
        Limit::Upper(limit) => value > limit,
        Limit::Lower(limit) => value < limit,
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_domain::Timestamp;

    use super::*;
    use crate::forecasters::{Forecast, Interval, Record, Step};

    fn rule() -> Rule {
        Rule {
            name: "hot".into(),
            subjects: Patterns::Any(vec!["pump-*".into()]),
            metrics: Patterns::All,
            upper: Some(80.0),
            lower: None,
            horizon: Duration::from_hours(1),
            step: None,
            every: Duration::from_mins(5),
            probability: 0.5,
            severity: Severity::Warning,
        }
    }

    /// One step whose 50 % interval ends one above it, and its 90 % interval two.
    fn prediction(value: f64) -> Prediction {
        let interval =
            |(level, width): (f64, f64)| Interval { level, lower: value - width, upper: value + width };
        let intervals = [(0.5, 1.0), (0.9, 2.0)].into_iter().map(interval).collect();
        Prediction {
            forecast: Forecast {
                forecaster: "x",
                version: "1",
                steps: vec![Step { value, intervals }],
                record: Record { origins: 9, mae: 1.0, relative_mae: None, mase: None },
            },
            start: Timestamp::default(),
            season: None,
            steps: 100,
            filled: 0,
            last_step: 0.0,
        }
    }

    fn judge(known: Option<Episode>, value: f64, last: f64) -> (Option<u64>, bool) {
        let last = Sample { time: Timestamp::default(), position: 9, value: last };
        let (episode, breach) = rule().judge(Limit::Upper(80.0), known, &prediction(value), &last);
        (episode.map(|episode| episode.since), breach.is_some())
    }

    #[test]
    fn an_episode_ends_when_a_breach_is_half_as_likely_as_what_began_it() {
        let known = Some(Episode { since: 3, limit: 80.0 });
        // The probability is 0.5 at the limit, 0.25 one below it, 0.15 one and a half.
        assert_eq!(judge(None, 80.0, 0.0), (Some(9), true));
        assert_eq!(judge(None, 79.9, 0.0), (None, false));
        assert_eq!(judge(known, 81.0, 0.0), (Some(3), false), "it was said");
        assert_eq!(judge(known, 79.1, 0.0), (Some(3), false), "it is less likely, and not over");
        assert_eq!(judge(known, 78.5, 0.0), (None, false), "it is over");
    }

    #[test]
    fn what_has_happened_is_not_expected() {
        let known = Some(Episode { since: 3, limit: 80.0 });
        assert_eq!(judge(None, 90.0, 80.5), (None, false));
        assert_eq!(judge(known, 90.0, 80.5), (Some(3), false));
        assert_eq!(judge(known, 0.0, 80.5), (Some(3), false));
    }

    #[test]
    fn what_was_expected_of_another_limit_begins_anew() {
        let known = Some(Episode { since: 3, limit: 75.0 });
        assert_eq!(judge(known, 90.0, 0.0), (Some(9), true));
        assert_eq!(judge(known, 79.1, 0.0), (None, false));
    }

    #[test]
    fn a_rule_is_about_what_matches() {
        let key = |subject: &str| SeriesKey { subject: subject.into(), metric: "x".into() };
        assert!(rule().is_about(&key("pump-1")) && !rule().is_about(&key("fan-1")));
    }
}
