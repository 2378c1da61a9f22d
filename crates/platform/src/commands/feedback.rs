//! `cornjacket feedback`: a person's word on what models found, or did not find.

use anyhow::Context;
use clap::{Args, Subcommand};
use cornjacket_proto::admin::report_feedback_request::{FalseAlarm, Missed, Word};
use cornjacket_proto::admin::{ReportFeedbackRequest, ReportFeedbackResponse};
use cornjacket_proto::events::feedback_reported::Verdict;
use prost_types::Timestamp;

use super::client::{Server, told};
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket feedback`.
#[derive(Debug, Args)]
pub struct Feedback {
    #[command(flatten)]
    server: Server,
    /// Why.
    #[arg(long, global = true, default_value = "")]
    comment: String,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// An anomaly was none: its model will want more of that series before it speaks again.
    FalseAlarm {
        /// The anomaly's id, as `cornjacket anomalies` shows it.
        id: String,
        /// The anomaly's source, where it is not from Cornjacket itself.
        #[arg(long, default_value = "")]
        source: String,
    },
    /// There was an anomaly that a model did not find: it takes one false alarm of that series back.
    Missed {
        /// Who measures.
        subject: String,
        /// What is measured.
        metric: String,
        /// The model that should have found it.
        model: String,
        /// When it was, such as 2026-01-31T12:00:00Z.
        time: Timestamp,
        /// The model's version; the active one by default.
        #[arg(long = "of", id = "model_version", value_name = "VERSION", default_value_t = 0)]
        version: u32,
    },
}

impl Feedback {
    /// Says it, and prints what came of it.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let word = match self.verb {
            Verb::FalseAlarm { id, source } => Word::FalseAlarm(FalseAlarm { source, id }),
            Verb::Missed { subject, metric, model, time, version } => {
                Word::Missed(Missed { subject, metric, model, version, time: Some(time) })
            }
        };
        telemetry::block_on(&settings.log, async {
            let request = ReportFeedbackRequest { word: Some(word), comment: self.comment };
            let reported = self.server.admin(settings).await?.report_feedback(request).await;
            let reported = reported.map_err(|status| told(&status)).context("feedback")?.into_inner();
            println!("{}", taken(&reported));
            Ok(())
        })
    }
}

/// Of what it was taken, what it does, and the id of its event.
fn taken(reported: &ReportFeedbackResponse) -> String {
    let feedback = reported.feedback.clone().unwrap_or_default();
    let (verdict, effect) = match feedback.verdict() {
        Verdict::FalseAlarm => ("a false alarm", "its bar is a quarter higher from the next event on"),
        Verdict::Missed => ("missed", "one false alarm of that series is taken back from the next event on"),
        Verdict::Unspecified => ("taken", "nothing is changed"),
    };
    let effect = if reported.duplicate { "it was said before, and counts once" } else { effect };
    let (subject, metric) = (feedback.series_subject, feedback.metric);
    let (model, version) = (feedback.model, feedback.model_version);
    format!("{model}/{version} in {metric} of {subject}: {verdict}; {effect}\n{}", reported.id)
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::events::FeedbackReported;

    use super::*;

    #[test]
    fn what_was_taken_is_said() {
        let feedback = FeedbackReported {
            verdict: Verdict::Missed.into(),
            series_subject: "pump-7".into(),
            metric: "temperature".into(),
            model: "hot".into(),
            model_version: "2".into(),
            ..FeedbackReported::default()
        };
        let reported = |duplicate| ReportFeedbackResponse {
            id: "x".into(),
            duplicate,
            feedback: Some(feedback.clone()),
        };
        let once = "hot/2 in temperature of pump-7: missed; one false alarm of that series is taken back";
        assert!(taken(&reported(false)).starts_with(once));
        assert!(taken(&reported(true)).ends_with("it was said before, and counts once\nx"));
    }
}
