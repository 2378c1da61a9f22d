//! Processor time, as Linux counts it (proc(5)).

use anyhow::Context;

/// Ticks of a second, `USER_HZ`, which is 100 wherever Linux runs.
const TICKS: f64 = 100.0;

/// Seconds of processor time that a process has used.
pub fn of(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields = fields(&stat).context("the fields of stat")?;
    Ok(seconds(&fields, USER..=SYSTEM))
}

/// Seconds that all of this machine's PostgreSQL servers have used, with what they started and what has ended since.
pub fn of_postgres() -> anyhow::Result<f64> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // One that ends just now is counted by its parent.
        let Ok(stat) = std::fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
        if stat.contains("(postgres)")
            && let Some(fields) = fields(&stat)
        {
            all.push((id, fields));
        }
    }
    let is_child = |fields: &[u64]| all.iter().any(|(id, _)| u64::from(*id) == fields[PARENT]);
    let used = all.iter().map(|(_, fields)| {
        let ended = if is_child(fields) { 0.0 } else { seconds(fields, ENDED_USER..=ENDED_SYSTEM) };
        seconds(fields, USER..=SYSTEM) + ended
    });
    Ok(used.sum())
}

/// Places behind the name, which is in brackets and may hold anything.
const PARENT: usize = 1;
const USER: usize = 11;
const SYSTEM: usize = 12;
const ENDED_USER: usize = 13;
const ENDED_SYSTEM: usize = 14;

fn fields(stat: &str) -> Option<Vec<u64>> {
    let (_, rest) = stat.rsplit_once(')')?;
    Some(rest.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
}

#[allow(clippy::cast_precision_loss, reason = "far fewer than 2^52 ticks")]
fn seconds(fields: &[u64], places: std::ops::RangeInclusive<usize>) -> f64 {
    fields[places].iter().sum::<u64>() as f64 / TICKS
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_process_uses_time() {
        let before = super::of(std::process::id()).expect("this process");
        let mut sum = 0_u64;
        while super::of(std::process::id()).expect("this process") - before < 0.02 {
            sum = sum.wrapping_add(1);
        }
        assert!(sum > 0);
    }
}
