//! Series through the processor, as if they came today as they came then, and back from the store.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cornjacket_bus::{Delivered, Handler};
use cornjacket_domain::{Partitions, Sample, SeriesKey, SystemClock, Timestamp, Topic};
use cornjacket_inference::nab::{Said, Series};
use cornjacket_inference::{Processor, processor};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{Event, Measurement, SensorReading};
use cornjacket_store::{
    ConsumerPartition, DetectorKey, Draft, Mode, ModelId, Options, Progress, SeriesId, Store, TimeRange,
};

/// Events of a transaction.
const BATCH: usize = 500;
/// Scores that are read at once.
const PAGE: u32 = 50_000;
const DEADLINE: Duration = Duration::from_mins(1);
const METRIC: &str = "value";
const ALWAYS: TimeRange =
    TimeRange { start: Timestamp::from_micros(0), end: Timestamp::from_micros(4_000_000_000_000_000) };

/// What a model said of each series, and what it remembers of each, as it was saved last.
#[derive(Debug, Default)]
pub struct Streamed {
    pub said: Vec<Said>,
    pub states: Vec<Vec<u8>>,
}

/// What a series is called in the store.
pub fn key_of(series: &Series) -> SeriesKey {
    SeriesKey { subject: series.name.clone(), metric: METRIC.to_owned() }
}

/// Has the models see the series on a new store: what each of them said.
pub async fn stream(
    url: &str,
    options: processor::Options,
    series: &[Series],
    drafts: &[&Draft],
) -> anyhow::Result<Vec<Streamed>> {
    let store = Store::open(&Options::new(url.to_owned(), Partitions::ONE), Arc::new(SystemClock)).await?;
    let mut models = Vec::new();
    for draft in drafts {
        let model = store.models.register(draft, Mode::Active, None, Timestamp::from_micros(0)).await?;
        models.push(model.id);
    }
    let order = order(series);
    let processor = Processor::new(options);
    for (batch, first) in order.chunks(BATCH).zip((1..).step_by(BATCH)) {
        let events: Vec<Delivered> =
            batch.iter().zip(first..).map(|(one, position)| delivered(series, *one, position)).collect();
        take(&store, &processor, &events).await?;
    }
    read_back(&store, series, &order, &models).await
}

/// A sample: which series it is of, and where it is in it.
type Place = (usize, usize);

/// All samples as they would have come: by time, and of each series in its order.
fn order(series: &[Series]) -> Vec<Place> {
    let mut order = Vec::new();
    for (number, series) in series.iter().enumerate() {
        let came = series.samples.iter().scan(ALWAYS.start, |latest, sample: &Sample| {
            *latest = sample.time.max(*latest);
            Some(*latest)
        });
        order.extend(came.enumerate().map(|(index, came)| (came, (number, index))));
    }
    order.sort_by_key(|(came, _)| *came);
    order.into_iter().map(|(_, place)| place).collect()
}

/// The event that a sample would have been, stored at once: a sample of ten years ago is as new as any was.
fn delivered(series: &[Series], (number, index): Place, position: u64) -> Delivered {
    let (series, sample) = (&series[number], &series[number].samples[index]);
    let measurement = Measurement { metric: METRIC.into(), value: sample.value, ..Measurement::default() };
    let event = Event {
        id: position.to_string(),
        source: "bench/nab".into(),
        r#type: "sensor.reading".into(),
        subject: series.name.clone(),
        event_time: Some(sample.time.to_proto()),
        position,
        payload: Some(Payload::SensorReading(SensorReading { measurements: vec![measurement] })),
        ..Event::default()
    };
    Delivered { offset: position - 1, ingest_time: sample.time, event }
}

/// A transaction, as the consume loop makes it.
async fn take(store: &Store, processor: &Processor, events: &[Delivered]) -> anyhow::Result<()> {
    let at = ConsumerPartition {
        consumer: processor::NAME.into(),
        topic: Topic::SensorEvents.name(),
        partition: 0,
    };
    let last = events.last().context("a batch has events")?;
    let to = Progress { next_offset: last.offset + 1, last_position: last.event.position };
    let from = store.offsets.load(&at).await?;
    let mut tx = store.offsets.begin(&at, from, to).await?.context("somebody else consumes, too")?;
    processor.handle(&mut tx, events, ()).await?;
    Ok(tx.commit().await?)
}

async fn read_back(
    store: &Store,
    series: &[Series],
    order: &[Place],
    models: &[ModelId],
) -> anyhow::Result<Vec<Streamed>> {
    let mut all: Vec<Streamed> = models.iter().map(|_| Streamed::default()).collect();
    let mut snapshot = store.snapshots.begin(DEADLINE).await?;
    for of in series {
        let (id, _) = snapshot.find_series(&key_of(of)).await?.context("the series is stored")?;
        let mut said = vec![Said::nothing(of.samples.len()); models.len()];
        let mut after = None;
        loop {
            let page = snapshot.scores(id, ALWAYS, after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.place());
            for score in &page {
                let model = models.iter().position(|model| *model == score.model);
                let said = &mut said[model.context("one of ours")?];
                let (_, index) = order[usize::try_from(score.position)? - 1];
                said.scores[index] = score.score;
                said.findings[index] = score.severity.is_some();
            }
        }
        for (streamed, said) in all.iter_mut().zip(said) {
            streamed.said.push(said);
        }
        states(store, id, models, &mut all).await?;
    }
    Ok(all)
}

async fn states(
    store: &Store,
    series: SeriesId,
    models: &[ModelId],
    all: &mut [Streamed],
) -> anyhow::Result<()> {
    let keys: Vec<DetectorKey> = models.iter().map(|model| (series, *model)).collect();
    let mut saved = store.offsets.begin_apart().await?.load_detectors(&keys).await?;
    for (streamed, key) in all.iter_mut().zip(&keys) {
        streamed.states.push(saved.remove(key).context("every detector is saved")?.state);
    }
    Ok(())
}
