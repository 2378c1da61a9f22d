//! A Mosquitto for a measurement, with the configuration of `deploy/mosquitto` but for its accounts and its disk.

use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

const DEPLOYED: &str = include_str!("../../../../../deploy/mosquitto/mosquitto.conf");
const DEADLINE: Duration = Duration::from_secs(20);

/// A running broker. Dropped, it is killed, and its data is gone.
#[derive(Debug)]
pub struct Mosquitto {
    _process: Child,
    _folder: tempfile::TempDir,
    port: u16,
}

impl Mosquitto {
    /// Starts one on a free port of this machine.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let file = folder.path().join("mosquitto.conf");
        std::fs::write(&file, configuration(port))?;
        let mut command = Command::new(program());
        command.arg("-c").arg(file).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().context("mosquitto: must be installed")?;
        let listens = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(DEADLINE, listens).await.context("Mosquitto does not start")?;
        Ok(Self { _process: process, _folder: folder, port })
    }

    /// Where it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// For `mqtt.url`.
    pub fn url(&self) -> String {
        format!("mqtt://cornjacket:none@127.0.0.1:{}", self.port)
    }
}

/// As it is deployed, but on another port, in memory, and open: the devices of a measurement have no accounts.
fn configuration(port: u16) -> String {
    let lines = DEPLOYED.lines().filter_map(|line| match line.split_once(' ') {
        Some(("persistence", _)) => Some("persistence false".to_owned()),
        Some(("listener", _)) => Some(format!("listener {port} 127.0.0.1")),
        Some(("allow_anonymous", _)) => Some("allow_anonymous true".to_owned()),
        Some((
            "password_file"
            | "acl_file"
            | "persistence_location"
            | "autosave_on_changes"
            | "autosave_interval",
            _,
        )) => None,
        _ => Some(line.to_owned()),
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Debian keeps it where only root looks.
fn program() -> &'static str {
    let debian = "/usr/sbin/mosquitto";
    if Path::new(debian).exists() { debian } else { "mosquitto" }
}
