//! What the samples of a bucket come to.

use cornjacket_domain::{Sample, Summary, Timestamp};
use cornjacket_proto::query::{Aggregation, Bucket, Fill};

/// Which aggregates are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Aggregates(Vec<Aggregation>);

impl Aggregates {
    /// Those; the mean when there are none.
    pub fn new(mut wanted: Vec<Aggregation>) -> Self {
        if wanted.is_empty() {
            wanted.push(Aggregation::Avg);
        }
        Self(wanted)
    }

    /// Whether they can be told from the samples alone, and not from summaries.
    pub fn need_samples(&self) -> bool {
        let percentile =
            |one: &Aggregation| matches!(one, Aggregation::P50 | Aggregation::P90 | Aggregation::P99);
        self.0.iter().any(percentile)
    }
}

/// What is in a bucket, as far as it was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Content {
    summary: Option<Summary>,
    /// Only where aggregates need them.
    values: Vec<f64>,
}

impl Content {
    /// Adds what a roll-up has.
    pub fn add_summary(&mut self, summary: &Summary) {
        self.summary = Some(self.summary.map_or(*summary, |known| known.and(summary)));
    }

    /// Adds a sample, and keeps its value.
    pub fn add_sample(&mut self, sample: Sample, keep: bool) {
        self.summary = Some(self.summary.map_or_else(|| Summary::of(sample), |known| known.with(sample)));
        if keep {
            self.values.push(sample.value);
        }
    }

    /// The bucket between two edges.
    pub fn into_bucket(mut self, start: Timestamp, end: Timestamp, wanted: &Aggregates) -> Bucket {
        let mut bucket = Bucket {
            start_time: Some(start.to_proto()),
            end_time: Some(end.to_proto()),
            ..Bucket::default()
        };
        let Some(summary) = self.summary else { return bucket };
        self.values.sort_by(f64::total_cmp);
        bucket.count = summary.count;
        for aggregation in &wanted.0 {
            let value = match aggregation {
                Aggregation::Unspecified | Aggregation::Count => continue,
                Aggregation::Avg => summary.average(),
                Aggregation::Min => summary.min,
                Aggregation::Max => summary.max,
                Aggregation::Sum => summary.sum,
                Aggregation::First => summary.first.value,
                Aggregation::Last => summary.last.value,
                Aggregation::P50 => percentile(&self.values, 0.5),
                Aggregation::P90 => percentile(&self.values, 0.9),
                Aggregation::P99 => percentile(&self.values, 0.99),
            };
            *slot(&mut bucket, *aggregation).expect("each of these has one") = Some(value);
        }
        bucket
    }
}

/// Between the two nearest of sorted values, as `percentile_cont` in SQL:2003 and type 7 of Hyndman and Fan (1996).
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index of a vector in memory"
)]
fn percentile(sorted: &[f64], fraction: f64) -> f64 {
    let place = fraction * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (sorted[above] - sorted[below]) * (place - place.floor())
}

fn slot(bucket: &mut Bucket, aggregation: Aggregation) -> Option<&mut Option<f64>> {
    Some(match aggregation {
        Aggregation::Unspecified | Aggregation::Count => return None,
        Aggregation::Avg => &mut bucket.avg,
        Aggregation::Min => &mut bucket.min,
        Aggregation::Max => &mut bucket.max,
        Aggregation::Sum => &mut bucket.sum,
        Aggregation::First => &mut bucket.first,
        Aggregation::Last => &mut bucket.last,
        Aggregation::P50 => &mut bucket.p50,
        Aggregation::P90 => &mut bucket.p90,
        Aggregation::P99 => &mut bucket.p99,
    })
}

/// Fills the buckets without samples, or leaves them out.
pub(crate) fn fill(buckets: &mut Vec<Bucket>, how: Fill, wanted: &Aggregates) {
    match how {
        Fill::Unspecified => buckets.retain(|bucket| bucket.count > 0),
        Fill::Null => {}
        Fill::Zero | Fill::Previous | Fill::Linear => {
            for aggregation in &wanted.0 {
                fill_one(buckets, how, *aggregation);
            }
        }
    }
}

fn fill_one(buckets: &mut [Bucket], how: Fill, aggregation: Aggregation) {
    let value = |bucket: &mut Bucket| slot(bucket, aggregation).copied().flatten();
    let known: Vec<Option<f64>> = buckets.iter_mut().map(value).collect();
    for (at, bucket) in buckets.iter_mut().enumerate().filter(|(_, bucket)| bucket.count == 0) {
        let filled = match how {
            Fill::Zero => Some(0.0),
            Fill::Linear => between(&known, at),
            _ => known[..at].iter().rev().find_map(|known| *known),
        };
        if let Some(place) = slot(bucket, aggregation) {
            *place = filled;
        }
    }
}

/// On the line between the nearest known values on both sides.
#[allow(clippy::cast_precision_loss, reason = "there are at most some thousand buckets")]
fn between(known: &[Option<f64>], at: usize) -> Option<f64> {
    let (left, low) = (0..at).rev().find_map(|left| Some((left, known[left]?)))?;
    let (right, high) = (at..known.len()).find_map(|right| Some((right, known[right]?)))?;
    Some(low + (high - low) * ((at - left) as f64 / (right - left) as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(position: u64, value: f64) -> Sample {
        Sample { time: Timestamp::from_micros(position.cast_signed()), position, value }
    }

    fn bucket(values: &[f64], wanted: &Aggregates) -> Bucket {
        let mut content = Content::default();
        for (value, position) in values.iter().zip(1..) {
            content.add_sample(sample(position, *value), wanted.need_samples());
        }
        content.into_bucket(Timestamp::from_micros(0), Timestamp::from_micros(1), wanted)
    }

    fn all() -> Aggregates {
        Aggregates::new((1..=10).filter_map(|number| Aggregation::try_from(number).ok()).collect())
    }

    #[test]
    fn every_aggregate_is_what_it_is_called() {
        let found = bucket(&[4.0, 1.0, 3.0, 2.0], &all());
        let values = [found.avg, found.min, found.max, found.sum, found.first, found.last];
        assert_eq!(values, [2.5, 1.0, 4.0, 10.0, 4.0, 2.0].map(Some));
        assert_eq!((found.count, found.p50), (4, Some(2.5)));
        assert!(found.p90.is_some_and(|value| (value - 3.7).abs() < 1e-9));
        let mean = bucket(&[1.0, 2.0], &Aggregates::new(vec![]));
        assert_eq!((mean.avg, mean.min, mean.p50), (Some(1.5), None, None));
        assert_eq!(bucket(&[], &all()).avg, None);
    }

    #[test]
    fn gaps_are_filled_as_was_asked() {
        let wanted = Aggregates::new(vec![Aggregation::Max, Aggregation::Count]);
        let buckets = |how| {
            let contents: [&[f64]; 6] = [&[], &[1.0], &[], &[], &[4.0], &[]];
            let mut buckets: Vec<_> = contents.iter().map(|values| bucket(values, &wanted)).collect();
            fill(&mut buckets, how, &wanted);
            buckets.iter().map(|bucket| bucket.max).collect::<Vec<_>>()
        };
        assert_eq!(buckets(Fill::Unspecified), [Some(1.0), Some(4.0)]);
        assert_eq!(buckets(Fill::Null), [None, Some(1.0), None, None, Some(4.0), None]);
        assert_eq!(buckets(Fill::Zero), [0.0, 1.0, 0.0, 0.0, 4.0, 0.0].map(Some));
        let previous = [None, Some(1.0), Some(1.0), Some(1.0), Some(4.0), Some(4.0)];
        assert_eq!(buckets(Fill::Previous), previous);
        assert_eq!(buckets(Fill::Linear), [None, Some(1.0), Some(2.0), Some(3.0), Some(4.0), None]);
    }
}
