//! Signals to stop, whenever they come.

use std::io::{Read, Write, pipe};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use cornjacket_testkit::{ports, wait};

use super::cornjacket::is_ready;

const DEADLINE: Duration = Duration::from_secs(30);
/// What a pipe holds on Linux.
const FULL: usize = 64 << 10;

/// `cornjacket dev` that cannot print its welcome is ready, and not yet at the place where it waits to be stopped.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_ready_is_stopped_in_order() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut printed, mut full) = pipe()?;
    full.write_all(&vec![b' '; FULL])?;
    let mut dev = Command::new(env!("CARGO_BIN_EXE_cornjacket"));
    dev.arg("dev").arg("--data").arg(folder.path()).current_dir(folder.path()).process_group(0);
    let mut ops = 0;
    for door in ["INGEST", "QUERY", "GATEWAY", "MQTT", "OPS"] {
        ops = ports::free_port()?;
        dev.env(format!("CORNJACKET__{door}__LISTEN"), format!("127.0.0.1:{ops}"));
    }
    let mut running = Running(dev.stdin(Stdio::null()).stdout(full).stderr(Stdio::null()).spawn()?);
    // It has its side of the pipe as well.
    drop(dev);
    wait::until(DEADLINE, "it is ready", async || is_ready(ops).await).await?;
    running.terminate()?;
    // Long enough for a signal that nobody minds to end it.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let reader = std::thread::spawn(move || printed.read_to_end(&mut Vec::new()));
    let status = wait::until_some(DEADLINE, "it ends", async || running.0.try_wait().transpose()).await??;
    assert!(status.success(), "{status}");
    assert!(reader.join().is_ok());
    Ok(())
}

struct Running(std::process::Child);

impl Running {
    fn terminate(&self) -> anyhow::Result<()> {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status()?;
        anyhow::ensure!(sent.success(), "kill: {sent}");
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
