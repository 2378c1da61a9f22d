//! What models could not score of a series, and why.

use std::collections::BTreeMap;
use std::fmt::Write;

use cornjacket_proto::query::{Bucket, Sample};
use prost_types::Timestamp;

/// Samples that are looked at: a page.
pub(super) const MOST: u64 = 10_000;

/// From when on there are no more samples than are looked at; nothing when there are none.
pub(super) fn since(buckets: &[Bucket]) -> Option<Timestamp> {
    let mut samples = 0;
    let latest = buckets.iter().rev().take_while(|bucket| {
        samples += bucket.count;
        samples <= MOST
    });
    latest.last().and_then(|bucket| bucket.start_time)
}

/// A line for each model that could not score some of the samples, which are in order.
pub(super) fn lines(samples: &[Sample]) -> String {
    let mut by_model: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for score in samples.iter().flat_map(|sample| &sample.scores).filter(|score| !score.unscored.is_empty()) {
        let known = by_model.entry(&score.model).or_default();
        *known = (known.0 + 1, &score.unscored);
    }
    by_model.iter().fold(String::new(), |mut lines, (model, (count, reason))| {
        writeln!(lines, "{count} samples unscored by {model}, the last one: {reason}").expect("into memory");
        lines
    })
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::query::Score;

    use super::*;

    #[test]
    fn each_model_says_how_many_and_why() {
        let score = |model: &str, unscored: &str| Score {
            model: model.into(),
            unscored: unscored.into(),
            ..Score::default()
        };
        let sample = |scores| Sample { scores, ..Sample::default() };
        let samples = [
            sample(vec![score("wear", "slow"), score("hot", "")]),
            sample(vec![score("wear", "gone"), score("cold", "nonsense")]),
        ];
        let expected = "1 samples unscored by cold, the last one: nonsense\n\
            2 samples unscored by wear, the last one: gone\n";
        assert_eq!(lines(&samples), expected);
        assert_eq!(lines(&[sample(vec![score("hot", "")])]), "");
    }

    #[test]
    fn no_more_than_a_page_is_looked_at() {
        let bucket = |seconds, count| Bucket {
            start_time: Some(Timestamp { seconds, nanos: 0 }),
            count,
            ..Bucket::default()
        };
        let buckets = [bucket(1, 1), bucket(2, MOST - 5), bucket(3, 0), bucket(4, 5)];
        assert_eq!(since(&buckets), buckets[1].start_time);
        assert_eq!(since(&[bucket(1, MOST + 1)]), None);
        assert_eq!(since(&[]), None);
    }
}
