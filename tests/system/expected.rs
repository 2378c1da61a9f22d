//! What a log comes to, by the test's own reckoning, and whether that is what is stored.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use cornjacket_domain::stored::effective_time;
use cornjacket_domain::{Partitions, RollupStep, Sample, SeriesKey, StoredEvent, Summary, Timestamp, Topic};
use cornjacket_proto::events::Event;
use cornjacket_proto::events::event::Payload;
use cornjacket_query::projections::{self, Declared, Happening, Parameters};
use cornjacket_store::{SeriesFilter, Snapshot, Store, TimeRange};
use cornjacket_testkit::wait;
use serde_json::Value;

const PATIENCE: Duration = Duration::from_mins(1);
/// A consumer, and a topic that it reads.
pub type Reader = (&'static str, Topic);

/// Who writes series, where nothing is counted.
const INFERENCE: Reader = ("inference", Topic::SensorEvents);
const ALWAYS: TimeRange =
    TimeRange { start: Timestamp::from_micros(0), end: Timestamp::from_micros(4_000_000_000_000_000) };

#[derive(Debug, Default)]
struct Series {
    samples: Vec<Sample>,
    rollups: BTreeMap<(RollupStep, Timestamp), Summary>,
}

impl Series {
    fn add(&mut self, time: Timestamp, position: u64, value: f64) {
        let sample = Sample { time, position, value };
        self.samples.push(sample);
        for step in RollupStep::ALL {
            let bucket = (step, step.bucket_of(time));
            let known = self.rollups.get(&bucket);
            let summary = known.map_or_else(|| Summary::of(sample), |known| known.with(sample));
            self.rollups.insert(bucket, summary);
        }
    }
}

/// Every state and every series of a log.
#[derive(Debug, Default)]
pub struct Expected {
    states: Vec<(&'static Declared, BTreeMap<String, Value>)>,
    series: BTreeMap<SeriesKey, Series>,
}

impl Expected {
    /// Of those events that `counts`, all but poison.
    pub fn of(log: &[StoredEvent], counts: impl Fn(&Event) -> bool) -> anyhow::Result<Self> {
        let mut expected = Self::default();
        let events = events(log, counts)?;
        for (event, time) in &events {
            expected.add_samples(event, *time);
        }
        for projection in projections::ALL {
            expected.states.push((projection, states(projection, &events)?));
        }
        Ok(expected)
    }

    fn add_samples(&mut self, event: &Event, time: Timestamp) {
        let Some(Payload::SensorReading(reading)) = &event.payload else { return };
        for measurement in &reading.measurements {
            let key = SeriesKey { subject: event.subject.clone(), metric: measurement.metric.clone() };
            self.series.entry(key).or_default().add(time, event.position, measurement.value);
        }
    }

    /// With what events of these types count.
    pub fn and_counts(mut self, log: &[StoredEvent], types: &[&str]) -> anyhow::Result<Self> {
        let mut minutes: BTreeMap<_, u32> = BTreeMap::new();
        for (event, time) in events(log, |event| types.contains(&event.r#type.as_str()))? {
            let key = SeriesKey::counting(&event.subject, &event.r#type);
            let minute = minutes.entry((key.clone(), RollupStep::Minute.bucket_of(time))).or_default();
            *minute += 1;
            self.series.entry(key).or_default().add(time, event.position, f64::from(*minute));
        }
        Ok(self)
    }

    /// The samples of every series, in the order of positions.
    pub fn samples(&self) -> impl Iterator<Item = (&SeriesKey, &[Sample])> {
        self.series.iter().map(|(key, series)| (key, series.samples.as_slice()))
    }

    /// All of it is stored, to the last bit, and no other series.
    pub async fn check(mut self, store: &Store) -> anyhow::Result<()> {
        let mut snapshot = store.snapshots.begin(PATIENCE).await?;
        for (projection, states) in &self.states {
            check_states(snapshot.as_mut(), projection, states).await?;
        }
        let (mut samples, mut rollups) = (0, 0);
        for (key, expected) in &mut self.series {
            let (id, _) = snapshot.find_series(key).await?.with_context(|| format!("{key:?}"))?;
            expected.samples.sort_by_key(|sample| (sample.time, sample.position));
            let stored = snapshot.samples(id, ALWAYS, None, u32::MAX).await?;
            assert_eq!(stored, expected.samples, "{key:?}");
            samples += stored.len();
            for step in RollupStep::ALL {
                let stored = snapshot.rollups(id, step, ALWAYS).await?;
                let of_step = expected.rollups.iter().filter(|((of, _), _)| *of == step);
                let expected: Vec<_> = of_step.map(|((_, bucket), summary)| (*bucket, *summary)).collect();
                assert_eq!(stored, expected, "{step:?} of {key:?}");
                rollups += stored.len();
            }
        }
        let since = Timestamp::from_micros(0);
        let all = SeriesFilter { subject: None, since, after: None, limit: u32::MAX };
        assert_eq!(snapshot.list_series(&all).await?.len(), self.series.len(), "no other series");
        let states: usize = self.states.iter().map(|(_, states)| states.len()).sum();
        println!("{states} states, {samples} samples and {rollups} roll-ups are the fold");
        Ok(())
    }
}

/// Those events of a log that `counts`, each with its effective time.
pub fn events(
    log: &[StoredEvent],
    counts: impl Fn(&Event) -> bool,
) -> anyhow::Result<Vec<(Event, Timestamp)>> {
    let mut events = Vec::with_capacity(log.len());
    for stored in log {
        let event = stored.decode()?;
        if counts(&event) {
            let time = effective_time(&event, stored.ingest_time);
            events.push((event, time));
        }
    }
    Ok(events)
}

/// The states that a projection makes of events, each with its effective time, by subject.
pub fn states(
    projection: &Declared,
    events: &[(Event, Timestamp)],
) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut by_subject: BTreeMap<&str, Vec<Happening<'_>>> = BTreeMap::new();
    for (event, time) in events.iter().filter(|(event, _)| projection.reads(&event.r#type)) {
        by_subject.entry(&event.subject).or_default().push(Happening { event, time: *time });
    }
    let mut states = BTreeMap::new();
    for (subject, happenings) in by_subject {
        if let Some(state) = projection.fold(None, &happenings, &Parameters::default())? {
            states.insert(subject.to_owned(), serde_json::from_str(&state)?);
        }
    }
    Ok(states)
}

/// Every one of these states is stored.
pub async fn check_states(
    snapshot: &mut dyn Snapshot,
    projection: &Declared,
    expected: &BTreeMap<String, Value>,
) -> anyhow::Result<()> {
    let name = projection.id.name;
    for (subject, expected) in expected {
        let state = snapshot.state(projection.id, subject).await?;
        let state = state.with_context(|| format!("{name} of {subject} is missing"))?;
        assert_eq!(&serde_json::from_str::<Value>(&state.json)?, expected, "{name} of {subject}");
    }
    Ok(())
}

/// Waits until every consumer has read all that the log has for it.
pub async fn until_read(store: &Store, log: &[StoredEvent], deadline: Duration) -> anyhow::Result<()> {
    let mut readers = vec![INFERENCE];
    for projection in projections::ALL {
        readers.extend(projection.topics().into_iter().map(|topic| (projection.id.name, topic)));
    }
    until_read_by(&readers, store, log, deadline).await
}

/// Waits until these have read all that the log has for them.
pub async fn until_read_by(
    readers: &[Reader],
    store: &Store,
    log: &[StoredEvent],
    deadline: Duration,
) -> anyhow::Result<()> {
    let partitions: Partitions = store.partitions;
    let mut last: BTreeMap<(Topic, u16), u64> = BTreeMap::new();
    for stored in log {
        let place = (Topic::of_type(&stored.event_type), partitions.of_subject(&stored.subject));
        last.insert(place, stored.position);
    }
    wait::until(deadline, "every consumer has read the log", async || {
        let Ok(consumers) = store.consumers.list().await else { return false };
        let has_read = |consumer: &str, topic: Topic, partition: u16, position: u64| {
            consumers.iter().any(|status| {
                let at = &status.at;
                (at.consumer.as_str(), at.topic, at.partition) == (consumer, topic.name(), partition)
                    && status.progress.last_position >= position
            })
        };
        readers.iter().all(|(consumer, topic)| {
            let here = last.iter().filter(|((of, _), _)| of == topic);
            here.into_iter()
                .all(|((_, partition), position)| has_read(consumer, *topic, *partition, *position))
        })
    })
    .await
}
