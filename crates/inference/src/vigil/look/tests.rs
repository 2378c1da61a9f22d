//! Who speaks is not silent, whatever else there is to read, and who does not is.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_bus::consumer::State;
use cornjacket_bus::{Delivered, Handler};
use cornjacket_domain::clock::ManualClock;
use cornjacket_domain::stored::StoredEvent;
use cornjacket_domain::{Clock, Limits, Partitions, Shard, Timestamp, Topic};
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{Event, Measurement, SensorReading};
use cornjacket_store::{Mode, Options, Progress, Range, Store, Vigil};
use tokio::sync::watch;

use super::processor_in;
use crate::counts::Counted;
use crate::detectors;
use crate::processor::{self, Processor};
use crate::vigil::{Ports, Silences};

/// After so many seconds it is a silence.
const AFTER: i64 = 10;

/// A device, its processor, and a vigil over both. Time is in seconds since the beginning.
struct Plant {
    store: Store,
    clock: Arc<ManualClock>,
    processor: Processor,
    silences: Silences,
    said: u64,
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros((1_700_000_000 + seconds) * 1_000_000)
}

impl Plant {
    async fn begin(url: String) -> anyhow::Result<Self> {
        let clock = Arc::new(ManualClock::at(at(0)));
        let store = Store::open(&Options::new(url, Partitions::ONE), clock.clone()).await?;
        let parameters = serde_json::json!({ "after_seconds": AFTER });
        let draft = detectors::draft("quiet", "silence", ("*", "*"), &parameters).expect("a draft");
        store.models.register(&draft, Mode::Active, None, at(0)).await?;
        let (keep, counted, state_bytes) = (Duration::from_hours(24), Counted::default(), 1 << 20);
        let options = processor::Options { keep, counted, partitions: Partitions::ONE, state_bytes };
        let ports = Ports::of(&store, Counted::default(), clock.clone());
        let silences = Silences::new(ports, Duration::ZERO, watch::Sender::new(State::Running));
        Ok(Self { store, clock, processor: Processor::new(options), silences, said: 0 })
    }

    /// The device says something now. A measurement is of `event_time`.
    fn event(&mut self, event_time: Option<i64>) -> cornjacket_domain::Event {
        self.said += 1;
        let measurements = vec![Measurement { metric: "x".into(), value: 1.0, unit: String::new() }];
        let event = Event {
            id: self.said.to_string(),
            source: "plant".into(),
            r#type: if event_time.is_some() { "sensor.reading" } else { "plant.note" }.into(),
            subject: "pump".into(),
            event_time: event_time.map(|seconds| at(seconds).to_proto()),
            payload: event_time.map(|_| Payload::SensorReading(SensorReading { measurements })),
            ..Event::default()
        };
        cornjacket_domain::Event::new(event, self.clock.now(), &Limits::default()).expect("a good event")
    }

    /// Measures at a second, by a clock that shows another one.
    async fn measure(&mut self, seconds: i64, event_time: i64) -> anyhow::Result<()> {
        self.clock.set(at(seconds));
        let event = self.event(Some(event_time));
        self.store.log.append(&[event]).await?;
        self.process().await
    }

    /// The processor takes what there is.
    async fn process(&self) -> anyhow::Result<()> {
        let place = processor_in(Shard::at(Topic::SensorEvents, 0, Partitions::ONE));
        let from = self.store.offsets.load(&place).await?;
        let events = self.store.log.read(&Range::after(from.last_position, 1_000)).await?;
        let is_ours = |event: &&StoredEvent| Topic::of_type(&event.event_type) == Topic::SensorEvents;
        let mut delivered = Vec::new();
        for event in events.iter().filter(is_ours) {
            let (ingest_time, position) = (event.ingest_time, event.position);
            let event = Event { position, ..event.decode()? };
            delivered.push(Delivered { offset: position, ingest_time, event });
        }
        let Some(last) = delivered.last().map(|last| last.event.position) else { return Ok(()) };
        let to = Progress { next_offset: last, last_position: last };
        let mut tx = self.store.offsets.begin(&place, from, to).await?.expect("nobody else");
        self.processor.handle(&mut tx, &delivered, ()).await?;
        Ok(tx.commit().await?)
    }

    /// How many silences were found once it was looked at a second, with every door open since the beginning.
    async fn silences_at(&mut self, seconds: i64) -> anyhow::Result<usize> {
        self.clock.set(at(seconds));
        let open = Duration::from_secs(u64::try_from(seconds)?);
        let last = self.store.models.last_change().await?;
        let mut tx = self.store.offsets.begin_apart().await?;
        tx.keep_vigil(&Vigil { open, until: at(seconds), since: at(0), open_before: Duration::ZERO }).await?;
        self.silences.take_controls(tx.as_mut(), last).await?;
        tx.commit().await?;
        self.silences.look_at_some().await?;
        Ok(self.store.outbox.waiting(100).await?.len())
    }
}

async fn whose_clock_goes_back_speaks(url: String) -> anyhow::Result<()> {
    let mut plant = Plant::begin(url).await?;
    plant.measure(1, 201).await?;
    assert_eq!(plant.silences_at(2).await?, 0);
    for second in 3..60 {
        // Somebody has set it right: all of this is older than what it said first.
        plant.measure(second, second).await?;
        if second % 4 == 0 {
            assert_eq!(plant.silences_at(second).await?, 0, "at {second}");
        }
    }
    assert_eq!(plant.silences_at(59 + AFTER - 1).await?, 0);
    assert_eq!(plant.silences_at(59 + AFTER + 1).await?, 1);
    assert_eq!(plant.silences_at(59 + 9 * AFTER).await?, 1, "once");
    Ok(())
}

async fn beside_much_else_it_is_silent_all_the_same(url: String) -> anyhow::Result<()> {
    let mut plant = Plant::begin(url).await?;
    plant.measure(1, 1).await?;
    assert_eq!(plant.silences_at(2).await?, 0);
    let notes: Vec<_> = (0..2_500).map(|_| plant.event(None)).collect();
    for some in notes.chunks(500) {
        plant.store.log.append(some).await?;
    }
    assert_eq!(plant.silences_at(AFTER + 5).await?, 0, "there is more to read");
    assert_eq!(plant.silences_at(AFTER + 7).await?, 1);
    Ok(())
}

fn sqlite() -> anyhow::Result<(tempfile::TempDir, String)> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}/cornjacket.db", folder.path().display());
    Ok((folder, url))
}

#[tokio::test]
async fn whose_clock_goes_back_speaks_on_sqlite() -> anyhow::Result<()> {
    let (_folder, url) = sqlite()?;
    whose_clock_goes_back_speaks(url).await
}

#[tokio::test]
async fn whose_clock_goes_back_speaks_on_postgres() -> anyhow::Result<()> {
    whose_clock_goes_back_speaks(cornjacket_testkit::fresh_database().await?).await
}

#[tokio::test]
async fn beside_much_else_it_is_silent_all_the_same_on_sqlite() -> anyhow::Result<()> {
    let (_folder, url) = sqlite()?;
    beside_much_else_it_is_silent_all_the_same(url).await
}

#[tokio::test]
async fn beside_much_else_it_is_silent_all_the_same_on_postgres() -> anyhow::Result<()> {
    beside_much_else_it_is_silent_all_the_same(cornjacket_testkit::fresh_database().await?).await
}
