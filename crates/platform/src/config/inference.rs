//! What series are watched with, as the settings say.

use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::Partitions;
use cornjacket_inference::{Counted, detectors, processor};
use cornjacket_store::{Draft, Mode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Forecast, Settings};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Inference {
    pub state_mib: usize,
    pub reconnect_seconds: u64,
    pub count_events: Vec<String>,
    pub models: Vec<Model>,
    pub forecasts: Vec<Forecast>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    name: String,
    detector: String,
    #[serde(default = "all")]
    subjects: String,
    #[serde(default = "all")]
    metrics: String,
    #[serde(default = "active")]
    mode: String,
    #[serde(default)]
    parameters: Map<String, Value>,
}

fn all() -> String {
    "*".to_owned()
}

fn active() -> String {
    Mode::Active.name().to_owned()
}

impl Settings {
    /// How measurements become series, and how they are scored.
    pub fn processor(&self, partitions: Partitions) -> anyhow::Result<processor::Options> {
        let (keep, state_bytes) = (self.retention.series(), self.inference.state_mib << 20);
        Ok(processor::Options { keep, counted: self.inference.counted()?, partitions, state_bytes })
    }
}

impl Inference {
    /// How long devices have for coming back after an outage of ours.
    pub const fn grace(&self) -> Duration {
        Duration::from_secs(self.reconnect_seconds)
    }

    /// The types of events that are counted.
    pub fn counted(&self) -> anyhow::Result<Counted> {
        Counted::new(self.count_events.iter().cloned()).context("inference.count_events")
    }

    /// The models, each with what it may do. Every message names the setting.
    pub fn drafts(&self) -> anyhow::Result<Vec<(Draft, Mode)>> {
        let mut drafts: Vec<(Draft, Mode)> = Vec::new();
        for model in &self.models {
            let (draft, mode) =
                model.draft().with_context(|| format!("inference.models: {:?}", model.name))?;
            anyhow::ensure!(
                drafts.iter().all(|(other, _)| other.name != draft.name),
                "inference.models: there are two of the name {:?}",
                draft.name
            );
            drafts.push((draft, mode));
        }
        Ok(drafts)
    }

    /// Checks what types cannot say.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.state_mib > 0, "inference.state_mib: must be above zero");
        self.counted()?;
        self.rules()?;
        self.drafts().map(drop)
    }
}

impl Model {
    fn draft(&self) -> anyhow::Result<(Draft, Mode)> {
        let mode = Mode::from_name(&self.mode).context("mode: must be active, shadow or off")?;
        let parameters = Value::Object(self.parameters.clone());
        let draft =
            detectors::draft(&self.name, &self.detector, (&self.subjects, &self.metrics), &parameters)?;
        Ok((draft, mode))
    }
}
