//! Events that were parked and are tried again: a backtest of what runs still finds exactly what was sent, of all series.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::{Delivered, Handler};
use cornjacket_domain::{Partitions, Shard, SystemClock, Timestamp};
use cornjacket_inference::backtest::{How, Material, Question};
use cornjacket_inference::detectors;
use cornjacket_inference::{Counted, Processor, processor};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{AnomalyDetected, Event, Measurement, SensorReading};
use cornjacket_store::{
    ConsumerPartition, ListedModel, Mode, ModelId, Options, Progress, SeriesFilter, Store, TimeRange, Word,
};
use prost::Message;

const SUBJECTS: [&str; 3] = ["pump-1", "pump-2", "pump-3"];
const ALWAYS: TimeRange =
    TimeRange { start: Timestamp::from_micros(0), end: Timestamp::from_micros(4_000_000_000_000_000) };

/// One that goes by subject in turn, and jumps now and then.
fn event(position: u64) -> Delivered {
    let seconds = 1_700_000_000 + i64::try_from(position).expect("small");
    let ingest_time = Timestamp::from_micros(seconds * 1_000_000);
    let value = if position % 7 < 2 { 60.0 } else { 20.0 };
    let subject = SUBJECTS[usize::try_from(position % 3).expect("small")].to_owned();
    let measurements = vec![Measurement { metric: "in".into(), value, unit: "Cel".into() }];
    let event = Event {
        id: position.to_string(),
        source: "plant".into(),
        r#type: "sensor.reading".into(),
        subject,
        event_time: Some(ingest_time.to_proto()),
        position,
        payload: Some(Payload::SensorReading(SensorReading { measurements })),
        ..Event::default()
    };
    Delivered { offset: position - 1, ingest_time, event }
}

/// A process beside a store, with the letters that it has parked.
struct Run {
    store: Store,
    processor: Processor,
    parked: Vec<Delivered>,
}

impl Run {
    async fn begin(url: String) -> anyhow::Result<Self> {
        let store = Store::open(&Options::new(url, Partitions::ONE), Arc::new(SystemClock)).await?;
        Ok(Self { store, processor: process(), parked: Vec::new() })
    }

    /// What comes in up to a position, in batches; those of a subject are parked.
    async fn go_on(&mut self, through: u64, poisoned: Option<&str>) -> anyhow::Result<()> {
        let at = at();
        let mut from = self.store.offsets.load(&at).await?;
        while from.last_position < through {
            let last = through.min(from.last_position + 10);
            let (parked, events): (Vec<_>, Vec<_>) = (from.last_position + 1..=last)
                .map(event)
                .partition(|one| Some(one.event.subject.as_str()) == poisoned);
            self.parked.extend(parked);
            let to = Progress { next_offset: last, last_position: last };
            self.take(from, to, &events).await?;
            from = to;
        }
        Ok(())
    }

    /// Tries again what is parked, in two transactions that leave the offset where it is.
    async fn redrive(&mut self) -> anyhow::Result<()> {
        let here = self.store.offsets.load(&at()).await?;
        let parked = std::mem::take(&mut self.parked);
        assert!(parked.len() > 20, "too little to show anything");
        for events in parked.chunks(parked.len() / 2 + 1) {
            self.take(here, here, events).await?;
        }
        Ok(())
    }

    async fn take(&self, from: Progress, to: Progress, events: &[Delivered]) -> anyhow::Result<()> {
        let mut tx = self.store.offsets.begin(&at(), from, to).await?.expect("nobody else");
        self.processor.handle(&mut tx, events, ()).await?;
        Ok(tx.commit().await?)
    }

    async fn register(&self, name: &str, upper: f64, mode: Mode) -> anyhow::Result<ModelId> {
        let parameters = serde_json::json!({ "upper": upper, "hold_samples": 1 });
        let draft = detectors::draft(name, "threshold", ("*", "*"), &parameters).expect("a draft");
        Ok(self.store.models.register(&draft, mode, Some("ann"), now()).await?.id)
    }

    async fn switch(&self, model: ModelId, mode: Mode) -> anyhow::Result<()> {
        Ok(self.store.models.set_mode(model, mode, Some("ann"), now()).await?)
    }

    async fn say(&self, subject: &str, model: &str) -> anyhow::Result<()> {
        let series = cornjacket_domain::SeriesKey { subject: subject.into(), metric: "in".into() };
        let (by, now) = (Some("ann"), now());
        let shard = Shard::of(&series, Partitions::ONE);
        let word = Word { series: &series, shard, model, version: 1, is_false_alarm: true, by, now };
        let mut tx = self.store.offsets.begin_apart().await?;
        assert!(tx.take_word(&word).await?);
        Ok(tx.commit().await?)
    }

    /// What was sent: model, subject, and the time of the sample.
    async fn sent(&self) -> anyhow::Result<BTreeSet<Found>> {
        let mut sent = BTreeSet::new();
        for (_, event) in self.store.outbox.waiting(100_000).await? {
            let anomaly = anomaly(Event::decode(event.as_slice())?);
            let time = Timestamp::from_proto(&anomaly.sample_time.expect("it has one")).expect("a time");
            assert!(sent.insert((anomaly.model, anomaly.series_subject, time)), "an anomaly is there once");
        }
        Ok(sent)
    }

    /// What a backtest of all that is registered finds, and what it takes for sent.
    async fn found(&self) -> anyhow::Result<[BTreeSet<Found>; 2]> {
        let (mut found, mut sent) = (BTreeSet::new(), BTreeSet::new());
        let mut snapshot = self.store.snapshots.begin(Duration::from_mins(1)).await?;
        let filter = SeriesFilter { subject: None, since: ALWAYS.start, after: None, limit: 1_000 };
        for series in snapshot.list_series(&filter).await? {
            for ListedModel { model, .. } in self.store.models.list().await? {
                let (name, compared) = (model.draft.name.clone(), vec![model.id]);
                let question = Question {
                    series: series.id,
                    key: series.key.clone(),
                    shard: Shard::of(&series.key, Partitions::ONE),
                    model,
                    how: How::AsItRan,
                    range: ALWAYS,
                    oldest: ALWAYS.start,
                    most: 100_000,
                    compared,
                };
                let material = Material::read(snapshot.as_mut(), question).await?;
                let of = |time| (name.clone(), series.key.subject.clone(), time);
                sent.extend(material.sent.iter().map(|one| of(one.time)));
                let ran = material.run(&|| true, &mut |seen| {
                    if seen.is_active && seen.verdict.is_some_and(|verdict| verdict.finding.is_some()) {
                        found.insert(of(seen.sample.time));
                    }
                });
                assert!(ran.is_some(), "nobody cuts it off");
            }
        }
        Ok([found, sent])
    }
}

type Found = (String, String, Timestamp);

fn process() -> Processor {
    let (keep, state_bytes) = (Duration::from_hours(24 * 7), 1 << 20);
    Processor::new(processor::Options {
        keep,
        counted: Counted::default(),
        partitions: Partitions::ONE,
        state_bytes,
    })
}

fn at() -> ConsumerPartition {
    ConsumerPartition { consumer: processor::NAME.into(), topic: "sensor-events", partition: 0 }
}

fn now() -> Timestamp {
    Timestamp::from_micros(0)
}

fn anomaly(event: Event) -> AnomalyDetected {
    match event.payload {
        Some(Payload::AnomalyDetected(anomaly)) => anomaly,
        other => panic!("no anomaly: {other:?}"),
    }
}

async fn law(url: String) -> anyhow::Result<()> {
    let mut run = Run::begin(url).await?;
    let first = run.register("first", 50.0, Mode::Active).await?;
    let second = run.register("second", 40.0, Mode::Shadow).await?;
    run.go_on(200, None).await?;
    run.go_on(300, Some("pump-1")).await?;
    // Others meet these where they are; what is parked, when it is tried again.
    run.register("later", 30.0, Mode::Active).await?;
    run.switch(second, Mode::Active).await?;
    run.say("pump-1", "first").await?;
    run.go_on(400, Some("pump-1")).await?;
    run.switch(first, Mode::Off).await?;
    run.go_on(500, Some("pump-1")).await?;
    // This one nobody has met when it is tried again.
    run.register("last", 25.0, Mode::Active).await?;
    run.say("pump-2", "later").await?;
    // By another process, which remembers nothing.
    run.processor = process();
    run.redrive().await?;
    run.go_on(600, None).await?;
    // And once more, by one that remembers.
    run.go_on(700, Some("pump-1")).await?;
    run.switch(first, Mode::Active).await?;
    run.go_on(800, Some("pump-1")).await?;
    run.redrive().await?;
    run.go_on(900, None).await?;

    let sent = run.sent().await?;
    let of = |model: &str| sent.iter().filter(|(of, ..)| of == model).count();
    println!("{} sent: {:?}", sent.len(), ["first", "second", "later", "last"].map(of));
    assert!(["first", "second", "later", "last"].into_iter().all(|model| of(model) > 20));
    let [found, taken_for_sent] = run.found().await?;
    let differ = |one: &BTreeSet<Found>| one.symmetric_difference(&sent).cloned().collect::<Vec<_>>();
    assert_eq!(differ(&found), [], "what a backtest finds is what was sent");
    assert_eq!(differ(&taken_for_sent), [], "and it knows what was sent");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn backtests_equal_what_was_sent_also_of_what_was_parked_on_sqlite() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    law(format!("sqlite://{}/cornjacket.db", folder.path().display())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn backtests_equal_what_was_sent_also_of_what_was_parked_on_postgres() -> anyhow::Result<()> {
    law(cornjacket_testkit::fresh_database().await?).await
}
