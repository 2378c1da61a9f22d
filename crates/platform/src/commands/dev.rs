//! `cornjacket dev`: everything in one process, on this machine alone.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::config::{AuthMode, Secret, Settings};
use crate::roles::Role;
use crate::server::{self, Running};
use crate::{identity, telemetry};

/// The data folder, unless another one is named.
pub const DATA: &str = ".cornjacket";
/// The file in it that keeps the secret which tokens are signed with.
const SECRET: &str = "secret";

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
        if settings.mqtt.url.is_empty() {
            "embedded:".clone_into(&mut settings.mqtt.url);
        }
        if settings.mqtt.sessions.is_empty() {
            settings.mqtt.sessions = folder.join("mqtt").display().to_string();
        }
        if settings.auth.mode == AuthMode::Required && !has_keys(settings) {
            make_secret(&folder.join(SECRET))?;
            adopt_secret(settings, &folder)?;
        }
        telemetry::block_on(&settings.log, async {
            let Some(running) = server::start(settings, &Role::ALL).await? else { return Ok(()) };
            print!("{}", welcome(settings, &running)?);
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
        let secret = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        settings.auth.secret = Secret::new(secret.trim().to_owned());
    }
    Ok(())
}

/// Makes the secret once; tokens outlive a restart. Nobody else on this machine may read it.
fn make_secret(path: &Path) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    // Under another name until it is whole: a crash leaves no half of it.
    let unfinished = path.with_extension("new");
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
    let mut file = file.with_context(|| unfinished.display().to_string())?;
    writeln!(file, "{}", cornjacket_auth::new_secret())?;
    file.sync_all()?;
    fs::rename(&unfinished, path).with_context(|| path.display().to_string())
}

fn welcome(settings: &Settings, running: &Running) -> anyhow::Result<String> {
    let at =
        |name| running.addresses.iter().find(|(role, _)| *role == name).map_or("-", |(_, address)| address);
    let (ingest, query, gateway, ops) = (at("ingest"), at("query"), at("gateway"), at("ops"));
    let mqtt = at("mqtt");
    let store = &settings.store.url;
    let token = identity::own_token(&settings.auth, "developer")?;
    let header = if token.is_some() { " -H \"authorization: Bearer $TOKEN\"" } else { "" };
    let token = token.map_or_else(String::new, |token| {
        format!(
            "\nA token for everything, good for 24 hours (`cornjacket token` makes others):\n\n  export TOKEN={token}\n"
        )
    });
    Ok(format!(
        r#"Cornjacket is ready. Everything is kept in {store}

  gateway  http://{gateway}/api/v1/…   HTTP/JSON; /openapi.json says what there is
  ingest   {ingest}   gRPC
  query    {query}   gRPC
  mqtt     {mqtt}   MQTT; `cornjacket devices add` makes accounts
  ops      http://{ops}/readyz   /livez   /metrics
{token}
Send an event, then ask for the state of its device:

  curl{header} -H 'content-type: application/json' -d '{{"id": "1", "source": "readme", "type": "sensor.reading",
    "subject": "pump-7", "sensorReading": {{"measurements": [{{"metric": "temperature", "value": 21.5, "unit": "Cel"}}]}}}}' \
    http://{gateway}/api/v1/ingest/events

  grpcurl -plaintext{header} -d '{{"projection": "device_state", "subject": "pump-7"}}' \
    {query} cornjacket.query.v1.QueryService/GetProjection

Stop with Ctrl-C.
"#
    ))
}
