//! `cornjacket dev`: everything in one process, on this machine alone.

mod example;

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::config::{AuthMode, Secret, Settings, Tls};
use crate::roles::Role;
use crate::{identity, server, telemetry};

/// The data folder, unless another one is named.
pub const DATA: &str = ".cornjacket";
/// The file in it that keeps the secret which tokens are signed with.
const SECRET: &str = "secret";
/// The file in it that keeps what endpoints' secrets are kept under.
const SECRET_KEY: &str = "secret-key";
/// The file in it that has what `cornjacket listen` verifies with.
pub const LISTEN_KEY: &str = "listen-key";

/// Flags of `cornjacket dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// The folder that keeps everything: remove it to begin anew.
    #[arg(long, default_value = DATA, value_name = "FOLDER")]
    data: PathBuf,
}

impl Dev {
    /// Runs until a signal to stop.
    pub fn run(self, settings: &mut Settings) -> anyhow::Result<()> {
        fs::create_dir_all(&self.data).with_context(|| format!("--data {}", self.data.display()))?;
        let folder = self.data.canonicalize()?;
        if settings.store.url.is_empty() {
            settings.store.url = format!("sqlite://{}", folder.join("cornjacket.db").display());
        }
        if cfg!(feature = "broker") && settings.mqtt.url.is_empty() {
            "embedded:".clone_into(&mut settings.mqtt.url);
        }
        if settings.mqtt.sessions.is_empty() {
            settings.mqtt.sessions = folder.join("mqtt").display().to_string();
        }
        if settings.auth.mode == AuthMode::Required && !has_keys(settings) {
            make_once(&folder.join(SECRET), cornjacket_auth::new_secret)?;
            adopt_secret(settings, &folder)?;
        }
        if settings.actions.secret_key.expose().is_none() {
            let path = folder.join(SECRET_KEY);
            make_once(&path, cornjacket_actions::secrets::new_key)?;
            settings.actions.secret_key = Secret::new(read(&path)?);
        }
        if settings.actions.allow.is_empty() {
            settings.actions.allow.push("127.0.0.1".to_owned());
        }
        telemetry::block_on(&settings.log, async {
            let Some(running) = server::start(settings, &Role::ALL).await? else { return Ok(()) };
            example::make(settings, &folder).await?;
            print!("{}", welcome(settings, &running.addresses)?);
            running.until_stopped().await
        })
    }
}

fn has_keys(settings: &Settings) -> bool {
    let auth = &settings.auth;
    auth.secret.expose().is_some() || !auth.jwks.is_empty() || !auth.issuer.is_empty()
}

/// Takes on the secret of the `cornjacket dev` whose data is in `folder`, where the settings have no keys of their own.
pub fn adopt_secret(settings: &mut Settings, folder: &Path) -> anyhow::Result<()> {
    let path = folder.join(SECRET);
    if !has_keys(settings) && path.is_file() {
        settings.auth.secret = Secret::new(read(&path)?);
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    Ok(text.trim().to_owned())
}

/// Makes a secret once; what it is for outlives a restart. Nobody else on this machine may read it.
pub(super) fn make_once(path: &Path, make: impl FnOnce() -> String) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    // Under another name until it is whole: a crash leaves no half of it.
    let unfinished = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let mut file = file.with_context(|| unfinished.display().to_string())?;
    writeln!(file, "{}", make())?;
    file.sync_all()?;
    fs::rename(&unfinished, path).with_context(|| path.display().to_string())
}

/// What curl (`--`) and grpcurl (`-`) have to be told to trust our listeners, and to be let in.
fn tls_flags(tls: &Tls, dashes: &str) -> String {
    let mut flags = String::new();
    let mut flag = |name: &str, file: &str| {
        let _ = write!(flags, " {dashes}{name} {file}");
    };
    if tls.is_on() && !tls.ca.is_empty() {
        flag("cacert", &tls.ca);
    }
    if !tls.client_ca.is_empty()
        && let Some(own) = tls.own()
    {
        flag("cert", own.certificate.1);
        flag("key", own.key.1);
    }
    flags
}

fn welcome(settings: &Settings, addresses: &[(&'static str, String)]) -> anyhow::Result<String> {
    let at = |name| addresses.iter().find(|(role, _)| *role == name).map_or("-", |(_, address)| address);
    let (ingest, query, gateway, ops) = (at("ingest"), at("query"), at("gateway"), at("ops"));
    let (mqtt, actions) = (at("mqtt"), at("actions"));
    let store = &settings.store.url;
    let token = identity::own_token(&settings.auth, "developer")?;
    let tls = &settings.tls;
    let scheme = |is_on| if is_on { "https" } else { "http" };
    let (http, ops_http) = (scheme(tls.is_on()), scheme(tls.ops));
    let (curl, grpcurl) =
        (tls_flags(tls, "--"), if tls.is_on() { tls_flags(tls, "-") } else { " -plaintext".to_owned() });
    let header = if token.is_some() { " -H \"authorization: Bearer $TOKEN\"" } else { "" };
    let token = token.map_or_else(String::new, |token| {
        format!(
            "\nA token for everything, good for 24 hours (`cornjacket token` makes others):\n\n  export TOKEN={token}\n"
        )
    });
    Ok(format!(
        r#"Cornjacket is ready. Everything is kept in {store}

  gateway  {http}://{gateway}/api/v1/…   HTTP/JSON; /openapi.json says what there is
  ingest   {ingest}   gRPC
  query    {query}   gRPC
  actions  {actions}   gRPC
  mqtt     {mqtt}   MQTT; `cornjacket devices add` makes accounts
  ops      {ops_http}://{ops}/readyz   /livez   /metrics
{token}
Send an event, then ask for the state of its device:

  curl{curl}{header} -H 'content-type: application/json' -d '{{"id": "1", "source": "readme", "type": "sensor.reading",
    "subject": "pump-7", "sensorReading": {{"measurements": [{{"metric": "temperature", "value": 21.5, "unit": "Cel"}}]}}}}' \
    {http}://{gateway}/api/v1/ingest/events

  grpcurl{grpcurl}{header} -d '{{"projection": "device_state", "subject": "pump-7"}}' \
    {query} cornjacket.query.v1.QueryService/GetProjection

Stop with Ctrl-C.
"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    fn welcomed(flags: &[(&str, &str)]) -> String {
        let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let settings = load(&Sources { flags, ..Sources::default() }).expect("good settings");
        let addresses = [("gateway", "127.0.0.1:1".to_owned()), ("ops", "127.0.0.1:2".to_owned())];
        welcome(&settings, &addresses).expect("a welcome")
    }

    #[test]
    fn what_it_says_to_type_is_by_tls_where_that_is_on() {
        let plain = welcomed(&[]);
        assert!(!plain.contains("https://") && plain.contains("grpcurl -plaintext"), "{plain}");
        let own = [("tls.certificate", "/own.pem"), ("tls.key", "/own.key"), ("tls.ca", "/ca.pem")];
        let tls = welcomed(&own);
        assert!(!tls.contains("http://127.0.0.1:1") && tls.contains("http://127.0.0.1:2/readyz"), "{tls}");
        assert!(tls.contains("curl --cacert /ca.pem") && tls.contains("grpcurl -cacert /ca.pem"), "{tls}");
        let ops = welcomed(&[&own[..], &[("tls.ops", "true")]].concat());
        assert!(!ops.contains("http://"), "{ops}");
        let mutual = welcomed(&[&own[..], &[("tls.client_ca", "/ca.pem")]].concat());
        assert!(mutual.contains("--cert /own.pem --key /own.key"), "{mutual}");
        assert!(mutual.contains("-cert /own.pem -key /own.key"), "{mutual}");
    }
}
