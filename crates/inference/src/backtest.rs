//! Going over the stored samples of a series once more, without any effect.
//!
//! [`Material`] is what is read from a snapshot: samples, the changes that the shard took, and what was sent. Its
//! [`Material::run`] is arithmetic: the detector that scores what comes in, with the seed that it would have, sees the samples in
//! the order of their positions. A registered model takes its changes where the shard took them, so that what it finds while it
//! is active is what was sent, as long as all samples since its beginning are stored; also of events that were parked and tried
//! again later, for which the changes are noted that they met.

mod course;
mod sent;

use std::time::Duration;

use cornjacket_domain::{Sample, SeriesKey, Shard, Timestamp};
use cornjacket_proto::events::{AnomalyDetected, Event};
use cornjacket_store::{Draft, Model, ModelId, SeriesId, Snapshot, StoreError, TimeRange};

use self::course::Course;
pub use self::sent::Sent;
use crate::anomaly::Anomaly;
pub use crate::anomaly::event_id;
use crate::detectors::{self, Made, ParameterError, Verdict};

/// Samples from before the range that a model sees which is not replayed as it ran.
pub const LEAD_IN: u32 = 10_000;
/// Samples that are read at once.
const PAGE: u32 = 10_000;

/// What can be had of a model from samples alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Playable {
    /// Scores and findings.
    Whole,
    /// Scores: findings come of waiting.
    ScoresOnly,
    /// Nothing: somebody else says its scores.
    Nothing,
}

/// How much of a model can be had from samples alone; or why it is none.
pub fn playable(draft: &Draft) -> Result<Playable, ParameterError> {
    Ok(match detectors::model(&draft.detector, &draft.parameters)? {
        Made::Remote(_) => Playable::Nothing,
        Made::Here(model) if model.minds_silence() => Playable::ScoresOnly,
        Made::Here(_) => Playable::Whole,
    })
}

/// How a model goes over samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// From nothing, a lead-in before the range; as an active one, whatever became of it.
    Anew,
    /// As it ran: over all samples, with the changes that it took.
    AsItRan,
}

/// What is to be gone over.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Which series ...
    pub series: SeriesId,
    /// ... by name.
    pub key: SeriesKey,
    /// Where its shard is.
    pub shard: Shard,
    /// With what.
    pub model: Model,
    /// In which way.
    pub how: How,
    /// What is told of.
    pub range: TimeRange,
    /// What is older is not looked at.
    pub oldest: Timestamp,
    /// Samples that may be read, the lead-in left out, and anomalies that were sent.
    pub most: usize,
    /// What these have sent is read, too. A model that a server runs must not be among them: where it was switched is not noted.
    pub compared: Vec<ModelId>,
}

/// Why there is nothing to go over.
#[derive(Debug, thiserror::Error)]
pub enum NoMaterial {
    /// The series has more samples than may be read.
    #[error("the series has more than {0} samples")]
    TooMany(usize),
    /// More anomalies were sent of it than may be read.
    #[error("more than {0} anomalies of the series were sent")]
    TooManySent(usize),
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is known of a series.
#[derive(Debug)]
pub struct Material {
    key: SeriesKey,
    series: SeriesId,
    range: TimeRange,
    course: Course,
    /// In the order of their positions.
    samples: Vec<Sample>,
    /// What was sent of samples of the range, in the order of their positions.
    pub sent: Vec<Sent>,
}

/// What is told of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The sample.
    pub sample: Sample,
    /// What the model makes of it; nothing when it was late.
    pub verdict: Option<Verdict>,
    /// Whether what it finds is sent.
    pub is_active: bool,
}

impl Material {
    /// Reads it.
    pub async fn read(snapshot: &mut dyn Snapshot, question: Question) -> Result<Self, NoMaterial> {
        let Question { series, key, shard, model, how, range, oldest, most, compared } = question;
        let range = TimeRange { start: range.start.max(oldest), ..range };
        let mut samples = match how {
            How::Anew => {
                let mut samples = lead_in(snapshot, &key, range.start, oldest).await?;
                samples.extend(all_of(snapshot, series, range, most).await?);
                samples
            }
            How::AsItRan => {
                all_of(snapshot, series, TimeRange { start: oldest, end: Timestamp::LAST }, most).await?
            }
        };
        samples.sort_unstable_by_key(|sample| sample.position);
        let taken = if how == How::Anew && compared.is_empty() {
            Vec::new()
        } else {
            snapshot.taken(shard, &key.subject).await?
        };
        let sent = sent::read(snapshot, series, range, &taken, &compared, most).await?;
        let course = match how {
            How::Anew => Course::anew(model),
            How::AsItRan => Course::as_it_ran(model.id, taken),
        };
        Ok(Self { key, series, range, course, samples, sent })
    }

    /// Goes over it, and tells of the samples of the range that the model has seen. Nothing when it was cut off: it asks
    /// now and then whether to go on.
    pub fn run(&self, goes_on: &dyn Fn() -> bool, tell: &mut dyn FnMut(Seen)) -> Option<()> {
        let Self { key, series, range, course, samples, .. } = self;
        course.run((*series, key), samples, goes_on, &mut |seen| {
            if (range.start..range.end).contains(&seen.sample.time) {
                tell(seen);
            }
        })
    }

    /// How many samples of the range there are.
    pub fn samples(&self) -> usize {
        let range = self.range.start..self.range.end;
        self.samples.iter().filter(|sample| range.contains(&sample.time)).count()
    }
}

/// What the event of the anomaly says that begins with a sample, but for its cause; nothing where none begins.
pub fn anomaly(model: &Model, key: &SeriesKey, seen: &Seen) -> Option<AnomalyDetected> {
    let verdict = seen.verdict.as_ref()?;
    let (sample, score, expected) = (&seen.sample, verdict.score, verdict.expected);
    let (finding, cause) = (verdict.finding.as_ref()?, &Event::default());
    Some(Anomaly { key, time: sample.time, sample, cause, model, score, expected, finding }.payload())
}

/// The last samples before a range.
async fn lead_in(
    snapshot: &mut dyn Snapshot,
    key: &SeriesKey,
    start: Timestamp,
    oldest: Timestamp,
) -> Result<Vec<Sample>, StoreError> {
    let place = (start - Duration::from_micros(1), i64::MAX.cast_unsigned());
    let read = snapshot.samples_before(&[(key, place)], oldest, LEAD_IN).await?;
    Ok(read.into_iter().flatten().collect())
}

/// All samples of a range, read page by page.
async fn all_of(
    snapshot: &mut dyn Snapshot,
    series: SeriesId,
    range: TimeRange,
    most: usize,
) -> Result<Vec<Sample>, NoMaterial> {
    let (mut samples, mut after): (Vec<Sample>, _) = (Vec::new(), None);
    loop {
        let page = snapshot.samples(series, range, after, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        samples.extend(page);
        if samples.len() > most {
            return Err(NoMaterial::TooMany(most));
        }
        after = samples.last().map(|last| (last.time, last.position));
        if is_last {
            return Ok(samples);
        }
    }
}

#[cfg(test)]
mod tests;
