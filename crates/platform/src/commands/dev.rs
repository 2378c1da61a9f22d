//! `cornjacket dev`: everything in one process, on this machine alone.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::config::Settings;
use crate::roles::Role;
use crate::server::{self, Running};
use crate::telemetry;

/// Flags of `cornjacket dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// The folder that keeps everything: remove it to begin anew.
    #[arg(long, default_value = ".cornjacket", value_name = "FOLDER")]
    data: PathBuf,
}

impl Dev {
    /// Runs until a signal to stop.
    pub fn run(self, settings: &mut Settings) -> anyhow::Result<()> {
        if settings.store.url.is_empty() {
            std::fs::create_dir_all(&self.data).with_context(|| format!("--data {}", self.data.display()))?;
            let folder = self.data.canonicalize()?;
            settings.store.url = format!("sqlite://{}", folder.join("cornjacket.db").display());
        }
        telemetry::block_on(&settings.log, async {
            let running = server::start(settings, &Role::ALL).await?;
            print!("{}", welcome(settings, &running));
            running.until_stopped().await
        })
    }
}

fn welcome(settings: &Settings, running: &Running) -> String {
    let at =
        |name| running.addresses.iter().find(|(role, _)| *role == name).map_or("-", |(_, address)| address);
    let (ingest, query, ops) = (at("ingest"), at("query"), at("ops"));
    let store = &settings.store.url;
    format!(
        r#"Cornjacket is ready. Everything is kept in {store}

  ingest   {ingest}   gRPC
  query    {query}   gRPC
  ops      http://{ops}/readyz   /livez   /metrics

Send an event, then ask for the state of its device:

  grpcurl -plaintext -d '{{"event": {{"id": "1", "source": "readme", "type": "sensor.reading", "subject": "pump-7",
    "sensor_reading": {{"measurements": [{{"metric": "temperature", "value": 21.5, "unit": "Cel"}}]}}}}}}' \
    {ingest} cornjacket.ingest.v1.IngestService/Append

  grpcurl -plaintext -d '{{"projection": "device_state", "subject": "pump-7"}}' \
    {query} cornjacket.query.v1.QueryService/GetProjection

Stop with Ctrl-C.
"#
    )
}
