//! How well and how fast detectors find what people labelled: `cargo run --release -p cornjacket-inference --example nab --
//! FOLDER [PARAMETERS…]`, where the folder has the benchmark's series and each parameter is a JSON object for the forest.
//!
//! The threshold is the best for all series, and the best for the half that parameters were chosen by, at which the other half
//! is held out. `findings` is what anomalies come to with the threshold that the parameters have, whatever is best.

use std::path::Path;
use std::process::ExitCode;

use cornjacket_inference::detectors::{KINDS, Model};
use cornjacket_inference::nab::{Outcome, Profile, Scorer, Series, read};
use serde_json::{Value, json};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(folder) = arguments.next() else {
        eprintln!("usage: nab FOLDER [PARAMETERS…]");
        return ExitCode::FAILURE;
    };
    let series = match read(Path::new(&folder)) {
        Ok(series) => series,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let own: Vec<(String, Value)> =
        arguments.map(|text| ("random_cut_forest".to_owned(), text.parse().unwrap_or_default())).collect();
    let runs = if own.is_empty() { configurations() } else { own };
    println!(
        "| detector | all | tuned by | held out | findings | points/s a core | bytes a series |\n| --- | --- | --- | --- | --- | --- | --- |"
    );
    for (kind, parameters) in &runs {
        run(&series, kind, parameters);
    }
    ExitCode::SUCCESS
}

fn configurations() -> Vec<(String, Value)> {
    let forest = |parameters: Value| ("random_cut_forest".to_owned(), parameters);
    vec![
        ("windowed_gaussian".to_owned(), json!({ "window": 6_400, "step": 100 })),
        forest(json!({})),
        forest(json!({ "features": ["value"], "trees": 50, "samples": 256 })),
        forest(json!({ "trees": 40, "samples": 256 })),
    ]
}

/// What a run over a series comes to.
struct Watched {
    scores: Vec<f64>,
    findings: Vec<f64>,
    bytes: usize,
    saved: usize,
}

fn watch(model: &dyn Model, series: &Series) -> Watched {
    let mut detector = model.start(1);
    let mut watched = Watched { scores: Vec::new(), findings: Vec::new(), bytes: 0, saved: 0 };
    for sample in &series.samples {
        let verdict = detector.observe(sample);
        watched.scores.push(verdict.score.unwrap_or(0.0));
        watched.findings.push(if verdict.finding.is_some() { 1.0 } else { 0.0 });
    }
    watched.bytes = detector.bytes();
    watched.saved = detector.save().len();
    watched
}

fn run(series: &[Series], kind: &str, parameters: &Value) {
    let Some(kind) = KINDS.iter().find(|known| known.name() == kind) else { return };
    let model = match kind.configure(parameters) {
        Ok(model) => model,
        Err(error) => return eprintln!("{parameters}: {error}"),
    };
    let before = processor_seconds();
    let watched: Vec<(&Series, Watched)> =
        series.iter().map(|series| (series, watch(model.as_ref(), series))).collect();
    let seconds = processor_seconds() - before;
    #[allow(clippy::cast_precision_loss, reason = "fewer than 2^52")]
    let points = series.iter().map(|series| series.samples.len()).sum::<usize>() as f64;
    let judge = |column: fn(&Watched) -> &[f64], which: fn(&Series) -> bool| {
        let mut scorer = Scorer::new(Profile::STANDARD);
        for (series, watched) in watched.iter().filter(|(series, _)| which(series)) {
            scorer.add(&series.windows, column(watched));
        }
        scorer
    };
    let scores: fn(&Watched) -> &[f64] = |watched| &watched.scores;
    let tuned = judge(scores, |series| !series.held_out()).best();
    let held_out = judge(scores, Series::held_out).at(tuned.threshold);
    let all = judge(scores, |_| true).best();
    let findings = judge(|watched| &watched.findings, |_| true).at(0.5);
    let most =
        |bytes: fn(&Watched) -> usize| watched.iter().map(|(_, watched)| bytes(watched)).max().unwrap_or(0);
    print!("| {} `{parameters}` ", kind.name());
    print!("| {} | {} | {} | {} ", told(&all), told(&tuned), told(&held_out), told(&findings));
    println!(
        "| {:.0} | {} ({} saved) |",
        points / seconds,
        most(|watched| watched.bytes),
        most(|watched| watched.saved)
    );
}

fn told(outcome: &Outcome) -> String {
    let Outcome { normalised, found, windows, false_alarms, threshold, .. } = outcome;
    format!("{normalised:.2} ({found}/{windows}, {false_alarms} false, from {threshold:.4})")
}

/// How long this process has run, by the scheduler's account: what others do on the machine does not count.
fn processor_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos: f64 = text.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
    nanos / 1e9
}
