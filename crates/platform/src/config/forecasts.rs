//! Which limits series are not expected to cross, as the settings say.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use cornjacket_domain::Patterns;
use cornjacket_inference::history::MOST_HORIZON;
use cornjacket_inference::name;
use cornjacket_inference::outlook::Rule;
use cornjacket_proto::events::anomaly_detected::Severity;
use serde::{Deserialize, Serialize};

use super::Inference;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Forecast {
    name: String,
    #[serde(default = "all")]
    subjects: String,
    #[serde(default = "all")]
    metrics: String,
    upper: Option<f64>,
    lower: Option<f64>,
    horizon_seconds: u64,
    step_seconds: Option<u64>,
    #[serde(default = "five_minutes")]
    every_seconds: u64,
    #[serde(default = "half")]
    probability: f64,
    #[serde(default = "warning")]
    severity: String,
}

fn all() -> String {
    "*".to_owned()
}

const fn five_minutes() -> u64 {
    300
}

const fn half() -> f64 {
    0.5
}

fn warning() -> String {
    "warning".to_owned()
}

impl Inference {
    /// The rules by which to look ahead. Every message names the setting.
    pub fn rules(&self) -> anyhow::Result<Vec<Arc<Rule>>> {
        let mut rules: Vec<Arc<Rule>> = Vec::new();
        for forecast in &self.forecasts {
            let rule =
                forecast.rule().with_context(|| format!("inference.forecasts: {:?}", forecast.name))?;
            ensure!(
                rules.iter().all(|other| other.name != rule.name),
                "inference.forecasts: there are two of the name {:?}",
                rule.name
            );
            rules.push(Arc::new(rule));
        }
        Ok(rules)
    }
}

impl Forecast {
    fn rule(&self) -> anyhow::Result<Rule> {
        name::check(&self.name).map_err(|problem| anyhow::anyhow!("name: {problem}"))?;
        let Self { upper, lower, probability, every_seconds, .. } = *self;
        ensure!(upper.is_some() || lower.is_some(), "upper or lower: must be given");
        for (name, limit) in [("upper", upper), ("lower", lower)] {
            ensure!(limit.is_none_or(f64::is_finite), "{name}: must be a number");
        }
        ensure!((0.1..=1.0).contains(&probability), "probability: must be 0.1 to 1");
        ensure!(every_seconds > 0, "every_seconds: must be above zero");
        ensure!(self.horizon_seconds > 0, "horizon_seconds: must be above zero");
        ensure!(self.step_seconds != Some(0), "step_seconds: must be above zero");
        let steps = self.step_seconds.map_or(1, |step| self.horizon_seconds.div_ceil(step));
        ensure!(steps <= MOST_HORIZON, "horizon_seconds: must be at most {MOST_HORIZON} steps");
        let pattern = |text: &str| Patterns::Any(vec![text.to_owned()]);
        Ok(Rule {
            name: self.name.clone(),
            subjects: pattern(&self.subjects),
            metrics: pattern(&self.metrics),
            upper,
            lower,
            horizon: Duration::from_secs(self.horizon_seconds),
            step: self.step_seconds.map(Duration::from_secs),
            every: Duration::from_secs(every_seconds),
            probability,
            severity: severity(&self.severity)?,
        })
    }
}

fn severity(name: &str) -> anyhow::Result<Severity> {
    match name {
        "info" => Ok(Severity::Info),
        "warning" => Ok(Severity::Warning),
        "critical" => Ok(Severity::Critical),
        _ => anyhow::bail!("severity: must be info, warning or critical"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(more: &str) -> Result<Rule, String> {
        let forecast: Forecast =
            toml::from_str(&format!("name = \"hot\"\n{more}")).map_err(|error| error.to_string())?;
        forecast.rule().map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_wrong_is_named() {
        let known = rule("upper = 80.0\nhorizon_seconds = 3600").expect("a rule");
        assert_eq!((known.upper, known.lower, known.step), (Some(80.0), None, None));
        assert_eq!((known.every, known.severity), (Duration::from_mins(5), Severity::Warning));
        for (wrong, named) in [
            ("horizon_seconds = 60", "upper or lower"),
            ("upper = 80.0", "horizon_seconds"),
            ("upper = nan\nhorizon_seconds = 60", "upper"),
            ("upper = 1.0\nhorizon_seconds = 0", "horizon_seconds"),
            ("upper = 1.0\nhorizon_seconds = 501\nstep_seconds = 1", "horizon_seconds"),
            ("upper = 1.0\nhorizon_seconds = 60\nstep_seconds = 0", "step_seconds"),
            ("upper = 1.0\nhorizon_seconds = 60\nevery_seconds = 0", "every_seconds"),
            ("upper = 1.0\nhorizon_seconds = 60\nprobability = 0.05", "probability"),
            ("upper = 1.0\nhorizon_seconds = 60\nseverity = \"loud\"", "severity"),
            ("upper = 1.0\nhorizon_seconds = 60\nsubject = \"x\"", "subject"),
        ] {
            let refused = rule(wrong).expect_err(wrong);
            assert!(refused.contains(named), "{wrong}: {refused}");
        }
    }
}
