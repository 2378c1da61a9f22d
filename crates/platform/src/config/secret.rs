//! What must not be seen: where it comes from, and how it is kept from being printed.

use std::fmt;
use std::fs;

use anyhow::Context;
use figment::value::{Dict, Value};
use serde::{Deserialize, Serialize, Serializer};

/// What a value begins with that names where a secret is.
const SCHEME: &str = "secret://";

/// A setting that is never printed.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret that was made here.
    pub const fn new(secret: String) -> Self {
        Self(secret)
    }

    /// What nobody should see; nothing when it is not set.
    pub fn expose(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|secret| !secret.is_empty())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { "***" })
    }
}

/// Puts what `secret://…` names in its place, in any setting. An error names the setting, and never the secret.
pub(super) fn resolve(settings: Dict) -> anyhow::Result<Dict> {
    resolve_below("", settings)
}

fn resolve_below(path: &str, settings: Dict) -> anyhow::Result<Dict> {
    let resolved = settings.into_iter().map(|(name, value)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let value = match value {
            Value::Dict(tag, inner) => Value::Dict(tag, resolve_below(&path, inner)?),
            Value::String(tag, text) if text.starts_with(SCHEME) => {
                Value::String(tag, read(&text[SCHEME.len()..]).with_context(|| path.clone())?)
            }
            other => other,
        };
        Ok((name, value))
    });
    resolved.collect()
}

/// The secret at `provider/place`; another provider is another arm.
fn read(named: &str) -> anyhow::Result<String> {
    match named.split_once('/') {
        Some(("file", place)) => {
            let path = format!("/{}", place.trim_start_matches('/'));
            let text = fs::read_to_string(&path).with_context(|| format!("secret://file{path}"))?;
            let secret = text.trim_end_matches(['\r', '\n']).to_owned();
            anyhow::ensure!(!secret.is_empty(), "secret://file{path}: the file is empty");
            Ok(secret)
        }
        _ => anyhow::bail!("a secret is named as secret://file/path/to/it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("hunter2".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Secret::default()), "*** none");
        assert_eq!(serde_json::to_string(&secret).expect("text"), "\"***\"");
        assert_eq!(secret.expose(), Some("hunter2"));
    }

    #[test]
    fn a_file_is_read_wherever_it_is_named_and_its_name_is_in_the_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("secret");
        std::fs::write(&path, "hunter2\n").expect("written");
        let settings = |named: String| {
            let auth: Dict = [("secret".to_owned(), Value::from(named))].into();
            let settings: Dict = [("auth".to_owned(), Value::from(auth))].into();
            resolve(settings)
        };
        let resolved = settings(format!("secret://file{}", path.display())).expect("it is there");
        assert_eq!(resolved["auth"].find_ref("secret").and_then(Value::as_str), Some("hunter2"));
        for (named, said) in [("secret://file/nowhere", "/nowhere"), ("secret://vault/x", "secret://file/")] {
            let refused = settings(named.to_owned()).expect_err("nothing is there");
            let refused = format!("{refused:#}");
            assert!(refused.contains("auth.secret") && refused.contains(said), "{refused}");
        }
    }
}
