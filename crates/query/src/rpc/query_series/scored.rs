//! Samples with what models say of them.

use std::collections::HashMap;
use std::time::Duration;

use cornjacket_domain::Sample;
use cornjacket_proto::query;
use cornjacket_store::{ModelId, ModelName, Score, SeriesId, Snapshot, StoreError, TimeRange};

use super::sample_to_proto;

/// Scores that are read at once.
const AT_ONCE: u32 = 10_000;

/// The samples of a page, in order, with their scores.
pub(super) async fn scored(
    snapshot: &mut dyn Snapshot,
    series: SeriesId,
    samples: Vec<Sample>,
) -> Result<Vec<query::Sample>, StoreError> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Ok(Vec::new()) };
    let last_of_all = (last.time, last.position, ModelId(i32::MAX));
    let range = TimeRange { start: first.time, end: last.time + Duration::from_micros(1) };
    let names = snapshot.model_names().await?;
    let mut by_sample: HashMap<_, Vec<query::Score>> = HashMap::new();
    // Many samples may be of one time: those before the page are not its own, and those behind it neither.
    let mut after = Some((first.time, first.position, ModelId(0)));
    loop {
        let page = snapshot.scores(series, range, after, AT_ONCE).await?;
        after = page.last().map(Score::place);
        let is_last = page.len() < AT_ONCE as usize || after >= Some(last_of_all);
        for score in page.into_iter().filter(|score| score.place() <= last_of_all) {
            let name = names.iter().find(|name| name.id == score.model);
            let said = by_sample.entry((score.time, score.position)).or_default();
            said.extend(name.map(|name| to_proto(score, name)));
        }
        if is_last {
            break;
        }
    }
    let with_scores = |sample: Sample| query::Sample {
        scores: by_sample.remove(&(sample.time, sample.position)).unwrap_or_default(),
        ..sample_to_proto(sample)
    };
    Ok(samples.into_iter().map(with_scores).collect())
}

fn to_proto(score: Score, name: &ModelName) -> query::Score {
    let [expected, lower, upper] = score.expected.map_or([None; 3], |expected| expected.map(Some));
    query::Score {
        model: name.name.clone(),
        model_version: name.version,
        score: score.score,
        expected,
        expected_lower: lower,
        expected_upper: upper,
        severity: score.severity.unwrap_or_default().into(),
        unscored: score.unscored.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cornjacket_domain::{Partitions, SeriesKey, SystemClock, Timestamp};
    use cornjacket_store::{Draft, Mode, Options, Store};

    use super::*;

    const MODELS: u32 = 101;

    /// Samples of one time among them, and one before and one behind the page that have scores, too.
    fn samples() -> Vec<Sample> {
        let time = |position: u64| Timestamp::from_day(20_000) + Duration::from_secs(position / 10);
        (1..=103).map(|position| Sample { time: time(position), position, value: 1.0 }).collect()
    }

    #[tokio::test]
    async fn a_page_has_all_scores_of_its_samples_however_many_models_there_are() -> anyhow::Result<()> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
        let store = Store::open(&Options::new(url, Partitions::ONE), Arc::new(SystemClock)).await?;
        let mut models = Vec::new();
        for number in 0..MODELS {
            let draft = Draft {
                name: format!("m{number:03}"),
                detector: "threshold".into(),
                code: "1".into(),
                subjects: "*".into(),
                metrics: "*".into(),
                parameters: "{}".into(),
            };
            models.push(store.models.register(&draft, Mode::Shadow, None, Timestamp::default()).await?.id);
        }
        let mut tx = store.offsets.begin_apart().await?;
        let key = SeriesKey { subject: "pump".into(), metric: "level".into() };
        let series = tx.series(&[(&key, "m")]).await?[0];
        let samples = samples();
        let by_all = |sample: &Sample| {
            let Sample { time, position, .. } = *sample;
            let said_by = |model: &ModelId| Score {
                series,
                time,
                position,
                model: *model,
                score: Some(0.5),
                expected: None,
                severity: None,
                unscored: None,
            };
            models.iter().map(said_by).collect::<Vec<_>>()
        };
        tx.add_scores(&samples.iter().flat_map(by_all).collect::<Vec<_>>()).await?;
        tx.commit().await?;
        let mut snapshot = store.snapshots.begin(Duration::from_secs(10)).await?;
        let page = scored(snapshot.as_mut(), series, samples[1..102].to_vec()).await?;
        assert_eq!(page.len(), 101);
        for sample in page {
            let names: Vec<&str> = sample.scores.iter().map(|score| score.model.as_str()).collect();
            assert_eq!(names.len(), MODELS as usize, "of the sample at {}", sample.position);
            assert!(names.is_sorted());
        }
        Ok(())
    }
}
