//! Models that go over stored samples once more: what the methods ask of the crate that they do not see.

use std::fmt::Debug;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use cornjacket_domain::{Sample, SeriesKey, Shard, Timestamp};
use cornjacket_proto::events::AnomalyDetected;
use cornjacket_proto::status::{ErrorKind, Failure};
use cornjacket_store::{Draft, ListedModel, Mode, Model, ModelId, SeriesId, Snapshot, StoreError, TimeRange};
use tokio::time::Instant;

use crate::admin::Detectors;
use crate::rpc::there::missing;
use crate::rpc::{invalid, invalid_as, store_failed};

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

/// What is to be gone over, and with what.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplayQuestion {
    /// Which series ...
    pub series: SeriesId,
    /// ... by name.
    pub key: SeriesKey,
    /// The number of its partition.
    pub shard: Shard,
    /// With what.
    pub model: Model,
    /// As it ran, and not anew.
    pub as_it_ran: bool,
    /// What is told of.
    pub range: TimeRange,
    /// What is older is not looked at.
    pub oldest: Timestamp,
    /// Samples, and anomalies that were sent, that may be read.
    pub most: usize,
    /// What these have sent is wanted, too; none of them is [`Playable::Nothing`].
    pub compared: Vec<ModelId>,
}

/// Why nothing is gone over.
#[derive(Debug)]
pub enum NoReplay {
    /// There are more samples than that.
    TooMany(usize),
    /// There are more anomalies than that which were sent.
    TooManySent(usize),
    /// The store did not answer.
    Store(StoreError),
}

/// A sample that a model has gone over.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The sample.
    pub sample: Sample,
    /// It came late, and was passed over.
    pub late: bool,
    /// 0 is ordinary, 1 as strange as can be.
    pub score: Option<f64>,
    /// The value that was expected, and the interval around it.
    pub expected: Option<[f64; 3]>,
    /// What the event says of the anomaly that begins here, but for its cause.
    pub anomaly: Option<AnomalyDetected>,
    /// Whether that is sent.
    pub is_active: bool,
}

/// An anomaly that was sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sent {
    /// When the sample was taken with which it begins.
    pub time: Timestamp,
    /// The position of the event that the sample came with.
    pub position: u64,
    /// Who found it.
    pub model: ModelId,
    /// How strange the sample was.
    pub score: Option<f64>,
    /// As `AnomalyDetected.Severity` numbers it.
    pub severity: i16,
}

/// A replay that has what it needs: what is left of it is arithmetic.
pub struct Replay {
    /// How many samples of the range there are.
    pub samples: u64,
    /// What was sent of them.
    pub sent: Vec<Sent>,
    /// The arithmetic.
    pub run: Run,
}

/// Goes over the samples of the range, in the order of their positions, as long as somebody waits for it, and tells of those that
/// the model saw. Nothing when it was cut off.
pub type Run = Box<dyn FnOnce(&Waits, &mut dyn FnMut(Judged)) -> Option<()> + Send>;

/// What models are run with over stored samples.
#[async_trait]
pub trait Replays: Debug + Send + Sync {
    /// How much of a model can be had; or the field that is at fault and what is wrong with it.
    fn playable(&self, draft: &Draft) -> Result<Playable, (String, String)>;

    /// Reads what a replay needs.
    async fn prepare(
        &self,
        snapshot: &mut dyn Snapshot,
        question: ReplayQuestion,
    ) -> Result<Replay, NoReplay>;

    /// The id of the event that says this, by a model with these parameters.
    fn event_id(&self, anomaly: &AnomalyDetected, parameters: &str) -> String;
}

/// Somebody who waits for an answer, until it is dropped.
#[derive(Debug, Default)]
pub(crate) struct Asker(Arc<()>);

/// Tells a thread that cannot be cut off whether somebody still waits.
#[derive(Clone, Debug)]
pub struct Waits {
    asker: Weak<()>,
    until: Instant,
}

impl Asker {
    /// Waits no longer than until then.
    pub fn until(&self, until: Instant) -> Waits {
        Waits { asker: Arc::downgrade(&self.0), until }
    }
}

impl Waits {
    /// Whether it is worth going on.
    pub fn goes_on(&self) -> bool {
        self.asker.strong_count() > 0 && Instant::now() < self.until
    }
}

/// The version of a model, or the active one when none is said; each with the field that says it.
pub(crate) fn find<'a>(
    models: &'a [ListedModel],
    (name_field, name): (&str, &str),
    (version_field, version): (&str, u32),
) -> Result<&'a ListedModel, Failure> {
    let is_meant = |one: &&ListedModel| match version {
        0 => one.mode == Mode::Active,
        version => one.model.version == version,
    };
    let mut versions = models.iter().filter(|one| one.model.draft.name == name).peekable();
    if versions.peek().is_none() {
        return Err(missing(name_field, &format!("there is no model {name:?}")));
    }
    versions.find(is_meant).ok_or_else(|| {
        let which = if version == 0 { "active version".to_owned() } else { format!("version {version}") };
        missing(version_field, &format!("there is no {which} of a model {name:?}"))
    })
}

/// The version of a detector's code here.
pub(crate) fn code(detectors: &dyn Detectors, detector: &str) -> String {
    let known = detectors.all().into_iter().find(|(name, ..)| *name == detector);
    known.map(|(_, version, _)| version.to_owned()).unwrap_or_default()
}

/// Refuses a model of which not all can be had that is needed. `field` is where it was named.
pub(crate) fn require(
    replays: &dyn Replays,
    (field, draft): (&str, &Draft),
    scores_are_enough: bool,
) -> Result<(), Failure> {
    let detector = &draft.detector;
    let why = match replays.playable(draft) {
        Ok(Playable::Whole) => return Ok(()),
        Ok(Playable::ScoresOnly) if scores_are_enough => return Ok(()),
        Ok(Playable::ScoresOnly) => "finds by waiting, which samples do not show; ScoreSeries has its scores",
        Ok(Playable::Nothing) => "asks a server, and what that says does not follow from samples",
        Err((at, problem)) => return Err(invalid_as(&format!("{field}.{at}"), &problem, "INVALID")),
    };
    let message = format!("{field}: detector {detector:?} {why}");
    Err(Failure::new(ErrorKind::FailedPrecondition, message)
        .with_reason("NOT_FROM_SAMPLES", [("field", field.to_owned()), ("detector", detector.clone())]))
}

/// What a caller is told when nothing is gone over; `field` would make it less.
pub(crate) fn refused(why: NoReplay, field: &str, key: &SeriesKey) -> Failure {
    let SeriesKey { subject, metric } = key;
    let too_many = |what: &str| {
        invalid(field, &format!("lets in more than {what} of {metric:?} of {subject:?}"), "OUT_OF_RANGE")
    };
    match why {
        NoReplay::TooMany(most) => too_many(&format!("{most} samples")),
        NoReplay::TooManySent(most) => too_many(&format!("{most} anomalies that were sent")),
        NoReplay::Store(error) => store_failed(&error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thread_goes_on_as_long_as_somebody_waits() {
        let asker = Asker::default();
        let waits = asker.until(Instant::now() + Duration::from_secs(1));
        assert!(waits.goes_on());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!waits.goes_on(), "the deadline has passed");
        let waits = asker.until(Instant::now() + Duration::from_secs(1));
        drop(asker);
        assert!(!waits.goes_on(), "the caller has gone");
    }
}
