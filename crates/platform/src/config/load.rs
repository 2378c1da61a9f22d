//! Putting the sources of settings together, the strongest last.

use std::path::{Path, PathBuf};

use anyhow::Context;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Value};

use super::refused::{Place, refused};
use super::settings::Settings;
use super::{keys, secret};

const DEFAULTS: &str = include_str!("config.default.toml");
const PREFIX: &str = "CORNJACKET__";

/// Where settings come from, beside the defaults and the environment.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// A file of environment variables; none is missing.
    pub dotenv: Option<PathBuf>,
    /// `key=value` from the command line.
    pub flags: Vec<(String, String)>,
}

/// The settings in force. An error names the setting and, where it can, what was meant.
pub fn load(sources: &Sources) -> anyhow::Result<Settings> {
    let defaults = Figment::from(Toml::string(DEFAULTS));
    let known = key_list(&defaults)?;
    let mut figment = defaults;
    if let Some(path) = &sources.file {
        anyhow::ensure!(path.is_file(), "--config: there is no file {}", path.display());
        figment = figment.merge(Toml::file_exact(path));
    }
    for (key, value) in sources.dotenv.as_deref().map(dotenv).transpose()?.unwrap_or_default() {
        figment = figment.merge(setting(&key, &value));
    }
    figment = figment.merge(Env::prefixed(PREFIX).split("__"));
    for (key, value) in &sources.flags {
        figment = figment.merge(setting(key, value));
    }
    for key in key_list(&figment)? {
        if let Some(problem) = keys::check(&key, &known) {
            anyhow::bail!("{problem}");
        }
    }
    let given = whole(&figment)?;
    let resolved = Value::from(secret::resolve(given.clone())?);
    let settings: Settings = serde_path_to_error::deserialize(&resolved)
        .map_err(|error| refused(error, &given, |place| source(sources, place)))?;
    settings.check()?;
    Ok(settings)
}

/// Where what is in force at a place is from: the strongest that sets it, or what it is in.
fn source(sources: &Sources, place: &Place) -> String {
    let keys = place.keys();
    let is_meant = |key: &str| keys.iter().any(|meant| meant.eq_ignore_ascii_case(key));
    let from_flag = || sources.flags.iter().rev().find(|(key, _)| is_meant(key));
    let variables = || std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let from_variable = || variables().find(|name| key_of(name).is_some_and(|key| is_meant(&key)));
    let from_dotenv = || {
        let path = sources.dotenv.as_deref()?;
        // It was read before.
        let ours = dotenv(path).unwrap_or_default();
        ours.iter().any(|(key, _)| is_meant(key)).then(|| path.display().to_string())
    };
    let from_file = || {
        let path = sources.file.as_deref()?;
        let file = Figment::from(Toml::file_exact(path));
        keys.iter().any(|key| file.find_value(key).is_ok()).then(|| path.display().to_string())
    };
    let flag = from_flag().map(|(key, _)| format!("--set {key}"));
    flag.or_else(from_variable).or_else(from_dotenv).or_else(from_file).unwrap_or("the defaults".to_owned())
}

/// The setting that an environment variable of ours is.
fn key_of(name: &str) -> Option<String> {
    let ours = name.get(..PREFIX.len()).filter(|prefix| prefix.eq_ignore_ascii_case(PREFIX))?;
    Some(name[ours.len()..].to_lowercase().replace("__", "."))
}

fn key_list(figment: &Figment) -> anyhow::Result<Vec<String>> {
    Ok(keys::leaves(&whole(figment)?))
}

fn whole(figment: &Figment) -> anyhow::Result<Dict> {
    match figment.find_value("").map_err(|error| anyhow::anyhow!("{error}"))? {
        Value::Dict(_, dict) => Ok(dict),
        _ => anyhow::bail!("settings are a table"),
    }
}

/// A value written as in the environment: a number, a flag, or text.
fn setting(key: &str, value: &str) -> Serialized<Value> {
    let value: Value = value.parse().expect("whatever is nothing else is text");
    Serialized::default(key, value)
}

/// Our variables of a `.env` file, as keys.
fn dotenv(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let mut ours = Vec::new();
    for variable in dotenvy::from_path_iter(path).with_context(|| path.display().to_string())? {
        let (name, value) = variable.with_context(|| path.display().to_string())?;
        if let Some(key) = key_of(&name) {
            ours.push((key, value));
        }
    }
    Ok(ours)
}

#[cfg(test)]
mod tests;
