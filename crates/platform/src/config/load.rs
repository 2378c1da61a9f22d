//! Putting the sources of settings together, the strongest last.

use std::path::{Path, PathBuf};

use anyhow::Context;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use figment::value::{Dict, Value};

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
    let resolved = secret::resolve(whole(&figment)?)?;
    // Merged, so that an error still says where the setting is from.
    let settings: Settings = figment
        .merge(Serialized::defaults(resolved))
        .extract()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    settings.check()?;
    Ok(settings)
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
        if let Some(key) = name.strip_prefix(PREFIX) {
            ours.push((key.to_lowercase().replace("__", "."), value));
        }
    }
    Ok(ours)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn flags(flags: &[(&str, &str)]) -> Sources {
        let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Sources { flags, ..Sources::default() }
    }

    fn refusal(sources: &Sources) -> String {
        load(sources).expect_err("refused").to_string()
    }

    #[test]
    fn the_defaults_are_settings() {
        let settings = load(&Sources::default()).expect("the defaults are valid");
        assert_eq!(settings.limits(), cornjacket_domain::Limits::default());
        assert_eq!(settings.group_commit(), cornjacket_ingest::group_commit::Options::default());
    }

    #[test]
    fn flags_win_over_dotenv_and_dotenv_over_the_file() {
        let folder = std::env::temp_dir().join(format!("cornjacket-load-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::File::create(&path)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .expect("written");
            Some(path)
        };
        let file = write("c.toml", "[bus]\npartitions = 2\nretention_hours = 2\nformat = \"json\"\n");
        let dotenv =
            write(".env", "CORNJACKET__BUS__PARTITIONS=3\nCORNJACKET__BUS__RETENTION_HOURS=3\nOTHER=x\n");
        let settings = load(&Sources { file, dotenv, ..flags(&[("bus.partitions", "4")]) }).expect("valid");
        assert_eq!((settings.bus.partitions, settings.bus.retention_hours), (4, 3));
        assert_eq!(settings.bus.format, super::super::settings::RecordFormat::Json);
        std::fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn an_unknown_key_is_refused_and_the_nearest_named() {
        assert_eq!(
            refusal(&flags(&[("stroe.url", "x")])),
            "unknown setting \"stroe.url\"; did you mean \"store.url\"?"
        );
        assert!(refusal(&flags(&[("zzz", "x")])).contains("unknown setting \"zzz\""));
    }

    #[test]
    fn a_bad_value_is_refused_and_the_setting_named() {
        assert!(refusal(&flags(&[("bus.partitions", "many")])).contains("bus.partitions"));
        assert!(refusal(&flags(&[("bus.partitions", "0")])).contains("bus.partitions"));
        assert!(refusal(&flags(&[("bus.url", "rabbit://x")])).contains("bus.url"));
        assert!(refusal(&flags(&[("ingest.listen", "8080")])).contains("ingest.listen"));
        let mixed = flags(&[("store.url", "sqlite:///x"), ("bus.url", "kafka://h:1")]);
        assert!(refusal(&mixed).contains("bus.url"));
    }
}
