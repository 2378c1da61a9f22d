//! `remote`: a model server says how strange samples are, over the Open Inference Protocol v2.
//! KServe, Triton and MLServer speak it.
//!
//! Here is what such a model is; who asks the server is [`crate::RemoteScorer`], a consumer of its own.

use std::time::Duration;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ParameterError;
use super::parameters::{Grade, between, finite, read, refused};

/// Its name in settings, scores and anomalies.
pub const NAME: &str = "remote";
/// The version of how it is asked.
pub const VERSION: &str = "1";

/// Values that a sample can be seen with, at the most.
pub const WIDEST: u32 = 256;
/// No name is longer, in characters.
const LONGEST_NAME: usize = 128;

/// What a person sets.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Parameters {
    /// Where the server is: `http:` or `https:`, and what comes before `/v2`.
    pub url: String,
    /// The model's name there.
    pub model: String,
    /// Its version there. Unless given, the server chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The tensor that values are sent in, a row for each sample. `x` unless given.
    pub input: String,
    /// The tensor that scores come back in, 0 to 1. `score` unless given.
    pub output: String,
    /// How many of the last values of its series each sample is seen with, itself included and last, 1 to 256. A series that
    /// has fewer begins with its first value, repeated. 1 unless given.
    pub window: u32,
    /// Within how many milliseconds the server must have answered a request, 10 to 5,000. 1,000 unless given.
    pub deadline_ms: u32,
    /// The most samples of a request, 1 to 4,096. 256 unless given.
    pub batch: u32,
    /// An anomaly begins with a score at it or above, and is over with one below, 0 to 1. 0.9 unless given.
    pub threshold: f64,
    /// How much it matters.
    pub(crate) severity: Grade,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            url: String::new(),
            model: String::new(),
            version: None,
            input: "x".to_owned(),
            output: "score".to_owned(),
            window: 1,
            deadline_ms: 1_000,
            batch: 256,
            threshold: 0.9,
            severity: Grade::default(),
        }
    }
}

/// A model at a server.
#[derive(Clone, Debug)]
pub struct Remote {
    pub(crate) parameters: Parameters,
    /// Where it is asked.
    pub(crate) infer: Url,
}

impl Remote {
    /// The model that parameters describe. Fields that are absent have their defaults, unknown ones are refused.
    pub fn configure(parameters: &Value) -> Result<Self, ParameterError> {
        let parameters: Parameters = read(parameters)?;
        let infer = parameters.infer()?;
        for (field, text) in [
            ("model", Some(&parameters.model)),
            ("version", parameters.version.as_ref()),
            ("input", Some(&parameters.input)),
            ("output", Some(&parameters.output)),
        ] {
            text.map_or(Ok(()), |text| name(field, text))?;
        }
        between("window", parameters.window, 1, WIDEST)?;
        between("deadline_ms", parameters.deadline_ms, 10, 5_000)?;
        between("batch", parameters.batch, 1, 4_096)?;
        finite("threshold", parameters.threshold)?;
        if !(0.0..=1.0).contains(&parameters.threshold) {
            return Err(refused("threshold", format!("must be 0 to 1, is {}", parameters.threshold)));
        }
        Ok(Self { parameters, infer })
    }

    /// All parameters, with the defaults filled in.
    pub fn parameters(&self) -> Value {
        serde_json::to_value(&self.parameters).unwrap_or_default()
    }

    /// Parameters as an example.
    pub fn example() -> Value {
        json!({ "url": "http://localhost:8000", "model": "pump", "window": 16 })
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.parameters.deadline_ms.into())
    }
}

impl Parameters {
    /// `{url}/v2/models/{model}[/versions/{version}]/infer`.
    fn infer(&self) -> Result<Url, ParameterError> {
        if self.url.is_empty() {
            return Err(refused("url", "is missing: where the model server is, such as http://models:8000"));
        }
        let mut url = Url::parse(&self.url).map_err(|error| refused("url", error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(refused("url", "must begin with http: or https:"));
        }
        // Parameters are shown to whoever lists models.
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("url", "must not hold a user or a password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refused("url", "must end before any ? or #"));
        }
        let mut path = url.path_segments_mut().map_err(|()| refused("url", "must name a host"))?;
        path.pop_if_empty().extend(["v2", "models", &self.model]);
        if let Some(version) = &self.version {
            path.extend(["versions", version]);
        }
        path.push("infer");
        drop(path);
        Ok(url)
    }
}

/// A name that may stand in a path. Two of them are no names there.
fn name(field: &str, text: &str) -> Result<(), ParameterError> {
    let is_long = text.chars().count() > LONGEST_NAME;
    if text.is_empty() || is_long || text.chars().any(char::is_control) || matches!(text, "." | "..") {
        return Err(refused(
            field,
            format!("must be 1 to {LONGEST_NAME} characters, no control characters, and not . or .."),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn infer(parameters: &Value) -> String {
        Remote::configure(parameters).expect("parameters").infer.to_string()
    }

    #[test]
    fn the_server_is_asked_where_the_protocol_says() {
        let at = |url: &str| infer(&json!({ "url": url, "model": "pump" }));
        assert_eq!(at("http://models:8000"), "http://models:8000/v2/models/pump/infer");
        assert_eq!(at("https://models/inside/"), "https://models/inside/v2/models/pump/infer");
        let named = json!({ "url": "http://m", "model": "a/b ?", "version": "3" });
        assert_eq!(infer(&named), "http://m/v2/models/a%2Fb%20%3F/versions/3/infer");
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let good = json!({ "url": "http://m", "model": "pump" });
        for (field, value) in [
            ("url", json!("models:8000")),
            ("url", json!("file:///etc/passwd")),
            ("url", json!("http://ann:secret@m")),
            ("url", json!("http://m?x")),
            ("url", json!("")),
            ("model", json!("")),
            ("model", json!("..")),
            ("version", json!("")),
            ("input", json!("\n")),
            ("output", json!("")),
            ("window", json!(0)),
            ("window", json!(257)),
            ("deadline_ms", json!(9)),
            ("deadline_ms", json!(5_001)),
            ("batch", json!(0)),
            ("threshold", json!(1.5)),
            ("severity", json!("dire")),
            ("retries", json!(3)),
        ] {
            let mut parameters = good.clone();
            parameters[field] = value;
            let error = Remote::configure(&parameters).expect_err("refused");
            assert_eq!(error.field, field, "{error}");
        }
        assert_eq!(Remote::configure(&json!({ "url": "http://m" })).expect_err("refused").field, "model");
        let error = Remote::configure(&json!({})).expect_err("refused");
        assert!(error.field == "url" && error.problem.starts_with("is missing"), "{error}");
    }

    #[test]
    fn parameters_make_a_round_trip() {
        let made = Remote::configure(&Remote::example()).expect("parameters").parameters();
        assert_eq!(Remote::configure(&made).expect("parameters").parameters(), made);
        assert_eq!((made["window"].clone(), made["batch"].clone()), (json!(16), json!(256)));
        assert!(made.get("version").is_none());
    }
}
