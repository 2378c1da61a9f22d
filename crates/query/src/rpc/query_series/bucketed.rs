//! Aggregates by buckets of time, from the coarsest that has them: hours, minutes, or the samples themselves.

use cornjacket_domain::{RollupStep, SeriesKey, Timestamp};
use cornjacket_proto::query::{Aggregation, Fill, QuerySeriesRequest, QuerySeriesResponse, Series};
use cornjacket_proto::status::Failure;
use cornjacket_store::{SeriesId, Snapshot, TimeRange};
use prost_types::Duration;

use super::{kept, key_to_proto};
use crate::rpc::wide::Turn;
use crate::rpc::{QueryRpc, invalid, store_failed};
use crate::series::{Aggregates, Calendar, Content, NoCalendar, fill};

/// Buckets of one answer, all series together.
const MOST_BUCKETS: usize = 11_000;
/// Samples that are looked at for one answer.
const MOST_SAMPLES: usize = 1_000_000;
/// Samples or roll-ups of one answer beyond which it is a wide one: a day of a series by minutes is none.
const NARROW: usize = 2_000;
/// Samples that are read at once.
const AT_ONCE: usize = 20_000;

/// What is to be read, and how it is put together.
#[derive(Clone)]
pub(super) struct Plan {
    edges: Vec<Timestamp>,
    range: TimeRange,
    aggregates: Aggregates,
    fill: Fill,
    source: Option<RollupStep>,
    /// Samples that may be read.
    most_samples: usize,
}

impl Plan {
    pub fn new(
        rpc: &QueryRpc,
        request: &QuerySeriesRequest,
        step: Duration,
        range: TimeRange,
        series: usize,
    ) -> Result<Self, Failure> {
        if request.page_size != 0 || !request.page_token.is_empty() {
            return Err(invalid("page_size", "is for samples, without a step", "MISMATCH"));
        }
        let aggregates = aggregates(&request.aggregations)?;
        let fill = Fill::try_from(request.fill).map_err(|_| invalid("fill", "is not known", "GRAMMAR"))?;
        let edges = edges(step, &request.time_zone, range, MOST_BUCKETS / series)?;
        // The first and the last bucket are whole.
        let whole = TimeRange { start: edges[0], end: edges[edges.len() - 1] };
        let range = kept(whole, rpc.oldest_sample());
        let source = if aggregates.need_samples() { None } else { coarsest(&edges) };
        Ok(Self { edges, range, aggregates, fill, source, most_samples: MOST_SAMPLES })
    }

    /// The same, as long as that is no wide question; nothing when it is one in any case.
    pub fn narrow(&self, series: usize) -> Option<Self> {
        let Some(step) = self.source else { return Some(Self { most_samples: NARROW, ..self.clone() }) };
        let seconds = (self.range.end.as_micros() - self.range.start.as_micros()) / 1_000_000;
        let buckets = usize::try_from(seconds / i64::from(step.seconds())).unwrap_or(usize::MAX);
        (buckets.saturating_mul(series) <= NARROW).then(|| self.clone())
    }

    /// Reads it, in parts when it is wide; nothing when there are more samples than may be read.
    pub async fn read(
        mut self,
        snapshot: &mut dyn Snapshot,
        keys: Vec<SeriesKey>,
        mut turn: Option<&mut Turn>,
    ) -> Result<Option<QuerySeriesResponse>, Failure> {
        let mut response = QuerySeriesResponse::default();
        for (index, key) in keys.into_iter().enumerate() {
            if index > 0 {
                next_part(turn.as_deref_mut()).await;
            }
            let found = snapshot.find_series(&key).await.map_err(|error| store_failed(&error))?;
            let mut contents = vec![Content::default(); self.edges.len() - 1];
            if let Some((id, _)) = found {
                let all = match self.source {
                    Some(step) => self.add_rollups(snapshot, id, step, &mut contents).await.map(|()| true),
                    None => self.add_samples(snapshot, id, &mut contents, turn.as_deref_mut()).await,
                };
                if !all? {
                    return Ok(None);
                }
            }
            let unit = found.map(|(_, unit)| unit).unwrap_or_default();
            response.series.push(self.series(key, unit, contents));
        }
        Ok(Some(response))
    }

    async fn add_rollups(
        &self,
        snapshot: &mut dyn Snapshot,
        series: SeriesId,
        step: RollupStep,
        contents: &mut [Content],
    ) -> Result<(), Failure> {
        let rollups = snapshot.rollups(series, step, self.range).await;
        let mut place = Place(0);
        for (bucket, summary) in rollups.map_err(|error| store_failed(&error))? {
            contents[place.of(bucket, &self.edges)].add_summary(&summary);
        }
        Ok(())
    }

    /// False when there are too many.
    async fn add_samples(
        &mut self,
        snapshot: &mut dyn Snapshot,
        series: SeriesId,
        contents: &mut [Content],
        mut turn: Option<&mut Turn>,
    ) -> Result<bool, Failure> {
        let keep = self.aggregates.need_samples();
        let (mut after, mut place) = (None, Place(0));
        loop {
            let limit = self.most_samples.saturating_add(1).min(AT_ONCE);
            let read =
                snapshot.samples(series, self.range, after, u32::try_from(limit).unwrap_or(u32::MAX)).await;
            let samples = read.map_err(|error| store_failed(&error))?;
            let Some(left) = self.most_samples.checked_sub(samples.len()) else { return Ok(false) };
            self.most_samples = left;
            for sample in &samples {
                contents[place.of(sample.time, &self.edges)].add_sample(*sample, keep);
            }
            match samples.last() {
                Some(last) if samples.len() == limit => after = Some((last.time, last.position)),
                _ => return Ok(true),
            }
            next_part(turn.as_deref_mut()).await;
        }
    }

    fn series(&self, key: SeriesKey, unit: String, contents: Vec<Content>) -> Series {
        let ends = self.edges.windows(2);
        let mut buckets: Vec<_> = contents
            .into_iter()
            .zip(ends)
            .map(|(content, ends)| content.into_bucket(ends[0], ends[1], &self.aggregates))
            .collect();
        fill(&mut buckets, self.fill, &self.aggregates);
        Series { key: Some(key_to_proto(key)), unit, buckets, ..Series::default() }
    }
}

async fn next_part(turn: Option<&mut Turn>) {
    if let Some(turn) = turn {
        turn.next_part().await;
    }
}

/// Finds buckets of times that never go back.
struct Place(usize);

impl Place {
    fn of(&mut self, time: Timestamp, edges: &[Timestamp]) -> usize {
        while edges[self.0 + 1] <= time {
            self.0 += 1;
        }
        self.0
    }
}

fn aggregates(wanted: &[i32]) -> Result<Aggregates, Failure> {
    let known = |number: &i32| match Aggregation::try_from(*number) {
        Ok(Aggregation::Unspecified) | Err(_) => {
            Err(invalid("aggregations", "has one that is not known", "GRAMMAR"))
        }
        Ok(known) => Ok(known),
    };
    Ok(Aggregates::new(wanted.iter().map(known).collect::<Result<_, _>>()?))
}

fn edges(step: Duration, zone: &str, range: TimeRange, most: usize) -> Result<Vec<Timestamp>, Failure> {
    let micros = step.seconds.checked_mul(1_000_000).map(|micros| micros + i64::from(step.nanos) / 1_000);
    let calendar = Calendar::new(micros.unwrap_or(i64::MAX), zone).map_err(|none| match none {
        NoCalendar::Step => invalid("step", "must be between a millisecond and 366 days", "OUT_OF_RANGE"),
        NoCalendar::Zone => invalid("time_zone", "is not an IANA time zone", "GRAMMAR"),
    })?;
    calendar.edges(range.start, range.end, most).ok_or_else(|| {
        let message = format!("makes more than {MOST_BUCKETS} buckets of all series together");
        invalid("step", &message, "OUT_OF_RANGE")
    })
}

/// The coarsest roll-up whose buckets none of the edges cuts.
fn coarsest(edges: &[Timestamp]) -> Option<RollupStep> {
    let whole = |step: &RollupStep| edges.iter().all(|edge| step.bucket_of(*edge) == *edge);
    [RollupStep::Hour, RollupStep::Minute].into_iter().find(whole)
}

pub(super) fn too_many_samples() -> Failure {
    let message =
        format!("is so short, or needs such aggregates, that more than {MOST_SAMPLES} samples would be read");
    invalid("step", &message, "OUT_OF_RANGE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarsest_source_that_no_edge_cuts_is_read() {
        let edges = |step: i64, start: i64| {
            let at = |number: i64| Timestamp::from_micros((start + number * step) * 1_000_000);
            (0..3).map(at).collect::<Vec<_>>()
        };
        assert_eq!(coarsest(&edges(7_200, 0)), Some(RollupStep::Hour));
        assert_eq!(coarsest(&edges(3_600, 1_800)), Some(RollupStep::Minute));
        assert_eq!(coarsest(&edges(300, 0)), Some(RollupStep::Minute));
        assert_eq!(coarsest(&edges(90, 0)), None);
    }
}
