//! Samples with what models say of them.

use std::collections::HashMap;
use std::time::Duration;

use cornjacket_domain::Sample;
use cornjacket_proto::query;
use cornjacket_store::{ModelName, Score, SeriesId, Snapshot, StoreError, TimeRange};

use super::sample_to_proto;

/// Models that watch one series, at the most; beyond that some of their scores would be left out.
const MOST_MODELS: u32 = 64;

/// The samples of a page, in order, with their scores.
pub(super) async fn scored(
    snapshot: &mut dyn Snapshot,
    series: SeriesId,
    samples: Vec<Sample>,
) -> Result<Vec<query::Sample>, StoreError> {
    let (Some(first), Some(last)) = (samples.first(), samples.last()) else { return Ok(Vec::new()) };
    let range = TimeRange { start: first.time, end: last.time + Duration::from_micros(1) };
    let limit = MOST_MODELS.saturating_mul(u32::try_from(samples.len()).unwrap_or(u32::MAX));
    let names = snapshot.model_names().await?;
    let mut by_sample: HashMap<_, Vec<query::Score>> = HashMap::new();
    // Many samples may be of one time: those before the page are not its own.
    let before = Some((first.time, first.position.saturating_sub(1)));
    for score in snapshot.scores(series, range, before, limit).await? {
        let name = names.iter().find(|name| name.id == score.model);
        let said = by_sample.entry((score.time, score.position)).or_default();
        said.extend(name.map(|name| to_proto(score, name)));
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
