//! What is wrong with a setting, for people: which, from where, what was given, and what is wanted.

use figment::error::Kind;
use figment::value::{Dict, Num, Value};
use serde_path_to_error::{Path, Segment};

/// A setting's place: its tables, and the number of what is meant in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl Place {
    fn of(path: &Path) -> Self {
        let step = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        };
        Self(path.iter().filter_map(step).collect())
    }

    /// The keys of the tables that lead there, the nearest first: `inference.forecasts`, `inference`.
    pub fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for step in &self.0 {
            let Step::Key(key) = step else { break };
            keys.push(keys.last().map_or_else(|| key.clone(), |outer| format!("{outer}.{key}")));
        }
        keys.reverse();
        keys
    }

    fn written(&self) -> String {
        let steps = self.0.iter().enumerate().map(|(depth, step)| match step {
            Step::Key(key) if depth == 0 => key.clone(),
            Step::Key(key) => format!(".{key}"),
            Step::Index(index) => format!("[{index}]"),
        });
        steps.collect()
    }

    fn value<'a>(&self, settings: &'a Dict) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        let Step::Key(first) = first else { return None };
        rest.iter().try_fold(settings.get(first)?, |value, step| match (step, value) {
            (Step::Key(key), Value::Dict(_, dict)) => dict.get(key),
            (Step::Index(index), Value::Array(_, values)) => values.get(*index),
            _ => None,
        })
    }

    fn is_secret(&self) -> bool {
        matches!(self.0.last(), Some(Step::Key(key)) if key == "secret" || key == "password")
    }
}

/// Says it of the settings as they were given, whose places `source` names.
pub(super) fn refused(
    error: serde_path_to_error::Error<figment::Error>,
    given: &Dict,
    source: impl Fn(&Place) -> String,
) -> anyhow::Error {
    let mut place = Place::of(error.path());
    let kind = error.into_inner().kind;
    if let Kind::MissingField(field) = &kind {
        place.0.push(Step::Key(field.to_string()));
    }
    let value = if place.is_secret() { "what is not shown".to_owned() } else { said(place.value(given)) };
    let problem = match kind {
        Kind::MissingField(_) => "is missing".to_owned(),
        Kind::UnknownField(_, known) => format!("is no setting; here are {}", known.join(", ")),
        Kind::UnknownVariant(_, known) => format!("is {value}, and wanted is one of {}", known.join(", ")),
        Kind::InvalidType(_, wanted) | Kind::InvalidValue(_, wanted) | Kind::InvalidLength(_, wanted) => {
            format!("is {value}, and wanted is {}", in_words(&wanted))
        }
        Kind::Message(problem) => format!("is {value}: {problem}"),
        _ => format!("is {value}, which cannot be used"),
    };
    anyhow::anyhow!("{} ({}): {problem}", place.written(), source(&place))
}

/// What was given.
fn said(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(_, text)) => format!("{text:?}"),
        Some(Value::Char(_, letter)) => format!("\"{letter}\""),
        Some(Value::Bool(_, flag)) => flag.to_string(),
        Some(Value::Num(_, number)) => number_said(*number),
        Some(Value::Dict(..)) => "a table".to_owned(),
        Some(Value::Array(..)) => "a list".to_owned(),
        Some(Value::Empty(..)) | None => "nothing".to_owned(),
    }
}

fn number_said(number: Num) -> String {
    let natural = number.to_u128().map(|number| number.to_string());
    let whole = || number.to_i128().map(|number| number.to_string());
    let broken = || number.to_f64().map(|number| number.to_string());
    natural.or_else(whole).or_else(broken).unwrap_or_else(|| "a number".to_owned())
}

/// What is wanted, which the types say in words of their own.
fn in_words(wanted: &str) -> String {
    let most = |bits: u32| format!("a whole number from 0 to {}", u64::MAX >> (64 - bits));
    match wanted {
        "u8" => most(8),
        "u16" => most(16),
        "u32" => most(32),
        "u64" | "usize" | "u128" => "a whole number from 0 on".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a string" | "string" | "path string" => "a text".to_owned(),
        "a sequence" => "a list, such as [\"one\", \"two\"]".to_owned(),
        "socket address" => "an address with a port, such as 0.0.0.0:8080".to_owned(),
        other if other == "a map" || other.starts_with("struct ") => "a table".to_owned(),
        other => other.to_owned(),
    }
}
