//! What samples are seen with: the values of their series that came before them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cornjacket_domain::{Sample, SeriesKey};
use quick_cache::sync::Cache;

use crate::batch::Batch;
use crate::detectors::remote::WIDEST;

/// Series that are remembered, with up to 4 KiB each. Of the others the store tells, as far as samples have got there.
const MOST_SERIES: usize = 4_096;
/// Values of a series that are remembered: the newest sample brings its own.
const MOST_VALUES: usize = WIDEST as usize - 1;

/// The last values of series, as this process has seen them. The store may not have them yet, since another consumer writes them
/// there at its own pace; on the other hand it has what other processes have seen. So what came before a sample is put
/// together from both, and neither has to be whole.
#[derive(Debug)]
pub(crate) struct Recent(Cache<SeriesKey, Arc<[Point]>>);

/// A value, and the position of its event.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Point {
    position: u64,
    value: f64,
}

impl Default for Recent {
    fn default() -> Self {
        Self(Cache::new(MOST_SERIES))
    }
}

impl Recent {
    /// The values of a series before a position, the oldest first.
    fn before(&self, key: &SeriesKey, position: u64, stored: &[Sample]) -> Vec<Point> {
        let known = self.0.get(key);
        let known = known.iter().flat_map(|known| known.iter().copied());
        let stored = stored.iter().map(|sample| Point { position: sample.position, value: sample.value });
        let mut points: Vec<_> = known.chain(stored).filter(|point| point.position < position).collect();
        points.sort_by_key(|point| point.position);
        points.dedup_by_key(|point| point.position);
        last(&points).to_vec()
    }
}

fn last(points: &[Point]) -> &[Point] {
    &points[points.len().saturating_sub(MOST_VALUES)..]
}

/// The windows of a batch's samples.
#[derive(Debug)]
pub(crate) struct Windows {
    /// Of each series, by its number: what came before the batch, and what is in it.
    lines: Vec<Vec<f64>>,
    /// Of each sample: its series, and where its window ends.
    ends: Vec<(usize, usize)>,
}

impl Windows {
    /// Windows of one value: no sample is seen with another one.
    pub fn of_one(batch: &Batch) -> Self {
        Self::new(batch, vec![Vec::new(); batch.series().len()])
    }

    /// Windows that reach back before the batch in some series, of which the last values are given that are stored. What the
    /// batch has of them is remembered.
    pub fn of_many(batch: &Batch, recent: &Recent, stored: &BTreeMap<usize, Vec<Sample>>) -> Self {
        let keys = batch.series();
        let first = batch.numbered().first().map_or(0, |(_, sample)| sample.position);
        let mut known: BTreeMap<usize, Vec<Point>> = stored
            .iter()
            .map(|(number, stored)| (*number, recent.before(keys[*number].0, first, stored)))
            .collect();
        let mut lines = vec![Vec::new(); keys.len()];
        for (number, known) in &known {
            lines[*number].extend(known.iter().map(|point| point.value));
        }
        for (number, sample) in batch.numbered() {
            let point = Point { position: sample.position, value: sample.value };
            known.entry(*number).and_modify(|known| known.push(point));
        }
        for (number, known) in known {
            recent.0.insert(keys[number].0.clone(), last(&known).into());
        }
        Self::new(batch, lines)
    }

    fn new(batch: &Batch, mut lines: Vec<Vec<f64>>) -> Self {
        let end = |(number, sample): &(usize, Sample)| {
            lines[*number].push(sample.value);
            (*number, lines[*number].len())
        };
        let ends = batch.numbered().iter().map(end).collect();
        Self { lines, ends }
    }

    /// Adds the window of one sample: so many values, the newest last. A series that has fewer begins with its first one,
    /// repeated.
    pub fn add(&self, sample: usize, width: usize, values: &mut Vec<f64>) {
        let (number, end) = self.ends[sample];
        let line = &self.lines[number][..end];
        let missing = width.saturating_sub(line.len());
        values.extend(std::iter::repeat_n(line[0], missing));
        values.extend_from_slice(&line[line.len().saturating_sub(width)..]);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cornjacket_bus::Delivered;
    use cornjacket_domain::Timestamp;
    use cornjacket_proto::events::event::Payload;
    use cornjacket_proto::events::{Event, Measurement, SensorReading};

    use super::*;

    /// Events of two series in turn; the value is the position.
    fn batch(positions: std::ops::RangeInclusive<u32>) -> Batch {
        let event = |position: u32| Delivered {
            offset: position.into(),
            ingest_time: Timestamp::default(),
            event: Event {
                r#type: "sensor.reading".into(),
                subject: format!("pump-{}", position % 2),
                position: position.into(),
                payload: Some(Payload::SensorReading(SensorReading {
                    measurements: vec![Measurement {
                        metric: "x".into(),
                        value: position.into(),
                        unit: String::new(),
                    }],
                })),
                ..Event::default()
            },
        };
        Batch::of(&positions.map(event).collect::<Vec<_>>(), Duration::from_hours(1))
    }

    fn stored(positions: &[u32]) -> Vec<Sample> {
        let sample = |position: &u32| Sample {
            time: Timestamp::default(),
            position: (*position).into(),
            value: (*position).into(),
        };
        positions.iter().map(sample).collect()
    }

    fn window(windows: &Windows, sample: usize, width: usize) -> Vec<u32> {
        let mut values = Vec::new();
        windows.add(sample, width, &mut values);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and whole")]
        values.into_iter().map(|value| value as u32).collect()
    }

    #[test]
    fn a_window_that_is_too_short_begins_with_its_first_value() {
        let windows = Windows::of_one(&batch(1..=4));
        assert_eq!(window(&windows, 0, 1), [1]);
        assert_eq!(window(&windows, 2, 2), [1, 3]);
        assert_eq!(window(&windows, 3, 4), [2, 2, 2, 4]);
    }

    #[test]
    fn what_came_before_is_what_is_stored_and_what_was_seen() {
        let recent = Recent::default();
        let of = |positions, stored: [&[u32]; 2]| {
            let batch = batch(positions);
            let stored = stored.map(self::stored).into_iter().enumerate().take(batch.series().len());
            Windows::of_many(&batch, &recent, &stored.collect())
        };
        // The first of the series is pump-1.
        assert_eq!(window(&of(11..=14, [&[7, 9], &[8]]), 2, 4), [7, 9, 11, 13]);
        // The store does not have the batch before yet.
        assert_eq!(window(&of(15..=16, [&[7, 9], &[8]]), 0, 5), [7, 9, 11, 13, 15]);
        // Once more, since its transaction never was: nothing is there twice.
        assert_eq!(window(&of(15..=16, [&[7, 9, 11, 15], &[8]]), 0, 5), [7, 9, 11, 13, 15]);
        // Another process has had what lies between.
        assert_eq!(window(&of(21..=22, [&[17, 19], &[]]), 0, 5), [13, 15, 17, 19, 21]);
        // What failed long ago is tried again.
        assert_eq!(window(&of(13..=13, [&[9], &[]]), 0, 3), [9, 11, 13]);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let recent = Recent::default();
        Windows::of_many(&batch(1..=2_000), &recent, &BTreeMap::from([(1, vec![])]));
        let key = |subject: &str| SeriesKey { subject: subject.into(), metric: "x".into() };
        assert!(recent.0.get(&key("pump-1")).is_none(), "nobody wants more of it than each sample");
        let known = recent.0.get(&key("pump-0")).expect("remembered");
        assert_eq!((known.len(), known[known.len() - 1].position), (MOST_VALUES, 2_000));
    }
}
