//! Figures and their medians, as a table and as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde::Serialize;

/// A figure, as the JSON file has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    key: String,
    value: f64,
    unit: &'static str,
}

/// Every value that was measured, by key, in the order in which the keys first came.
#[derive(Debug, Default)]
pub struct Report {
    keys: Vec<(String, &'static str)>,
    values: BTreeMap<String, Vec<f64>>,
}

impl Report {
    /// Adds one run's value of a figure.
    pub fn add(&mut self, key: impl Into<String>, unit: &'static str, value: f64) {
        let key = key.into();
        if !self.values.contains_key(&key) {
            self.keys.push((key.clone(), unit));
        }
        self.values.entry(key).or_default().push(value);
    }

    /// The medians, in order.
    pub fn figures(&self) -> Vec<Figure> {
        let figure = |(key, unit): &(String, &'static str)| Figure {
            key: key.clone(),
            value: median(&self.values[key]),
            unit,
        };
        self.keys.iter().map(figure).collect()
    }

    /// A table with median, least and greatest value of each figure.
    pub fn table(&self) -> String {
        let width = self.keys.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
        let line = |key: &str, cells: [String; 3], unit: &str| {
            let [median, least, greatest] = cells;
            format!("{key:width$}  {median:>10}  {least:>10}  {greatest:>10}  {unit}")
        };
        let head = line("figure", ["median", "least", "greatest"].map(str::to_owned), "");
        let rows = self.keys.iter().map(|(key, unit)| {
            let values = &self.values[key];
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            line(key, [median(values), least, greatest].map(number), unit)
        });
        std::iter::once(head.trim_end().to_owned()).chain(rows).collect::<Vec<_>>().join("\n")
    }

    /// Writes the medians to a file.
    pub fn write_json(&self, path: &Path) -> anyhow::Result<()> {
        let json = serde_json::to_string_pretty(&self.figures())?;
        std::fs::write(path, json + "\n").with_context(|| format!("--json {}", path.display()))
    }
}

/// The middle value; of two middle ones, their mean.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    f64::midpoint(sorted[low], sorted[high])
}

/// Three digits that matter, and no more.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middling if middling >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_medians_in_the_order_of_their_first_run() {
        let mut report = Report::default();
        for value in [3.0, 1.0, 2.0] {
            report.add("z", "events/s", value);
            report.add("a", "ms", 10.0 * value);
        }
        let figures = report.figures();
        assert_eq!(figures[0], Figure { key: "z".into(), value: 2.0, unit: "events/s" });
        assert_eq!(figures[1], Figure { key: "a".into(), value: 20.0, unit: "ms" });
        assert!(
            report.table().lines().nth(2).is_some_and(|line| line.contains("10.0")),
            "{}",
            report.table()
        );
        assert!((median(&[1.0, 4.0]) - 2.5).abs() < f64::EPSILON);
    }
}
