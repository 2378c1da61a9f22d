use cornjacket_domain::{Sample, Timestamp};
use cornjacket_inference::{Counted, processor};

use super::*;

/// A value every minute that goes up and down; once it is far off.
fn series(name: &str, far: usize) -> Series {
    let sample = |index: usize| {
        #[allow(clippy::cast_precision_loss, reason = "small numbers")]
        let wave = ((index * 7 + name.len()) % 23) as f64 + (index as f64 / 60.0).sin();
        // Samples may share a time, as some of the benchmark's do.
        let seconds = i64::try_from(index - usize::from(index % 97 == 96)).expect("small") * 60;
        let time = Timestamp::from_micros((1_400_000_000 + seconds) * 1_000_000);
        Sample {
            time,
            position: index as u64 + 1,
            value: if (far..far + 5).contains(&index) { 500.0 } else { wave },
        }
    };
    Series {
        name: name.to_owned(),
        samples: (0..900).map(sample).collect(),
        windows: vec![(far - 20, far + 20)],
    }
}

/// Kept in memory or brought back each time: the processor says of a series what the detector says that is alone with it.
#[tokio::test]
async fn the_processor_says_what_detectors_say() -> anyhow::Result<()> {
    let (series, configurations) =
        ([series("a/one.csv", 700), series("b/other.csv", 500)], configurations(&[])?);
    let drafts: Vec<_> = configurations.iter().map(|one| &one.draft).collect();
    for state_bytes in [64 << 20, 0] {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}/nab.db", folder.path().display());
        let keep = std::time::Duration::from_hours(1);
        let options = processor::Options {
            keep,
            counted: Counted::default(),
            partitions: Partitions::ONE,
            state_bytes,
        };
        let all = stream(&url, options, &series, &drafts).await?;
        for (configuration, streamed) in configurations.iter().zip(&all) {
            alone(configuration, &series, &streamed.said)?;
            let judgement = Judgement::of(&series, &streamed.said);
            assert_eq!((judgement.all.windows, judgement.all.found), (2, 2), "{configuration:?}");
            assert_eq!(streamed.states.len(), 2);
        }
    }
    Ok(())
}
