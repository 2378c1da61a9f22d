//! What is wrong with a field of a request, and where.

use cornjacket_proto::google::rpc::bad_request::FieldViolation;
use serde::Serialize;

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// Its path by JSON names, such as `event.sensorReading.measurements[1].value`; empty when it is the request itself.
    pub field: String,
    /// What is wrong, for the caller's developer.
    pub description: String,
    /// What is wrong, for programs: `UPPER_SNAKE_CASE`.
    pub reason: String,
    /// Line of the JSON text where reading stopped, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Column of that line, in bytes, from 1; 0 when the line is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
}

impl FieldError {
    /// An error outside of JSON text.
    pub fn new(field: impl Into<String>, reason: &str, description: impl Into<String>) -> Self {
        let (field, description) = (field.into(), description.into());
        Self { field, description, reason: reason.to_owned(), line: None, column: None }
    }

    /// As the error model of gRPC has it.
    pub(crate) fn violation(&self) -> FieldViolation {
        FieldViolation {
            field: self.field.clone(),
            description: self.description.clone(),
            reason: self.reason.clone(),
        }
    }

    /// With names as JSON has them: `event.sensor_reading` is `event.sensorReading`. Keys in brackets stay.
    pub(crate) fn from_violation(violation: FieldViolation) -> Self {
        Self::new(json_path(&violation.field), &violation.reason, violation.description)
    }

    /// For a text that was read with `columns` before it on its first line.
    pub(crate) fn moved_left(mut self, columns: usize) -> Self {
        if self.line == Some(1) {
            self.column = self.column.map(|column| column.saturating_sub(columns));
        }
        self
    }
}

fn json_path(path: &str) -> String {
    let mut json = String::with_capacity(path.len());
    let mut brackets = 0_usize;
    let mut upper = false;
    for character in path.chars() {
        match character {
            '[' => brackets += 1,
            ']' => brackets = brackets.saturating_sub(1),
            '_' if brackets == 0 => {
                upper = true;
                continue;
            }
            _ => {}
        }
        json.push(if upper { character.to_ascii_uppercase() } else { character });
        upper = false;
    }
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_named_as_in_json() {
        let cases = [
            ("event.sensor_reading.measurements[1].value", "event.sensorReading.measurements[1].value"),
            ("event.attributes[a_b].uri_ref", "event.attributes[a_b].uriRef"),
            ("page_size", "pageSize"),
            ("", ""),
        ];
        for (proto, json) in cases {
            assert_eq!(json_path(proto), json);
        }
    }
}
