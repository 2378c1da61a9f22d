//! What the parameters of all kinds have in common: how they are read, refused and named.

use std::time::Duration;

use cornjacket_proto::events::anomaly_detected::Severity;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ParameterError;

/// No time that a person states is longer: ten years, in seconds.
const LONGEST: f64 = 10.0 * 366.0 * 86_400.0;

/// Reads parameters; `null` is as good as none. An error names the field, from the outermost on.
pub(crate) fn read<P: DeserializeOwned>(parameters: &Value) -> Result<P, ParameterError> {
    let none = Value::Object(Map::new());
    let parameters = if parameters.is_null() { &none } else { parameters };
    if !parameters.is_object() {
        return Err(refused("parameters", "must be an object"));
    }
    serde_path_to_error::deserialize(parameters).map_err(|error| {
        let path = error.path().to_string();
        let field = if path == "." { "parameters" } else { path.as_str() };
        refused(field, error.inner().to_string())
    })
}

/// What a kind says of a field that it does not take.
pub(crate) fn refused(field: &str, problem: impl Into<String>) -> ParameterError {
    ParameterError { field: field.to_owned(), problem: problem.into() }
}

/// A number, and neither infinite nor NaN.
pub(crate) fn finite(field: &str, value: f64) -> Result<(), ParameterError> {
    if value.is_finite() { Ok(()) } else { Err(refused(field, "must be a number")) }
}

/// A number above zero.
pub(crate) fn positive(field: &str, value: f64) -> Result<(), ParameterError> {
    finite(field, value)?;
    if value > 0.0 { Ok(()) } else { Err(refused(field, format!("must be above zero, is {value}"))) }
}

/// Zero or a number above it.
pub(crate) fn not_negative(field: &str, value: f64) -> Result<(), ParameterError> {
    finite(field, value)?;
    if value >= 0.0 { Ok(()) } else { Err(refused(field, format!("must not be negative, is {value}"))) }
}

/// A count between two others, which are allowed as well.
pub(crate) fn between(field: &str, value: u32, least: u32, most: u32) -> Result<(), ParameterError> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(refused(field, format!("must be {least} to {most}, is {value}")))
}

/// Zero to ten years, in seconds.
pub(crate) fn seconds(field: &str, value: f64) -> Result<Duration, ParameterError> {
    not_negative(field, value)?;
    if value <= LONGEST {
        return Ok(Duration::from_secs_f64(value));
    }
    Err(refused(field, format!("must be at most ten years, is {value} s")))
}

/// A microsecond to ten years, in seconds.
pub(crate) fn some_seconds(field: &str, value: f64) -> Result<Duration, ParameterError> {
    positive(field, value)?;
    let duration = seconds(field, value)?;
    if duration.as_micros() > 0 { Ok(duration) } else { Err(refused(field, "must be a microsecond or more")) }
}

/// A duration that was read, in microseconds.
pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// How much what is found matters, by the names that parameters have for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Grade {
    /// Worth knowing.
    Info,
    /// Worth looking at.
    #[default]
    Warning,
    /// Worth waking somebody.
    Critical,
}

impl Grade {
    pub const fn severity(self) -> Severity {
        match self {
            Self::Info => Severity::Info,
            Self::Warning => Severity::Warning,
            Self::Critical => Severity::Critical,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        inner: Inner,
        severity: Grade,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        count: u32,
    }

    #[test]
    fn an_error_names_the_field() {
        let field = |parameters| read::<Outer>(&parameters).expect_err("refused").field;
        assert_eq!(field(json!({ "inner": { "count": -1 } })), "inner.count");
        assert_eq!(field(json!({ "inner": { "cuont": 1 } })), "inner.cuont");
        assert_eq!(field(json!({ "upper": 1 })), "upper");
        assert_eq!(field(json!({ "severity": "dire" })), "severity");
        assert_eq!(field(json!([1])), "parameters");
        let none = read::<Outer>(&Value::Null).expect("defaults");
        assert_eq!((none.inner.count, none.severity.severity()), (0, Severity::Warning));
    }

    #[test]
    fn ranges_are_checked() {
        for value in [f64::NAN, f64::INFINITY, -1.0, 0.0] {
            assert!(positive("x", value).is_err() && some_seconds("x", value).is_err());
        }
        assert!(not_negative("x", 0.0).is_ok() && not_negative("x", f64::NAN).is_err());
        assert!(some_seconds("x", 1e-9).is_err() && seconds("x", 1e300).is_err());
        assert!(between("x", 0, 1, 5).is_err() && between("x", 5, 1, 5).is_ok());
    }
}
