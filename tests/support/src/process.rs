//! A running child process: signals, waiting with a deadline, its log in every error.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::Signal;

use crate::{tree, wait};

/// How long the kernel may take to end a killed process: long enough for a loaded machine.
const KILL_DEADLINE: Duration = Duration::from_secs(10);

/// Lines of the log that errors show.
const TAIL: usize = 40;

/// A child process, made by [`Program::spawn`](crate::Program::spawn). Dropping it kills it, with all its
/// descendants; when the thread is panicking the end of its log is printed too.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Option<PathBuf>,
}

impl Process {
    pub(crate) fn new(name: String, child: Child, log: Option<PathBuf>) -> Self {
        Self { name, child, log }
    }

    /// Its resident memory in bytes.
    pub fn memory(&self) -> anyhow::Result<u64> {
        self.status("VmRSS:")
    }

    /// The most that it has ever had of it.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        self.status("VmHWM:")
    }

    /// A line of `/proc/PID/status` (proc(5)) that is a size, in bytes.
    fn status(&self, name: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        Ok(kib.with_context(|| format!("no {name} in {status}"))? << 10)
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// All that it logged so far, and what its earlier runs left in the same file.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = self.log.as_ref().and_then(|path| fs::read(path).ok()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub async fn wait(&mut self, deadline: Duration) -> anyhow::Result<ExitStatus> {
        let what = format!("{} (process {}) ends", self.name, self.id());
        let ended = wait::until_some(deadline, &what, async || self.exited().transpose()).await;
        ended.and_then(|status| status).map_err(|error| self.explain(&error))
    }

    /// Waits until `ready` holds; fails as soon as the process ends instead.
    pub async fn until_ready<C>(&mut self, deadline: Duration, what: &str, mut ready: C) -> anyhow::Result<()>
    where
        C: AsyncFnMut() -> bool,
    {
        let outcome = wait::until_some(deadline, what, async || match self.exited() {
            Ok(None) => ready().await.then_some(Ok(())),
            Ok(Some(status)) => Some(Err(anyhow::format_err!("{status} before {what}"))),
            Err(error) => Some(Err(error)),
        });
        outcome.await.and_then(|ready| ready).map_err(|error| self.explain(&error))
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        tree::signal(self.id(), signal)
    }

    /// Sends a signal to this process and all its descendants.
    pub fn signal_all(&self, signal: Signal) -> anyhow::Result<()> {
        tree::signal_all(self.id(), signal)
    }

    /// Sends a signal that asks it to end, and waits for that.
    pub async fn stop(&mut self, signal: Signal, deadline: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(signal)?;
        self.wait(deadline).await
    }

    /// Kills it and all its descendants, and waits until they are gone.
    pub async fn kill9(&mut self) -> anyhow::Result<()> {
        let members = self.kill_tree()?;
        let gone = wait::until(KILL_DEADLINE, "its descendants are gone", async || {
            members.iter().all(|pid| tree::is_gone(*pid))
        });
        gone.await.with_context(|| format!("killing {}", self.name))
    }

    /// Stops it and all its descendants in their tracks (SIGSTOP).
    pub fn pause(&self) -> anyhow::Result<()> {
        tree::freeze(self.id()).map(drop)
    }

    /// Lets it and all its descendants go on (SIGCONT).
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal_all(Signal::CONT)
    }

    /// Blocks until it has ended, at most for `patience`: for a drop, which cannot await.
    pub(crate) fn linger(&mut self, patience: Duration) {
        let start = Instant::now();
        while matches!(self.exited(), Ok(None)) && start.elapsed() < patience {
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// An ended process has no descendants any more, and its number may be another's.
    fn kill_tree(&mut self) -> anyhow::Result<BTreeSet<u32>> {
        if self.exited()?.is_some() {
            return Ok(BTreeSet::new());
        }
        let members = tree::kill(self.id())?;
        self.child.wait()?;
        Ok(members)
    }

    fn explain(&self, error: &anyhow::Error) -> anyhow::Error {
        anyhow::format_err!("{error:#}\n{}", self.tail())
    }

    /// The end of the log, under a heading.
    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL)..];
        format!("the end of the log of {} (process {}):\n{}", self.name, self.id(), tail.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() && self.log.is_some() {
            eprintln!("{}", self.tail());
        }
        if let Err(error) = self.kill_tree() {
            eprintln!("{}: {error:#}", self.name);
        }
    }
}
