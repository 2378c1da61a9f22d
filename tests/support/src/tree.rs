//! Signals to a process and everything below it, found through /proc.

use std::collections::BTreeSet;
use std::fs;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// Sends a signal; a process that is gone already is no error.
pub(crate) fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| anyhow::format_err!("not a process id: {pid:?}"))?;
    match kill_process(pid, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Sends a signal to `root` and all its descendants, as they are now.
pub(crate) fn signal_all(root: u32, what: Signal) -> anyhow::Result<()> {
    members(root).into_iter().try_for_each(|pid| signal(pid, what))
}

/// Stops `root` and all its descendants, and returns them: stopped processes start no new ones.
pub(crate) fn freeze(root: u32) -> anyhow::Result<BTreeSet<u32>> {
    let mut frozen = BTreeSet::new();
    loop {
        let moving: Vec<u32> = members(root).difference(&frozen).copied().collect();
        if moving.is_empty() {
            return Ok(frozen);
        }
        for pid in moving {
            signal(pid, Signal::STOP)?;
            frozen.insert(pid);
        }
    }
}

/// Kills `root` and all its descendants, and returns what to wait for.
pub(crate) fn kill(root: u32) -> anyhow::Result<BTreeSet<u32>> {
    let members = freeze(root)?;
    members.iter().try_for_each(|pid| signal(*pid, Signal::KILL))?;
    Ok(members)
}

/// Whether the process has ended; one that only waits to be reaped has.
pub(crate) fn is_gone(pid: u32) -> bool {
    stat(pid).is_none_or(|(state, _)| matches!(state, 'Z' | 'X'))
}

fn members(root: u32) -> BTreeSet<u32> {
    let parents: Vec<(u32, u32)> =
        processes().into_iter().filter_map(|pid| Some((pid, stat(pid)?.1))).collect();
    let mut members = BTreeSet::from([root]);
    loop {
        let before = members.len();
        members.extend(
            parents
                .iter()
                .filter(|(_, parent)| members.contains(parent))
                .map(|(pid, _)| *pid)
                .collect::<Vec<_>>(),
        );
        if members.len() == before {
            return members;
        }
    }
}

fn processes() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// State and parent. In `/proc/PID/stat` they follow the command's name, whose parentheses may hold anything.
fn stat(pid: u32) -> Option<(char, u32)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = line.rsplit_once(')')?.1.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}
