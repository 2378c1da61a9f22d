//! Counts of events: how many of a type about a subject a minute has had.
//!
//! Each event of a type that the settings name is a sample of a series of its own ([`SeriesKey::counting`]). Its value is how many
//! events of that type and subject the minute of its effective time has had by then, itself included: what the roll-up of that
//! minute has, and one more. So it is the same however the log is cut into batches, and whatever crashes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::Delivered;
use cornjacket_domain::event::is_in_grammar;
use cornjacket_domain::series::{COUNTS, METRIC_LENGTH};
use cornjacket_domain::{RollupStep, Sample, SeriesKey, Summary, Timestamp, Topic};
use cornjacket_store::{RollupKey, SeriesId};

use crate::batch::time_of;

/// What counts are in.
const UNIT: &str = "events";
/// Characters of a type, at the most: a metric of its name is an anomaly's, too.
const LONGEST: usize = METRIC_LENGTH - COUNTS.len();

/// The types of events that are counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted(Arc<BTreeSet<String>>);

/// Why a type cannot be counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event_type:?} {problem}")]
pub struct CountedError {
    /// The type.
    pub event_type: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Counted {
    /// Counts events of exactly these types.
    pub fn new(types: impl IntoIterator<Item = String>) -> Result<Self, CountedError> {
        let mut counted = BTreeSet::new();
        for event_type in types {
            if let Some(problem) = problem(&event_type, &counted) {
                return Err(CountedError { event_type, problem });
            }
            counted.insert(event_type);
        }
        Ok(Self(Arc::new(counted)))
    }

    /// The topics whose events bring samples: that of measurements, and those of these types.
    pub fn topics(&self) -> Vec<Topic> {
        let of_types = self.0.iter().map(|event_type| Topic::of_type(event_type));
        let topics: BTreeSet<Topic> = of_types.chain([Topic::SensorEvents]).collect();
        topics.into_iter().collect()
    }

    /// Whether samples of a series are still made: not of one that counted a type which is counted no longer.
    pub(crate) fn goes_on(&self, series: &SeriesKey) -> bool {
        series.counts().is_none_or(|event_type| self.0.contains(event_type))
    }
}

fn problem(event_type: &str, counted: &BTreeSet<String>) -> Option<String> {
    if event_type.is_empty() || event_type.len() > LONGEST {
        return Some(format!("must have 1 to {LONGEST} characters"));
    }
    if !is_in_grammar(event_type) {
        return Some(
            "is no type: only letters, digits and `.`, `_`, `-` are allowed, and no pattern".to_owned(),
        );
    }
    // An anomaly in their number would be one more of them.
    if Topic::of_type(event_type) == Topic::AiInsights {
        return Some("cannot be counted: models would watch what they say themselves".to_owned());
    }
    counted.contains(event_type).then(|| "is there twice".to_owned())
}

/// The events of a batch that are counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    series: Vec<SeriesKey>,
    /// In the order of the events: the number of the series, the effective time, and the position.
    happened: Vec<(usize, Timestamp, u64)>,
    /// Events that were older than is kept when they came in.
    pub too_old: u64,
}

impl Counts {
    /// Those of some events, but for what was already older than `keep` when it was stored.
    pub fn of(events: &[Delivered], keep: Duration, Counted(types): &Counted) -> Self {
        let mut counts = Self::default();
        let mut numbers: HashMap<SeriesKey, usize> = HashMap::new();
        for delivered in events.iter().filter(|delivered| types.contains(&delivered.event.r#type)) {
            let event = &delivered.event;
            let Some(time) = time_of(delivered, keep) else {
                counts.too_old += 1;
                continue;
            };
            let key = SeriesKey::counting(&event.subject, &event.r#type);
            let number = *numbers.entry(key).or_insert_with_key(|key| {
                counts.series.push(key.clone());
                counts.series.len() - 1
            });
            counts.happened.push((number, time, event.position));
        }
        counts
    }

    /// The series, each with its unit.
    pub fn series(&self) -> impl Iterator<Item = (&SeriesKey, &str)> {
        self.series.iter().map(|key| (key, UNIT))
    }

    /// When something happened, given the ids of [`Counts::series`].
    pub fn times(&self, ids: &[SeriesId]) -> impl Iterator<Item = (SeriesId, Timestamp)> {
        self.happened.iter().map(|(number, time, _)| (ids[*number], *time))
    }

    /// The samples, given the ids of [`Counts::series`] and what is known of the minutes that they are in.
    pub fn samples(&self, ids: &[SeriesId], known: &HashMap<RollupKey, Summary>) -> Vec<(SeriesId, Sample)> {
        let mut counts: HashMap<RollupKey, u64> = HashMap::new();
        let count = |(number, time, position): &(usize, Timestamp, u64)| {
            let step = RollupStep::Minute;
            let minute = RollupKey { series: ids[*number], step, bucket: step.bucket_of(*time) };
            let before = || known.get(&minute).map_or(0, |summary| summary.count);
            let count = counts.entry(minute).or_insert_with(before);
            *count += 1;
            #[allow(clippy::cast_precision_loss, reason = "nobody has 2^53 events in a minute")]
            let value = *count as f64;
            (minute.series, Sample { time: *time, position: *position, value })
        };
        self.happened.iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests;
