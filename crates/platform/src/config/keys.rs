//! Finding keys that do not exist, and what was meant.

use figment::value::{Dict, Value};

/// How alike two keys must be (Jaro-Winkler, 0 to 1) for one to be suggested for the other.
const ALIKE: f64 = 0.8;

/// Every key that leads to a value, such as `store.url`.
pub(super) fn leaves(dict: &Dict) -> Vec<String> {
    dict.iter()
        .flat_map(|(key, value)| match value {
            Value::Dict(_, inner) => leaves(inner).iter().map(|leaf| format!("{key}.{leaf}")).collect(),
            _ => vec![key.clone()],
        })
        .collect()
}

/// What is wrong with `key`, when it is not known.
pub(super) fn check(key: &str, known: &[String]) -> Option<String> {
    if known.iter().any(|known| known == key) {
        return None;
    }
    let likeness = |known: &String| strsim::jaro_winkler(key, known);
    let nearest = known
        .iter()
        .filter(|known| likeness(known) > ALIKE)
        .max_by(|one, other| likeness(one).total_cmp(&likeness(other)));
    Some(match nearest {
        Some(nearest) => format!("unknown setting {key:?}; did you mean {nearest:?}?"),
        None => format!("unknown setting {key:?}; `cornjacket config` lists those there are"),
    })
}
