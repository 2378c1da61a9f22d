//! `cornjacket backtest`: what a model would have found in what is stored.

mod summary;

use anyhow::Context;
use clap::Args;
use cornjacket_proto::admin::{BacktestRequest, BacktestResponse, BacktestResult, Model};
use cornjacket_proto::json;
use futures::StreamExt;
use prost::Message;
use prost_types::Timestamp;

use super::client::{Server, told};
use super::moment::moment;
use super::progress;
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket backtest`.
#[derive(Debug, Args)]
pub struct Backtest {
    #[command(flatten)]
    server: Server,
    /// What a draft watches with, such as threshold.
    #[arg(required_unless_present = "model", conflicts_with = "model")]
    detector: Option<String>,
    /// The draft's parameters, as JSON.
    #[arg(default_value = "{}")]
    parameters: String,
    /// A registered model, replayed as it ran; without a version the active one.
    #[arg(long, value_name = "NAME[/VERSION]", value_parser = reference)]
    model: Option<Reference>,
    /// What the draft is called: it is compared with the active version of that name.
    #[arg(long, default_value = "", conflicts_with = "model")]
    name: String,
    /// Only series of these subjects, with * for any text.
    #[arg(long, default_value = "")]
    subjects: String,
    /// Only series of these metrics, likewise.
    #[arg(long, default_value = "")]
    metrics: String,
    /// Only samples from this time on: a time (RFC 3339), or how long ago, such as 7d.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    start: Option<Timestamp>,
    /// Only samples before this time, likewise.
    #[arg(long, value_parser = moment, value_name = "TIME")]
    end: Option<Timestamp>,
    /// Compare with what this model sent; by default with what runs now.
    #[arg(long, value_name = "NAME[/VERSION]", value_parser = reference)]
    compare_to: Option<Reference>,
    /// Show at most this many findings, and as many examples of each difference.
    #[arg(long, default_value_t = 20)]
    limit: u16,
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

/// A version of a model; the active one when it is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reference {
    pub name: String,
    pub version: u32,
}

impl Backtest {
    /// Asks and prints.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        telemetry::block_on(&settings.log, async {
            let (json, server) = (self.json, self.server.clone());
            let (samples, result) = ask(&server, settings, self.request()?).await?;
            if json {
                let bytes = result.encode_to_vec();
                let json = cornjacket_proto::decode_dynamic::<BacktestResult>(&bytes)?;
                println!("{}", serde_json::to_string_pretty(&json)?);
            } else {
                print!("{}", summary::of(samples, &result));
            }
            Ok(())
        })
    }

    fn request(self) -> anyhow::Result<BacktestRequest> {
        let parameters = json::to_struct(&self.parameters).context("parameters: must be a JSON object")?;
        let draft = self.detector.map(|detector| Model {
            name: self.name,
            detector,
            parameters: Some(parameters),
            ..Model::default()
        });
        let (model, compared) = (self.model.unwrap_or_default(), self.compare_to.unwrap_or_default());
        Ok(BacktestRequest {
            draft,
            model: model.name,
            version: model.version,
            subjects: self.subjects,
            metrics: self.metrics,
            start_time: self.start,
            end_time: self.end,
            limit: self.limit.into(),
            compare_to: compared.name,
            compare_version: compared.version,
        })
    }
}

/// How many samples were gone over, and what came of it.
async fn ask(
    server: &Server,
    settings: &Settings,
    request: BacktestRequest,
) -> anyhow::Result<(u64, BacktestResult)> {
    let mut admin = server.admin_stream(settings).await?;
    let mut messages = admin.backtest(request).await.map_err(|status| told(&status))?.into_inner();
    let bar = progress::series();
    let mut last = BacktestResponse::default();
    while let Some(message) = messages.next().await {
        last = message.map_err(|status| told(&status))?;
        bar.set_length(last.series);
        bar.set_position(last.series_done);
    }
    bar.finish_and_clear();
    let result = last.result.context("the call ended before there was a result")?;
    Ok((last.samples, result))
}

/// `NAME` or `NAME/VERSION`.
pub(super) fn reference(text: &str) -> Result<Reference, String> {
    let (name, version) = match text.rsplit_once('/') {
        None => (text, 0),
        Some((name, version)) => {
            (name, version.parse().map_err(|_| "must be NAME or NAME/VERSION".to_owned())?)
        }
    };
    if name.is_empty() {
        return Err("must be NAME or NAME/VERSION".to_owned());
    }
    Ok(Reference { name: name.to_owned(), version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_named_with_its_version_or_without() {
        let of = |name: &str, version| Ok(Reference { name: name.to_owned(), version });
        assert_eq!(reference("hot"), of("hot", 0));
        assert_eq!(reference("pumps/hot/3"), of("pumps/hot", 3));
        for wrong in ["", "/3", "hot/x"] {
            assert!(reference(wrong).is_err(), "{wrong}");
        }
    }
}
