//! A PostgreSQL server of a test's own.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use rustix::process::Signal;

use crate::{Process, Program, Scratch, ports};

/// initdb, start and recovery after a crash each take about a second; a loaded machine takes a multiple.
const DEADLINE: Duration = Duration::from_mins(1);

/// Room for test programs that run side by side, each with several pools.
const SETTINGS: [(&str, &str); 3] =
    [("listen_addresses", "127.0.0.1"), ("max_connections", "300"), ("shared_buffers", "512MB")];

/// A running server on 127.0.0.1 and on a Unix socket, with fsync on, the superuser `cornjacket` and no
/// passwords. Dropping it ends it and removes its data.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    program: Program,
    port: u16,
    scratch: Scratch,
}

impl Postgres {
    /// Makes and starts a server, and waits until it takes connections.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with settings of `postgresql.conf` on top: `[("fsync", "off")]`.
    pub async fn start_with(settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let scratch = Scratch::new("postgres")?;
        let data = scratch.path().join("data");
        initdb(&data).await?;
        let port = ports::free_port()?;
        let program = postgres(&scratch, &data, port, settings)?;
        let process = program.spawn()?;
        let mut server = Self { process, program, port, scratch };
        server.until_ready().await?;
        Ok(server)
    }

    /// URL of a database over TCP.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        format!("postgres://cornjacket@127.0.0.1:{}/{database}", self.port)
    }

    /// URL of a database over the Unix socket, whose folder stands percent-encoded in the host's place.
    #[must_use]
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.scratch.path().to_string_lossy().replace('/', "%2F");
        format!("postgres://cornjacket@{folder}:{}/{database}", self.port)
    }

    /// The server's process: its id, its log.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it in order: connections are cut, everything is written (fast shutdown).
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        self.process.stop(Signal::INT, DEADLINE).await.map(drop)
    }

    /// Kills the postmaster and all its children (SIGKILL).
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.process.kill9().await
    }

    /// Starts it again on the same data and port, after ending it in order if it still runs.
    pub async fn restart_on_same_port(&mut self) -> anyhow::Result<()> {
        if self.process.exited()?.is_none() {
            self.stop().await?;
        }
        self.process = self.program.spawn()?;
        self.until_ready().await
    }

    /// Stops the postmaster and all its children in their tracks (SIGSTOP).
    pub fn pause(&self) -> anyhow::Result<()> {
        self.process.pause()
    }

    /// Lets a paused server go on (SIGCONT).
    pub fn resume(&self) -> anyhow::Result<()> {
        self.process.resume()
    }

    async fn until_ready(&mut self) -> anyhow::Result<()> {
        let pg_isready = Program::new(client("pg_isready"));
        let pg_isready = pg_isready.args(["--host", "127.0.0.1", "--port", &self.port.to_string()]);
        let what = "PostgreSQL takes connections";
        self.process.until_ready(DEADLINE, what, async || pg_isready.output(DEADLINE).await.is_ok()).await
    }
}

impl Drop for Postgres {
    /// SIGKILL would leave a System V shared memory segment behind, of which the kernel has a few thousand:
    /// an immediate shutdown does not. What is left after that, the process guard kills.
    fn drop(&mut self) {
        if matches!(self.process.exited(), Ok(None)) {
            let _ = self.process.signal(Signal::QUIT);
            let _ = self.process.resume();
            self.process.linger(Duration::from_secs(2));
        }
    }
}

/// Path of a client program of PostgreSQL, or its bare name when only clients are installed, in `PATH`.
pub(crate) fn client(name: &str) -> PathBuf {
    server_program(name).unwrap_or_else(|_| name.into())
}

/// Path of a program of the newest installed server. Debian keeps them out of `PATH`, by version.
fn server_program(name: &str) -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| Path::new(&format!("/usr/lib/postgresql/{version}/bin/postgres")).exists())
        .max()
        .context("no PostgreSQL server under /usr/lib/postgresql: run tests/setup")?;
    Ok(format!("/usr/lib/postgresql/{newest}/bin/{name}").into())
}

/// Nothing is lost when initdb does not sync: the server itself does, at its first checkpoint.
async fn initdb(data: &Path) -> anyhow::Result<()> {
    let program = Program::new(server_program("initdb")?)
        .args([
            "--username=cornjacket",
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--no-sync",
            "--pgdata",
        ])
        .arg(data)
        .unprivileged();
    program.output(DEADLINE).await.map(drop)
}

fn postgres(scratch: &Scratch, data: &Path, port: u16, settings: &[(&str, &str)]) -> anyhow::Result<Program> {
    let port = port.to_string();
    let folder = scratch.path().to_string_lossy();
    let own = [("port", port.as_str()), ("unix_socket_directories", &folder)];
    let settings = SETTINGS.iter().chain(&own).chain(settings);
    Ok(Program::new(server_program("postgres")?)
        .arg("-D")
        .arg(data)
        .args(settings.flat_map(|(name, value)| ["-c".to_owned(), format!("{name}={value}")]))
        .log(scratch.path().join("log"))
        .unprivileged()
        .quits_with_us())
}
