//! A temporary folder that goes even when the process that made it is killed.

use std::io;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;

use crate::program::{NOBODY, is_root};

/// Waits for the end of its input, which comes with the end of this process, however it ends. Servers may
/// still be writing while they die: hence the retries.
const REMOVE: &str =
    r#"read -r _; for _ in $(seq 100); do rm -rf -- "$1" 2>/dev/null && exit; sleep 0.1; done"#;

/// A temporary folder, removed on drop or with the process, also when that one is killed or when the folder
/// belongs to a static, which is never dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    remover: Child,
}

impl Scratch {
    /// A new folder under the system's temporary folder. Of root's it belongs to the user whom
    /// [`Program::unprivileged`](crate::Program::unprivileged) programs run as.
    pub fn new(name: &str) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix(&format!("cornjacket-{name}-")).tempdir()?;
        if is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        }
        let remover = remover(folder.path()).context("starting sh to remove the temporary folder later")?;
        Ok(Self { path: folder.keep(), remover })
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Waiting closes its input first. If it fails there is nothing better to do with a temporary folder.
        let _ = self.remover.wait();
    }
}

/// In a process group of its own, so that Ctrl-C does not reach it.
fn remover(folder: &Path) -> io::Result<Child> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(REMOVE).arg("sh").arg(folder).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goes_when_dropped() {
        let scratch = Scratch::new("test").expect("a temporary folder can be made");
        let path = scratch.path().to_owned();
        std::fs::write(path.join("file"), "x").expect("it is writable");
        drop(scratch);
        assert!(!path.exists());
    }
}
