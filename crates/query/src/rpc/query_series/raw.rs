//! Samples as they are, page by page: one series after the other.

use cornjacket_domain::{Sample, SeriesKey, Timestamp};
use cornjacket_proto::query::{QuerySeriesRequest, QuerySeriesResponse, Series};
use cornjacket_proto::status::Failure;
use cornjacket_store::{Snapshot, TimeRange};

use super::scored::scored;
use super::{kept, key_to_proto, sample_to_proto};
use crate::rpc::{QueryRpc, invalid, store_failed};
use cornjacket_domain::page::{self, Cursor};

const DEFAULT: u32 = 1_000;
const MOST: u32 = 10_000;

/// Where a page ended: in this series of the request, at this sample.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct After {
    #[prost(uint32, tag = "1")]
    series: u32,
    #[prost(int64, tag = "2")]
    time: i64,
    #[prost(uint64, tag = "3")]
    position: u64,
    /// The end of the range, which a request without one does not say.
    #[prost(int64, tag = "4")]
    end: i64,
    /// Its beginning.
    #[prost(int64, tag = "5")]
    start: i64,
}

/// The page that is asked for.
#[derive(Clone)]
pub(super) struct Page {
    range: TimeRange,
    size: u32,
    cursor: Cursor,
    after: Option<After>,
    scores: bool,
}

impl Page {
    pub fn new(request: &QuerySeriesRequest, range: TimeRange, keys: &[SeriesKey]) -> Result<Self, Failure> {
        for (field, given) in [
            ("aggregations", !request.aggregations.is_empty()),
            ("fill", request.fill != 0),
            ("time_zone", !request.time_zone.is_empty()),
        ] {
            if given {
                return Err(invalid(field, "needs a step", "MISMATCH"));
            }
        }
        let size = page::size_within(request.page_size, DEFAULT, MOST)?;
        let (start, end) = (request.start_time.as_ref(), request.end_time.as_ref());
        let cursor = Cursor::of(format!("samples {keys:?} {start:?} {end:?} {}", request.scores));
        let after: Option<After> = cursor.read(&request.page_token)?;
        let range = after.map_or(range, |after| TimeRange {
            start: Timestamp::from_micros(after.start),
            end: Timestamp::from_micros(after.end),
        });
        Ok(Self { range, size, cursor, after, scores: request.scores })
    }

    /// Whether it is more than what is given when nobody says how much.
    pub const fn is_wide(&self) -> bool {
        self.size > DEFAULT
    }

    /// As much of it as is no wide question.
    pub fn narrow(&self) -> Self {
        Self { size: self.size.min(DEFAULT), ..self.clone() }
    }

    pub async fn read(
        self,
        rpc: &QueryRpc,
        snapshot: &mut dyn Snapshot,
        keys: Vec<SeriesKey>,
    ) -> Result<QuerySeriesResponse, Failure> {
        let range = kept(self.range, rpc.oldest_sample());
        let mut response = QuerySeriesResponse::default();
        let mut left = self.size;
        let first = self.after.map_or(0, |after| after.series as usize);
        for (index, key) in keys.into_iter().enumerate().skip(first) {
            let Some((id, unit)) = snapshot.find_series(&key).await.map_err(|error| store_failed(&error))?
            else {
                continue;
            };
            let after = self.after.filter(|after| after.series as usize == index);
            // A sample that got too old between two pages does not bring back others that did.
            let after = after.map(|after| (Timestamp::from_micros(after.time), after.position));
            let after = after.filter(|(time, _)| *time >= range.start);
            let read = snapshot.samples(id, range, after, left).await;
            let samples = read.map_err(|error| store_failed(&error))?;
            left -= u32::try_from(samples.len()).unwrap_or(left).min(left);
            let full = samples.last().filter(|_| left == 0).copied();
            if !samples.is_empty() {
                let samples = if self.scores {
                    let scored = scored(snapshot, id, samples).await;
                    scored.map_err(|error| store_failed(&error))?
                } else {
                    samples.into_iter().map(sample_to_proto).collect()
                };
                let key = Some(key_to_proto(key));
                response.series.push(Series { key, unit, samples, ..Series::default() });
            }
            if let Some(last) = full {
                response.next_page_token = self.token(index, last);
                break;
            }
        }
        Ok(response)
    }

    fn token(&self, series: usize, last: Sample) -> String {
        self.cursor.write(&After {
            series: u32::try_from(series).unwrap_or(u32::MAX),
            time: last.time.as_micros(),
            position: last.position,
            end: self.range.end.as_micros(),
            start: self.range.start.as_micros(),
        })
    }
}
