//! `cornjacket models`: what series are watched with.

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use cornjacket_proto::admin::{
    Detector, ListModelsRequest, ListModelsResponse, Model, ModelMode, RegisterModelRequest,
    SetModelModeRequest,
};
use cornjacket_proto::json;
use prost_types::Struct;

use super::client::{Server, told};
use super::table;
use crate::config::Settings;
use crate::telemetry;

/// Flags of `cornjacket models`.
#[derive(Debug, Args)]
pub struct Models {
    #[command(flatten)]
    server: Server,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List the versions of all models.
    List,
    /// List what models can watch with, and an example of the parameters of each.
    Detectors,
    /// Register the next version of a model.
    Register {
        /// Its name.
        name: String,
        /// What it watches with.
        detector: String,
        /// The detector's parameters, as JSON.
        #[arg(default_value = "{}")]
        parameters: String,
        /// The subjects of the series that it watches, with * for any text; by default those of the version before, and
        /// all of them for the first.
        #[arg(long, value_parser = pattern)]
        subjects: Option<String>,
        /// Their metrics, likewise.
        #[arg(long, value_parser = pattern)]
        metrics: Option<String>,
        /// What it may do.
        #[arg(long, value_enum, default_value_t = Mode::Active)]
        mode: Mode,
    },
    /// Have a version of a model do something else: switch, roll back, stop.
    Set {
        /// Its name.
        name: String,
        /// Its version.
        #[arg(id = "model_version", value_name = "VERSION")]
        version: u32,
        /// What it may do.
        #[arg(value_enum)]
        mode: Mode,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Mode {
    /// It scores, and what it finds is an event.
    Active,
    /// It scores, and that is all.
    Shadow,
    /// It does nothing, and forgets.
    Off,
}

impl From<Mode> for ModelMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Active => Self::Active,
            Mode::Shadow => Self::Shadow,
            Mode::Off => Self::Off,
        }
    }
}

impl Models {
    /// Does it, and prints what came of it.
    pub fn run(self, settings: &Settings) -> anyhow::Result<()> {
        let Self { server, verb } = self;
        telemetry::block_on(&settings.log, async {
            match verb {
                Verb::List => {
                    let models = list(&server, settings).await?.models;
                    let head =
                        ["NAME", "VERSION", "MODE", "DETECTOR", "SUBJECTS", "METRICS", "PARAMETERS", "BY"];
                    print!("{}", table::of(&head, models.into_iter().map(row)));
                }
                Verb::Detectors => {
                    let detectors = list(&server, settings).await?.detectors;
                    let row = |one: Detector| [one.name, one.version, json(one.example.unwrap_or_default())];
                    print!(
                        "{}",
                        table::of(&["DETECTOR", "VERSION", "EXAMPLE"], detectors.into_iter().map(row))
                    );
                }
                Verb::Register { name, detector, parameters, subjects, metrics, mode } => {
                    let model = Model {
                        name,
                        detector,
                        subjects: subjects.unwrap_or_default(),
                        metrics: metrics.unwrap_or_default(),
                        parameters: Some(structure(&parameters)?),
                        mode: ModelMode::from(mode).into(),
                        ..Model::default()
                    };
                    register(&server, settings, model).await?;
                }
                Verb::Set { name, version, mode } => {
                    let mode = ModelMode::from(mode);
                    let request = SetModelModeRequest { name, version, mode: mode.into() };
                    let mut admin = server.admin(settings).await?;
                    admin.set_model_mode(request.clone()).await.map_err(|status| told(&status))?;
                    println!("{}/{}: {}", request.name, request.version, mode_name(mode));
                }
            }
            Ok(())
        })
    }
}

async fn list(server: &Server, settings: &Settings) -> anyhow::Result<ListModelsResponse> {
    let request = ListModelsRequest { name: String::new() };
    let listed = server.admin(settings).await?.list_models(request).await;
    Ok(listed.map_err(|status| told(&status))?.into_inner())
}

async fn register(server: &Server, settings: &Settings, model: Model) -> anyhow::Result<()> {
    let request = RegisterModelRequest { model: Some(model) };
    let registered = server.admin(settings).await?.register_model(request).await;
    let model = registered.map_err(|status| told(&status))?.into_inner().model.unwrap_or_default();
    println!("{}", registered_as(&model));
    Ok(())
}

/// What it came to be, with what it did not say of its series.
fn registered_as(model: &Model) -> String {
    let Model { name, version, subjects, metrics, .. } = model;
    format!("{name}/{version}: {}, subjects {subjects}, metrics {metrics}", mode_name(model.mode()))
}

/// An empty one is taken for a slip: what it would mean to a shell is not what it would mean here.
fn pattern(text: &str) -> Result<String, &'static str> {
    match text {
        "" => Err("must not be empty: * stands for all, and without the flag it is as in the version before"),
        text => Ok(text.to_owned()),
    }
}

fn row(model: Model) -> [String; 8] {
    let mode = mode_name(model.mode());
    let parameters = json(model.parameters.unwrap_or_default());
    let by = if model.created_by.is_empty() { "settings".to_owned() } else { model.created_by };
    let version = model.version.to_string();
    [model.name, version, mode, model.detector, model.subjects, model.metrics, parameters, by]
}

fn mode_name(mode: ModelMode) -> String {
    mode.as_str_name().trim_start_matches("MODEL_MODE_").to_lowercase()
}

fn json(parameters: Struct) -> String {
    json::from_struct(parameters).to_string()
}

fn structure(text: &str) -> anyhow::Result<Struct> {
    json::to_struct(text).context("parameters: must be a JSON object")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_not_empty_and_absence_is_said_by_leaving_it_out() {
        assert!(pattern("").expect_err("nothing").contains("* stands for all"));
        assert_eq!(pattern("pump-*").as_deref(), Ok("pump-*"));
    }

    #[test]
    fn what_was_registered_says_its_scope() {
        let model = Model {
            name: "hot".into(),
            version: 2,
            subjects: "pump-*".into(),
            metrics: "temperature".into(),
            mode: ModelMode::Shadow.into(),
            ..Model::default()
        };
        assert_eq!(registered_as(&model), "hot/2: shadow, subjects pump-*, metrics temperature");
    }
}
