//! `cornjacket feedback`: a person's word on what models found, or did not find.

use anyhow::Context;
use clap::{Args, Subcommand};
use cornjacket_proto::admin::ReportFeedbackRequest;
use cornjacket_proto::admin::report_feedback_request::{FalseAlarm, Missed, Word};
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
            let again = if reported.duplicate { ": it was said before, and counts once" } else { "" };
            println!("{}{again}", reported.id);
            Ok(())
        })
    }
}
