//! From people's words to changes of what models make of series.
//!
//! A word is an event like any other. This consumer makes a change of it, in its place among all changes; the processor takes
//! that between two events of the series' shard and notes where (`scorer/controls.rs`).

use async_trait::async_trait;
use cornjacket_bus::{Delivered, Handler, HandlerError};
use cornjacket_domain::{FEEDBACK_SOURCE, Partitions, SeriesKey, Shard, Topic};
use cornjacket_proto::events::FeedbackReported;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::feedback_reported::Verdict;
use cornjacket_store::{StoreError, Tx, Word};

use crate::outcome::failed;

/// The consumer's name.
pub const NAME: &str = "feedback";
/// Where words are: types under `ai.`.
pub const TOPICS: [Topic; 1] = [Topic::AiInsights];

/// Takes people's words.
#[derive(Clone, Copy, Debug)]
pub struct Feedback {
    partitions: Partitions,
}

impl Feedback {
    /// One for topics with so many partitions.
    pub const fn new(partitions: Partitions) -> Self {
        Self { partitions }
    }

    async fn take(
        &self,
        tx: &mut dyn Tx,
        event: &Delivered,
        feedback: &FeedbackReported,
    ) -> Result<(), StoreError> {
        let is_false_alarm = match feedback.verdict() {
            Verdict::FalseAlarm => true,
            Verdict::Missed => false,
            // Of a newer version of the contract.
            Verdict::Unspecified => return Ok(()),
        };
        let series = SeriesKey { subject: feedback.series_subject.clone(), metric: feedback.metric.clone() };
        let word = Word {
            series: &series,
            shard: Shard::of(&series, self.partitions),
            model: &feedback.model,
            // No version has that number.
            version: feedback.model_version.parse().unwrap_or(0),
            is_false_alarm,
            by: Some(feedback.reported_by.as_str()).filter(|by| !by.is_empty()),
            now: event.ingest_time,
        };
        if !tx.take_word(&word).await? {
            let (subject, metric, model) = (&series.subject, &series.metric, word.model);
            tracing::warn!(subject, metric, model, "a word on a model or a series that there is not");
        }
        Ok(())
    }
}

#[async_trait]
impl Handler<Box<dyn Tx>> for Feedback {
    type Prepared = ();

    fn name(&self) -> &str {
        NAME
    }

    fn topics(&self) -> &[Topic] {
        &TOPICS
    }

    async fn handle(&self, tx: &mut Box<dyn Tx>, events: &[Delivered], (): ()) -> Result<(), HandlerError> {
        for event in events {
            let Some(Payload::FeedbackReported(feedback)) = &event.event.payload else { continue };
            // What says who said it, and of which series, was seen to where the source is ours.
            if event.event.source != FEEDBACK_SOURCE {
                continue;
            }
            self.take(tx.as_mut(), event, feedback).await.map_err(failed)?;
        }
        Ok(())
    }
}
