//! A PostgreSQL with TimescaleDB of a test's own, as WebAssembly under Node: for one connection at a time.

use std::path::Path;
use std::time::Duration;

use crate::{Process, Program, Scratch, ports};

/// Compiling the WebAssembly takes a few seconds.
const DEADLINE: Duration = Duration::from_mins(1);

/// A running server, which ends with this value. It shows what TimescaleDB does with our statements, not what it does
/// with several connections, nor how fast it is.
#[derive(Debug)]
pub struct Timescale {
    port: u16,
    _process: Process,
    _scratch: Scratch,
}

impl Timescale {
    /// Starts a server with the extension made, and waits until it listens.
    pub async fn start() -> anyhow::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        let packages = root.join(".ci/cache/npm/node_modules");
        anyhow::ensure!(packages.exists(), "{} is missing: run tests/setup", packages.display());
        let (scratch, port) = (Scratch::new("timescale")?, ports::free_port()?);
        let program = Program::new("node")
            .arg(root.join("tests/npm/timescale.mjs"))
            .arg(packages)
            .arg(port.to_string())
            .log(scratch.path().join("log"))
            .quits_with_us();
        let mut process = program.spawn()?;
        // It accepts connections as soon as it listens; one that is closed again does no harm.
        let ready = async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok();
        process.until_ready(DEADLINE, "TimescaleDB listens", ready).await?;
        Ok(Self { port, _process: process, _scratch: scratch })
    }

    /// URL of its database.
    #[must_use]
    pub fn url(&self) -> String {
        format!("postgres://postgres:postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }
}
