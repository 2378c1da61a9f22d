//! What to run: a program with its arguments, environment, log and privileges.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};

use crate::{Process, spawner};

/// User and group `nobody`, by the number they have on every Linux.
pub(crate) const NOBODY: u32 = 65_534;

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program to run, any number of times. It never outlives this process, and reads nothing from its input.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    log: Option<PathBuf>,
    unprivileged: bool,
    last_signal: &'static str,
}

impl Program {
    /// A program by its path, or by a name to be found in `PATH`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self {
            path,
            args: vec![],
            env: vec![],
            folder: None,
            log: None,
            unprivileged: false,
            last_signal: "KILL",
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// A variable on top of this process' environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The folder to run in, instead of this process' own.
    #[must_use]
    pub fn current_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// A file to append standard output and error to; without one they are this process' own.
    #[must_use]
    pub fn log(mut self, path: impl Into<PathBuf>) -> Self {
        self.log = Some(path.into());
        self
    }

    /// Run as `nobody` when this process is root's.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = is_root();
        self
    }

    /// When this process ends first, send SIGQUIT instead of SIGKILL: for a program that then ends at once too,
    /// but cleans up.
    #[must_use]
    pub(crate) fn quits_with_us(mut self) -> Self {
        self.last_signal = "QUIT";
        self
    }

    /// Starts it.
    pub fn spawn(&self) -> anyhow::Result<Process> {
        let Some(log) = &self.log else {
            return self.spawn_into(Stdio::inherit(), Stdio::inherit());
        };
        let file = File::options().create(true).append(true).open(log);
        let file = file.with_context(|| format!("opening the log {}", log.display()))?;
        self.spawn_into(file.try_clone()?.into(), file.into())
    }

    /// Runs it to its end and returns what it printed; an exit code other than 0 is an error with that text.
    pub async fn output(&self, deadline: Duration) -> anyhow::Result<String> {
        let mut printed = tempfile::tempfile()?;
        let mut process = self.spawn_into(printed.try_clone()?.into(), printed.try_clone()?.into())?;
        let status = process.wait(deadline).await?;
        let mut text = String::new();
        printed.rewind()?;
        printed.read_to_string(&mut text)?;
        ensure!(status.success(), "{}: {status}\n{}", self.name(), text.trim_end());
        Ok(text)
    }

    /// The program's file name, for messages.
    fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    fn spawn_into(&self, stdout: Stdio, stderr: Stdio) -> anyhow::Result<Process> {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child =
            spawner::spawn(command).with_context(|| format!("starting {} through setpriv", self.name()))?;
        Ok(Process::new(self.name(), child, self.log.clone()))
    }

    /// In a process group of its own: on Ctrl-C it is for us to end it, in order.
    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", self.last_signal]);
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        if self.unprivileged {
            let nobody = NOBODY.to_string();
            command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
        }
        command.arg("--").arg(&self.path).args(&self.args).envs(self.env.iter().cloned()).process_group(0);
        command
    }
}
