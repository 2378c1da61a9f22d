//! The benchmark's files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cornjacket_domain::{Sample, Timestamp};
use time::PrimitiveDateTime;
use time::macros::format_description;

/// A labelled series.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its group and the name of its file.
    pub name: String,
    /// Its samples.
    pub samples: Vec<Sample>,
    /// Its anomalies: the first and the last sample of each.
    pub windows: Vec<(usize, usize)>,
}

impl Series {
    /// Whether it belongs to the half that parameters were not chosen by: the FNV-1a hash of its file's name is odd.
    pub fn held_out(&self) -> bool {
        let file = self.name.rsplit('/').next().unwrap_or_default();
        let hash = file.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        hash % 2 == 1
    }
}

/// Why the benchmark's files cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// A file cannot be read.
    #[error("{}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The labels are not what they should be.
    #[error("the labels cannot be read")]
    Labels(#[from] serde_json::Error),
    /// A line is no sample, or a label no sample's time.
    #[error("{name}: {what}")]
    Series {
        /// Of which series.
        name: String,
        /// Which.
        what: String,
    },
}

/// Reads the labelled series that are in a folder: `data/<group>/<name>.csv` and `labels/combined_windows.json`. Series with
/// labels but no file are left out.
pub fn read(folder: &Path) -> Result<Vec<Series>, CorpusError> {
    let labels: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_str(&text(&folder.join("labels/combined_windows.json"))?)?;
    let mut all = Vec::new();
    for (name, windows) in labels {
        let path = folder.join("data").join(&name);
        if path.exists() {
            let samples = samples(&text(&path)?)
                .map_err(|what| CorpusError::Series { name: name.clone(), what: what.to_owned() })?;
            let windows =
                windows.iter().map(|(first, last)| Some((find(&samples, first)?, find(&samples, last)?)));
            let windows = windows.collect::<Option<_>>().ok_or_else(|| CorpusError::Series {
                name: name.clone(),
                what: "a window has no sample at its edge".to_owned(),
            })?;
            all.push(Series { name, samples, windows });
        }
    }
    Ok(all)
}

fn text(path: &Path) -> Result<String, CorpusError> {
    std::fs::read_to_string(path).map_err(|source| CorpusError::File { path: path.to_owned(), source })
}

/// The samples of a file; an error is the line that is none.
fn samples(text: &str) -> Result<Vec<Sample>, &str> {
    let lines = text.lines().skip(1).zip(1..);
    lines
        .map(|(line, position)| {
            let (time, value) = line.split_once(',').ok_or(line)?;
            let time = timestamp(time).ok_or(line)?;
            Ok(Sample { time, position, value: value.trim().parse().map_err(|_| line)? })
        })
        .collect()
}

fn find(samples: &[Sample], time: &str) -> Option<usize> {
    let time = timestamp(time)?;
    samples.iter().position(|sample| sample.time == time)
}

fn timestamp(text: &str) -> Option<Timestamp> {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
    let time = PrimitiveDateTime::parse(text.get(..19)?, format).ok()?;
    Some(Timestamp::from_micros(time.assume_utc().unix_timestamp().checked_mul(1_000_000)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read() {
        let folder = std::env::temp_dir().join(format!("cornjacket-nab-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("data/group")).expect("a folder");
        std::fs::create_dir_all(folder.join("labels")).expect("a folder");
        let csv = "timestamp,value\n2014-04-01 00:00:00,1.5\n2014-04-01 00:05:00,-2\n";
        std::fs::write(folder.join("data/group/one.csv"), csv).expect("written");
        let labels = r#"{"group/one.csv": [["2014-04-01 00:05:00.000000", "2014-04-01 00:05:00.000000"]], "group/two.csv": []}"#;
        std::fs::write(folder.join("labels/combined_windows.json"), labels).expect("written");
        let series = read(&folder).expect("read");
        std::fs::remove_dir_all(&folder).expect("removed");
        assert_eq!(series.len(), 1);
        assert_eq!(series[0].windows, [(1, 1)]);
        assert!((series[0].samples[1].value + 2.0).abs() < f64::EPSILON);
        assert_eq!(series[0].samples[0].time.as_micros(), 1_396_310_400_000_000);
    }
}
