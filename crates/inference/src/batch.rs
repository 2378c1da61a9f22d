//! The samples of a batch of events, by series.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use cornjacket_bus::Delivered;
use cornjacket_domain::stored::effective_time;
use cornjacket_domain::{RollupStep, Sample, SeriesKey, Summary, Timestamp, Topic};
use cornjacket_proto::events::event::Payload;
use cornjacket_store::{RollupKey, SeriesId};

use crate::scorer::BySeries;

/// What some events measured.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    series: Vec<SeriesKey>,
    /// Of each series, as its last event has it.
    units: Vec<String>,
    numbers: HashMap<SeriesKey, usize>,
    /// Each with the number of its series, in the order of the events.
    samples: Vec<(usize, Sample)>,
    /// Samples that were older than is kept when they came in.
    pub too_old: u64,
}

impl Batch {
    /// The samples of events, but for those that were already older than `keep` when they were stored: whether a sample
    /// is taken in depends on nothing but the event, so that it is the same whenever it is read.
    pub fn of(events: &[Delivered], keep: Duration) -> Self {
        let mut batch = Self::default();
        for delivered in events {
            let event = &delivered.event;
            // Other topics are read for what is counted: a series has one shard, that of its type.
            if Topic::of_type(&event.r#type) != Topic::SensorEvents {
                continue;
            }
            let Some(Payload::SensorReading(reading)) = &event.payload else { continue };
            let Some(time) = time_of(delivered, keep) else {
                batch.too_old += reading.measurements.len() as u64;
                continue;
            };
            for measurement in &reading.measurements {
                let key = SeriesKey { subject: event.subject.clone(), metric: measurement.metric.clone() };
                // Stored before such names were reserved: a series of counts has its own writer.
                if key.counts().is_some() {
                    tracing::warn!(
                        subject = key.subject,
                        metric = key.metric,
                        event.position,
                        "a measurement has the name of a count of events: it is no sample"
                    );
                    continue;
                }
                let number = batch.number(key, &measurement.unit);
                let sample = Sample { time, position: event.position, value: measurement.value };
                batch.samples.push((number, sample));
            }
        }
        batch
    }

    fn number(&mut self, key: SeriesKey, unit: &str) -> usize {
        if let Some(number) = self.numbers.get(&key) {
            if self.units[*number] != unit {
                unit.clone_into(&mut self.units[*number]);
            }
            return *number;
        }
        let number = self.series.len();
        self.series.push(key.clone());
        self.units.push(unit.to_owned());
        self.numbers.insert(key, number);
        number
    }

    /// The series, each with its unit.
    pub fn series(&self) -> Vec<(&SeriesKey, &str)> {
        self.series.iter().zip(self.units.iter().map(String::as_str)).collect()
    }

    /// The samples in the order of the events, each with the number of its series among [`Batch::series`].
    pub fn numbered(&self) -> &[(usize, Sample)] {
        &self.samples
    }

    /// The samples, given the ids of [`Batch::series`].
    pub fn samples(&self, ids: &[SeriesId]) -> Vec<(SeriesId, Sample)> {
        self.samples.iter().map(|(number, sample)| (ids[*number], *sample)).collect()
    }
}

/// The effective time of an event; nothing when that was more than `keep` ago when it was stored.
pub(crate) fn time_of(delivered: &Delivered, keep: Duration) -> Option<Timestamp> {
    let time = effective_time(&delivered.event, delivered.ingest_time);
    (time >= delivered.ingest_time - keep).then_some(time)
}

/// The samples of each series, in the order of the events; `ids` are those of `series`.
pub(crate) fn by_series<'a>(
    series: &[(&'a SeriesKey, &str)],
    ids: &[SeriesId],
    samples: &[(SeriesId, Sample)],
) -> BySeries<'a> {
    let key_of = |(id, (key, _)): (&SeriesId, &(&'a SeriesKey, &str))| (*id, (*key, Vec::new()));
    let mut by_series: BySeries<'a> = ids.iter().zip(series).map(key_of).collect();
    for (id, sample) in samples {
        by_series.entry(*id).and_modify(|(_, samples)| samples.push(*sample));
    }
    by_series
}

/// The buckets that samples of these times are in, each once.
pub(crate) fn buckets(times: impl Iterator<Item = (SeriesId, Timestamp)>) -> Vec<RollupKey> {
    let of_each = |(series, time)| RollupStep::ALL.map(|step| key(step, series, time));
    let mut keys: Vec<RollupKey> = times.flat_map(of_each).collect();
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The summaries of buckets once samples are taken in, one after the other: a sum is the same to the last bit however
/// the samples were cut into batches.
pub(crate) fn roll_up(
    samples: &[(SeriesId, Sample)],
    mut known: HashMap<RollupKey, Summary>,
) -> Vec<(RollupKey, Summary)> {
    let mut changed: BTreeMap<RollupKey, Summary> = BTreeMap::new();
    for step in RollupStep::ALL {
        for (series, sample) in samples.iter().copied() {
            let key = key(step, series, sample.time);
            match changed.entry(key) {
                Entry::Occupied(mut summary) => *summary.get_mut() = summary.get().with(sample),
                Entry::Vacant(first) => {
                    let known = known.remove(&key).map(|known| known.with(sample));
                    first.insert(known.unwrap_or_else(|| Summary::of(sample)));
                }
            }
        }
    }
    changed.into_iter().collect()
}

fn key(step: RollupStep, series: SeriesId, time: Timestamp) -> RollupKey {
    RollupKey { series, step, bucket: step.bucket_of(time) }
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::events::{Event, Measurement, SensorReading};
    use proptest::prelude::*;

    use super::*;

    fn delivered(position: u64, event_seconds: i64, value: f64, unit: &str) -> Delivered {
        let measurement = Measurement { metric: "x".into(), value, unit: unit.into() };
        let event = Event {
            subject: "pump".into(),
            r#type: "sensor.reading".into(),
            position,
            event_time: Some(Timestamp::from_micros(event_seconds * 1_000_000).to_proto()),
            payload: Some(Payload::SensorReading(SensorReading { measurements: vec![measurement] })),
            ..Event::default()
        };
        Delivered { event, ingest_time: Timestamp::from_micros(100_000_000), offset: position }
    }

    #[test]
    fn what_was_too_old_when_it_came_is_counted_and_left_out() {
        let events = [delivered(1, 39, 1.0, "m"), delivered(2, 40, 1.0, "m"), delivered(3, 9_999, 1.0, "cm")];
        let batch = Batch::of(&events, Duration::from_mins(1));
        assert_eq!((batch.too_old, batch.samples.len()), (1, 2));
        assert_eq!(batch.series()[0].1, "cm", "the unit of the last event");
        let ahead = batch.samples(&[SeriesId(7)])[1].1.time;
        assert_eq!(ahead.as_micros(), 400_000_000, "a clock from the future counts for five minutes");
    }

    #[test]
    fn a_measurement_by_the_name_of_a_count_is_no_sample() {
        let mut event = delivered(1, 100, 1.0, "m");
        let Some(Payload::SensorReading(reading)) = &mut event.event.payload else { panic!("a reading") };
        let measurement = |metric: &str| Measurement { metric: metric.into(), ..Measurement::default() };
        reading.measurements.extend([measurement("events.sensor.alarm"), measurement("y")]);
        let batch = Batch::of(&[event], Duration::from_mins(1));
        let metrics: Vec<_> = batch.series().into_iter().map(|(key, _)| key.metric.as_str()).collect();
        assert_eq!((metrics, batch.samples.len()), (vec!["x", "y"], 2));
    }

    #[test]
    fn what_is_measured_counts_on_the_topic_of_measurements_alone() {
        let mut events = [delivered(1, 99, 1.0, "m"), delivered(2, 99, 1.0, "m")];
        events[1].event.r#type = "plant.reading".into();
        assert_eq!(Batch::of(&events, Duration::from_mins(1)).samples.len(), 1);
    }

    proptest! {
        #[test]
        fn roll_ups_do_not_depend_on_how_samples_are_cut_into_batches(
            values in prop::collection::vec((0..7_200_i64, -1e9..1e9_f64), 1..60),
            cut in 0..60_usize,
        ) {
            let samples: Vec<_> = values.iter().zip(1..).map(|((seconds, value), position)| {
                let time = Timestamp::from_micros(seconds * 1_000_000);
                (SeriesId(1), Sample { time, position, value: *value })
            }).collect();
            let whole = roll_up(&samples, HashMap::new());
            let (one, other) = samples.split_at(cut.min(samples.len()));
            let mut pieces: HashMap<_, _> = roll_up(one, HashMap::new()).into_iter().collect();
            pieces.extend(roll_up(other, pieces.clone()));
            prop_assert_eq!(pieces.len(), whole.len());
            for (key, summary) in whole {
                prop_assert_eq!(pieces[&key], summary);
            }
            let times = samples.iter().map(|(series, sample)| (*series, sample.time));
            prop_assert!(buckets(times).iter().all(|key| pieces.contains_key(key)));
        }
    }
}
