//! Why something is not an event.

use crate::violation::{Invalid, Reason, Violation};

/// Why bytes are not an event that could be checked. The same bytes would be refused again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The JSON of the message, or of the data in binary mode, is malformed.
    #[error("{}{description} at line {line}, column {column}", at(.field))]
    Json {
        /// `data` in binary mode, otherwise empty: the whole message.
        field: &'static str,
        /// From 1.
        line: usize,
        /// From 1, in bytes; 0 before the first.
        column: usize,
        /// What was expected.
        description: String,
    },
    /// Fields are bad, by CloudEvents' names (`data`, `time`, `[3].source`); never none.
    #[error("{} bad field(s), first {}: {}", .0.len(), .0[0].field, .0[0].description)]
    Fields(Vec<Violation>),
}

fn at(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}

impl Unreadable {
    pub(super) fn json(field: &'static str, error: &serde_json::Error) -> Self {
        Self::Json { field, line: error.line(), column: error.column(), description: without_place(error) }
    }

    pub(super) fn field(field: impl Into<String>, reason: Reason, description: impl Into<String>) -> Self {
        Self::Fields(vec![Violation::new(field, reason, description)])
    }

    /// The same, where the event is item `index` of a batch.
    pub(super) fn in_item(self, index: usize) -> Self {
        let place = |violation: Violation| {
            let dot = if violation.field.is_empty() { "" } else { "." };
            Violation { field: format!("[{index}]{dot}{}", violation.field), ..violation }
        };
        match self {
            Self::Fields(violations) => Self::Fields(violations.into_iter().map(place).collect()),
            malformed @ Self::Json { .. } => malformed,
        }
    }
}

impl From<Unreadable> for Invalid {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Fields(violations) => Self::Fields(violations),
            Unreadable::Json { field, line, column, description } => {
                let description = format!("{description} at line {line}, column {column}");
                Self::Fields(vec![Violation::new(field, Reason::Grammar, description)])
            }
        }
    }
}

/// What serde says, without the line and column that it ends with.
pub(super) fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place).map_or_else(|| text.clone(), ToOwned::to_owned)
}
