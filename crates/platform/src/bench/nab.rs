//! `cornjacket bench nab`: how well and how fast detectors find what people labelled.
//!
//! The series go through the processor, with every model registered as an operator would, in transactions of a SQLite store
//! ([`stream`]). What it says is read back from there, compared to the last bit with what each detector says that is alone with
//! a series, and judged as the benchmark does.

mod stream;

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use cornjacket_domain::Partitions;
use cornjacket_inference::detectors::{self, Made, Model};
use cornjacket_inference::nab::{Judgement, Outcome, Said, Series, read};
use cornjacket_store::Draft;
use serde_json::{Value, json};

use self::stream::{Streamed, key_of, stream};
use super::report::Report;
use super::{Options, cpu};
use crate::config::Settings;

/// Flags of `cornjacket bench nab`.
#[derive(Debug, Args)]
pub struct Nab {
    /// The benchmark's folder, with data/ and labels/.
    #[arg(default_value = "../shared/nab")]
    folder: PathBuf,
    /// Parameters of one more random cut forest to be measured, as a JSON object. May be repeated.
    #[arg(long, value_name = "JSON")]
    forest: Vec<Value>,
    #[command(flatten)]
    options: Options,
}

/// A model, under the name by which figures and the store know it.
#[derive(Debug)]
struct Configuration {
    draft: Draft,
    model: Box<dyn Model>,
}

impl Configuration {
    fn new(name: &str, kind: &str, parameters: &Value) -> anyhow::Result<Self> {
        let draft = detectors::draft(name, kind, ("*", "*"), parameters)?;
        let Made::Here(model) = detectors::model(&draft.detector, &draft.parameters)? else {
            anyhow::bail!("{kind}: runs elsewhere")
        };
        Ok(Self { draft, model })
    }
}

/// The forest as it is when nobody sets anything, a larger one, the benchmark's own baseline, and those that were asked for.
fn configurations(asked: &[Value]) -> anyhow::Result<Vec<Configuration>> {
    let forest = "random_cut_forest";
    let mut all = vec![
        Configuration::new(STANDARD, forest, &json!({}))?,
        Configuration::new("large", forest, &json!({ "trees": 40, "samples": 256 }))?,
        Configuration::new("gaussian", "windowed_gaussian", &json!({ "window": 6_400, "step": 100 }))?,
    ];
    for (number, parameters) in (1..).zip(asked) {
        let asked = Configuration::new(&format!("forest_{number}"), forest, parameters);
        all.push(asked.with_context(|| format!("--forest {parameters}"))?);
    }
    Ok(all)
}

const STANDARD: &str = "standard";

/// Measures, prints a table, and writes the figures.
pub async fn run(settings: &Settings, nab: &Nab) -> anyhow::Result<()> {
    let series = read(&nab.folder)?;
    anyhow::ensure!(!series.is_empty(), "{}: has no labelled series", nab.folder.display());
    let configurations = configurations(&nab.forest)?;
    let mut report = Report::default();
    for run in 1..=nab.options.runs {
        eprintln!("run {run} of {}", nab.options.runs);
        measure(settings, &series, &configurations, &mut report).await?;
    }
    println!("{}", report.table());
    println!(
        "{} series of the benchmark, {} samples, through the processor, on SQLite in a temporary folder; standard profile. Held \
         out: the half that no parameter was chosen by, with the threshold of the other half. Findings: the anomalies, with the \
         threshold that the model has. Bytes: of the series that takes most. Points a second of processor time: of a detector \
         alone with the series; through the processor, of all the models together.",
        series.len(),
        samples(&series)
    );
    nab.options.json.as_ref().map_or(Ok(()), |path| report.write_json(path))
}

async fn measure(
    settings: &Settings,
    series: &[Series],
    configurations: &[Configuration],
    report: &mut Report,
) -> anyhow::Result<()> {
    let folder = tempfile::tempdir_in(".")?;
    let url = format!("sqlite://{}", folder.path().canonicalize()?.join("nab.db").display());
    let drafts: Vec<&Draft> = configurations.iter().map(|one| &one.draft).collect();
    let before = processor_seconds()?;
    let streamed = stream(&url, settings.processor(Partitions::ONE)?, series, &drafts).await?;
    let took = processor_seconds()? - before;
    for (configuration, streamed) in configurations.iter().zip(&streamed) {
        let name = &configuration.draft.name;
        judge(name, &Judgement::of(series, &streamed.said), report);
        let per_second = alone(configuration, series, &streamed.said)?;
        let key = if name == STANDARD { "infer.points_per_s" } else { &format!("nab.{name}_points_per_s") };
        report.add(key, "points/s", per_second);
        bytes(configuration, streamed, report)?;
    }
    report.add("nab.processor_points_per_s", "points/s", samples(series) / took);
    Ok(())
}

fn judge(name: &str, judgement: &Judgement, report: &mut Report) {
    let Judgement { all, tuned, held_out, findings } = judgement;
    for (outcome, what) in [(all, "all"), (tuned, "tuned by"), (held_out, "held out"), (findings, "findings")]
    {
        let Outcome { normalised, found, windows, false_alarms, threshold, .. } = outcome;
        eprintln!(
            "{name}, {what}: {normalised:.2} ({found} of {windows}, {false_alarms} false, from {threshold:.4})"
        );
    }
    report.add(format!("nab.{name}"), "of 100", all.normalised);
    report.add(format!("nab.{name}_held_out"), "of 100", held_out.normalised);
    report.add(format!("nab.{name}_findings"), "of 100", findings.normalised);
}

/// How many samples a second of processor time the detector takes that is alone with each series, saying the same.
fn alone(configuration: &Configuration, series: &[Series], streamed: &[Said]) -> anyhow::Result<f64> {
    let Configuration { draft, model } = configuration;
    let before = processor_seconds()?;
    let alone: Vec<Said> = series
        .iter()
        .map(|series| Said::of(model.as_ref(), detectors::seed(&key_of(series), &draft.name), series))
        .collect();
    let took = processor_seconds()? - before;
    for ((series, alone), streamed) in series.iter().zip(&alone).zip(streamed) {
        if let Some(sample) = alone.differs(streamed) {
            anyhow::bail!(
                "{}, {}: the processor says something else of sample {sample}",
                draft.name,
                series.name
            );
        }
    }
    Ok(samples(series) / took)
}

/// What the states come to, in the store and in memory.
fn bytes(configuration: &Configuration, streamed: &Streamed, report: &mut Report) -> anyhow::Result<()> {
    let (mut saved, mut in_memory) = (0, 0);
    for state in &streamed.states {
        saved = saved.max(state.len());
        in_memory = in_memory.max(configuration.model.restore(state)?.bytes());
    }
    let name = &configuration.draft.name;
    report.add(format!("nab.{name}_saved_bytes"), "B", count(saved));
    report.add(format!("nab.{name}_memory_bytes"), "B", count(in_memory));
    Ok(())
}

fn processor_seconds() -> anyhow::Result<f64> {
    cpu::of(std::process::id())
}

fn samples(series: &[Series]) -> f64 {
    count(series.iter().map(|series| series.samples.len()).sum())
}

#[allow(clippy::cast_precision_loss, reason = "fewer than 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
