//! A Mosquitto of a test's own, with the configuration that `deploy/mosquitto` has for everybody.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::program::is_root;
use crate::shared::from_environment;
use crate::{Process, Program, Scratch, ports};

/// It starts at once; a loaded machine takes a multiple.
const DEADLINE: Duration = Duration::from_secs(30);
const DEPLOYED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/mosquitto");
/// The account that reads.
const OURS: &str = "cornjacket";

/// Names a broker to use, set up as `deploy/mosquitto` says: `mqtt://cornjacket:password@host:port`. It must know the devices
/// `pump-7`, `pump-8` and `pump-9`, each with the password that [`password`] says; and leave clients their names
/// (`use_username_as_clientid false`), since each test has a session of its own there.
pub const MQTT_VARIABLE: &str = "CORNJACKET_TEST_MQTT";

/// A running broker on 127.0.0.1. Dropping it ends it and removes its data.
#[derive(Debug)]
pub struct Mosquitto {
    process: Process,
    program: Program,
    port: u16,
    scratch: Scratch,
}

/// A broker to publish at: one of the test's own, or the one that the environment names.
#[derive(Debug)]
pub struct Broker {
    /// For `mqtt.url`.
    pub url: String,
    /// Where it is.
    pub host: String,
    /// Where it listens.
    pub port: u16,
    /// Ends with it.
    _own: Option<Mosquitto>,
}

impl Broker {
    /// The one that the environment names, or else one that knows these devices.
    pub async fn get(devices: &[String]) -> anyhow::Result<Self> {
        let Some(url) = from_environment(MQTT_VARIABLE) else {
            let own = Mosquitto::start(devices).await?;
            return Ok(Self {
                url: own.url(),
                host: "127.0.0.1".to_owned(),
                port: own.port,
                _own: Some(own),
            });
        };
        let place = url.rsplit_once('@').and_then(|(_, place)| place.split_once(':'));
        let (host, port) =
            place.with_context(|| format!("{MQTT_VARIABLE}: mqtt://user:password@host:port"))?;
        Ok(Self { host: host.to_owned(), port: port.parse()?, url, _own: None })
    }
}

impl Mosquitto {
    /// Starts a broker that knows these devices beside our own account; see [`password`].
    pub async fn start(devices: &[String]) -> anyhow::Result<Self> {
        Self::start_with(devices, "").await
    }

    /// The same, with more lines in `acl`.
    pub async fn start_with(devices: &[String], acl: &str) -> anyhow::Result<Self> {
        let scratch = Scratch::new("mosquitto")?;
        let port = ports::free_port()?;
        for folder in ["config", "data"] {
            fs::create_dir(scratch.path().join(folder))?;
        }
        deploy(scratch.path(), port)?;
        let file = fs::File::options().append(true).open(scratch.path().join("config/acl"));
        file?.write_all(acl.as_bytes())?;
        passwords(&scratch.path().join("config/passwords"), devices).await?;
        open_to_all(scratch.path()).await?;
        let program = Program::new(server()).arg("-c").arg(scratch.path().join("config/mosquitto.conf"));
        let program = program.log(scratch.path().join("log")).unprivileged();
        let process = program.spawn()?;
        let mut broker = Self { process, program, port, scratch };
        broker.until_ready().await?;
        Ok(broker)
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// For `mqtt.url`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(OURS)
    }

    /// The same by another account.
    #[must_use]
    pub fn url_of(&self, account: &str) -> String {
        format!("mqtt://{account}:{}@127.0.0.1:{}", password(account), self.port)
    }

    /// The broker's process: its id, its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Takes an account away, as soon as the broker has read its files again.
    pub async fn revoke(&self, device: &str) -> anyhow::Result<()> {
        let file = self.scratch.path().join("config/passwords");
        Program::new("mosquitto_passwd").arg("-D").arg(file).arg(device).output(DEADLINE).await?;
        open_to_all(self.scratch.path()).await?;
        self.process.signal(Signal::HUP)
    }

    /// Ends it in order.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.stop(Signal::TERM, DEADLINE).await.map(drop)
    }

    /// Starts it again on the same data and port, after ending it in order if it still runs.
    pub async fn restart_on_same_port(&mut self) -> anyhow::Result<()> {
        if self.process.exited()?.is_none() {
            self.stop().await?;
        }
        self.process = self.program.spawn()?;
        self.until_ready().await
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let listens = async || TcpStream::connect(("127.0.0.1", self.port)).await.is_ok();
        self.process.until_ready(DEADLINE, "Mosquitto takes connections", listens).await
    }
}

/// What an account's password is in tests.
#[must_use]
pub fn password(account: &str) -> String {
    format!("{account}-password")
}

/// Lays out what is deployed, with another port and other folders.
fn deploy(scratch: &Path, port: u16) -> anyhow::Result<()> {
    let folder = scratch.display().to_string();
    for file in ["mosquitto.conf", "acl"] {
        let text = fs::read_to_string(Path::new(DEPLOYED).join(file)).with_context(|| file.to_owned())?;
        let text = text.replace("listener 1883", &format!("listener {port} 127.0.0.1"));
        fs::write(scratch.join("config").join(file), text.replace("/mosquitto/", &format!("{folder}/")))?;
    }
    Ok(())
}

/// Root's files are read by a broker that is not root's.
async fn open_to_all(folder: &Path) -> anyhow::Result<()> {
    if is_root() {
        Program::new("chmod").args(["-R", "a+rwX"]).arg(folder).output(DEADLINE).await?;
    }
    Ok(())
}

/// `mosquitto_passwd -U` hashes what is written in the clear.
async fn passwords(file: &Path, devices: &[String]) -> anyhow::Result<()> {
    let accounts = devices.iter().map(String::as_str).chain([OURS]);
    let lines: Vec<_> = accounts.map(|account| format!("{account}:{}\n", password(account))).collect();
    let lines = lines.concat();
    fs::write(file, lines)?;
    Program::new("mosquitto_passwd").arg("-U").arg(file).output(DEADLINE).await.map(drop)
}

/// Debian keeps it where only root looks.
fn server() -> &'static str {
    if Path::new("/usr/sbin/mosquitto").exists() { "/usr/sbin/mosquitto" } else { "mosquitto" }
}
