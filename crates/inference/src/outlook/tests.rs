//! What is expected is said once, before it happens, whatever becomes of the process.

use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use async_trait::async_trait;
use cornjacket_bus::{Delivered, Handler};
use cornjacket_domain::clock::ManualClock;
use cornjacket_domain::{Partitions, Patterns};
use cornjacket_proto::events::anomaly_detected::Severity;
use cornjacket_proto::events::event::Payload;
use cornjacket_proto::events::{BreachExpected, Event, Measurement, SensorReading};
use cornjacket_store::{ConsumerPartition, Options, Progress, Store};
use prost::Message;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::counts::Counted;
use crate::detectors::laws::Dice;
use crate::processor::{self, Processor};

const SOON: Duration = Duration::from_secs(30);
const MINUTE: Duration = Duration::from_mins(1);
const BEGIN: Timestamp = Timestamp::from_day(20_000);

/// A store with series of one value a minute, and a clock.
struct Plant {
    store: Store,
    clock: Arc<ManualClock>,
    processor: Processor,
    position: u64,
    _folder: TempDir,
}

impl Plant {
    async fn new() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
        let clock = Arc::new(ManualClock::at(BEGIN));
        let store = Store::open(&Options::new(url, Partitions::ONE), clock.clone()).await?;
        let keep = Duration::from_hours(24 * 7);
        let options = processor::Options {
            keep,
            counted: Counted::default(),
            partitions: Partitions::ONE,
            state_bytes: 1 << 20,
        };
        Ok(Self { store, clock, processor: Processor::new(options), position: 0, _folder: folder })
    }

    /// The next minutes of some pumps, which all measure the same.
    async fn measure(&mut self, pumps: &[&str], values: &[f64]) -> anyhow::Result<()> {
        let mut events = Vec::new();
        for value in values {
            self.clock.advance(MINUTE);
            for pump in pumps {
                self.position += 1;
                events.push(reading(pump, self.clock.now(), self.position, *value));
            }
        }
        let consumer = processor::NAME.to_owned();
        let at = ConsumerPartition { consumer, topic: "sensor-events", partition: 0 };
        let from = self.store.offsets.load(&at).await?;
        let to = Progress { next_offset: self.position, last_position: self.position };
        let mut tx = self.store.offsets.begin(&at, from, to).await?.expect("nobody else");
        self.processor.handle(&mut tx, &events, ()).await?;
        Ok(tx.commit().await?)
    }

    /// One that begins anew.
    fn lookout(&self) -> Lookout {
        let ports = Ports {
            leases: self.store.leases.clone(),
            snapshots: self.store.snapshots.clone(),
            outlooks: self.store.outlooks.clone(),
            clock: self.clock.clone(),
            keep: Duration::from_hours(24 * 7),
        };
        Lookout::new(ports, &[Arc::new(rule())], watch::Sender::new(State::Running))
    }

    /// What was said, in order.
    async fn said(&self) -> anyhow::Result<Vec<(String, BreachExpected)>> {
        let mut said = Vec::new();
        for (_, bytes) in self.store.outbox.waiting(1_000).await? {
            let event = Event::decode(bytes.as_slice())?;
            let Some(Payload::BreachExpected(breach)) = event.payload else { anyhow::bail!("no breach") };
            said.push((event.id, breach));
        }
        Ok(said)
    }
}

fn reading(pump: &str, time: Timestamp, position: u64, value: f64) -> Delivered {
    let measurement = Measurement { metric: "level".into(), value, unit: "m".into() };
    let event = Event {
        id: position.to_string(),
        source: "plant".into(),
        r#type: "sensor.reading".into(),
        subject: pump.into(),
        event_time: Some(time.to_proto()),
        position,
        payload: Some(Payload::SensorReading(SensorReading { measurements: vec![measurement] })),
        ..Event::default()
    };
    Delivered { offset: position - 1, ingest_time: time, event }
}

fn rule() -> Rule {
    Rule {
        name: "high".into(),
        subjects: Patterns::Any(vec!["pump-*".into()]),
        metrics: Patterns::All,
        upper: Some(100.0),
        lower: Some(-50.0),
        horizon: MINUTE * 30,
        step: Some(MINUTE),
        every: MINUTE * 5,
        probability: 0.5,
        severity: Severity::Critical,
    }
}

/// A line with noise.
fn line(seed: u64, from: f64, slope: f64, count: u16) -> Vec<f64> {
    let mut dice = Dice(seed);
    (0..count).map(|step| from + slope * f64::from(step) + dice.normal()).collect()
}

/// Everything that waits.
async fn look_at_all(lookout: &mut Lookout) -> anyhow::Result<()> {
    while lookout.take_turn(0).await? {}
    lookout.tell();
    Ok(())
}

/// Who waits, in order.
fn subjects(lookout: &Lookout) -> Vec<&str> {
    lookout.watches[0].waiting.iter().map(|waiting| waiting.key.subject.as_str()).collect()
}

fn time(time: Option<prost_types::Timestamp>) -> Timestamp {
    time.as_ref().and_then(Timestamp::from_proto).expect("a time")
}

#[tokio::test]
async fn a_breach_is_said_before_it_happens_and_once_for_each_episode() -> anyhow::Result<()> {
    let mut plant = Plant::new().await?;
    plant.measure(&["pump-1", "fan-1"], &line(1, 0.0, 0.0, 60)).await?;
    look_at_all(&mut plant.lookout()).await?;
    assert!(plant.said().await?.is_empty(), "nothing is to be expected");
    // By half a metre a minute: it crosses a hundred after two hundred minutes.
    let drift = line(2, 0.0, 0.5, 230);
    let crossed = drift.iter().position(|value| *value > 100.0).expect("it does");
    let crossed = plant.clock.now() + MINUTE * (u32::try_from(crossed)? + 1);
    let mut said_at = None;
    for values in drift.chunks(5) {
        plant.measure(&["pump-1", "fan-1"], values).await?;
        // Another process each time: what was said is known.
        look_at_all(&mut plant.lookout()).await?;
        if said_at.is_none() && !plant.said().await?.is_empty() {
            said_at = Some(plant.clock.now());
        }
    }
    let said = plant.said().await?;
    assert_eq!(said.len(), 1, "{said:?}");
    let (first, breach) = &said[0];
    assert!(said_at.expect("said") < crossed - MINUTE * 5, "{said_at:?} {crossed:?}");
    let (expected, earliest) = (time(breach.expected_time), time(breach.earliest_time));
    assert!(earliest <= expected && expected <= crossed + MINUTE * 10, "{expected:?} {crossed:?}");
    assert!(expected >= crossed - MINUTE * 15, "{expected:?} {crossed:?}");
    assert_eq!((breach.rule.as_str(), breach.limit), ("high", 100.0));
    assert_eq!((breach.direction, breach.severity), (1, i32::from(Severity::Critical)));
    assert_eq!(said_at, Some(time(breach.last_time)));

    // It is over, and begins again.
    plant.measure(&["pump-1", "fan-1"], &line(3, 110.0, -2.0, 60)).await?;
    plant.measure(&["pump-1", "fan-1"], &line(4, 0.0, 0.0, 120)).await?;
    look_at_all(&mut plant.lookout()).await?;
    assert_eq!(plant.said().await?.len(), 1);
    for values in line(5, 0.0, -0.5, 90).chunks(5) {
        plant.measure(&["pump-1", "fan-1"], values).await?;
        look_at_all(&mut plant.lookout()).await?;
    }
    let said = plant.said().await?;
    assert_eq!((said.len(), said[1].1.direction, said[1].1.limit), (2, 2, -50.0), "{said:?}");
    assert_ne!(*first, said[1].0);
    Ok(())
}

#[tokio::test]
async fn of_two_that_look_at_once_one_speaks() -> anyhow::Result<()> {
    let mut plant = Plant::new().await?;
    plant.measure(&["pump-1"], &line(2, 0.0, 0.5, 180)).await?;
    let (mut one, mut other) = (plant.lookout(), plant.lookout());
    for lookout in [&mut one, &mut other] {
        lookout.watches[0].list_when_due(&lookout.ports).await?;
        assert_eq!(lookout.watches[0].waiting.len(), 1);
    }
    look_at_all(&mut one).await?;
    plant.measure(&["pump-1"], &line(3, 91.0, 0.5, 2)).await?;
    look_at_all(&mut other).await?;
    assert_eq!(plant.said().await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn series_without_new_samples_are_left_alone() -> anyhow::Result<()> {
    let mut plant = Plant::new().await?;
    plant.measure(&["pump-1", "pump-2"], &line(2, 0.0, 0.0, 60)).await?;
    let mut lookout = plant.lookout();
    look_at_all(&mut lookout).await?;
    plant.measure(&["pump-2"], &line(3, 0.0, 0.0, 3)).await?;
    lookout.watches[0].list_when_due(&lookout.ports).await?;
    assert!(lookout.watches[0].waiting.is_empty(), "it is not due");
    plant.clock.advance(MINUTE * 5);
    lookout.watches[0].list_when_due(&lookout.ports).await?;
    assert_eq!(subjects(&lookout), ["pump-2"]);
    Ok(())
}

#[tokio::test]
async fn series_that_had_no_turn_come_first_and_are_said_to_be_behind() -> anyhow::Result<()> {
    let mut plant = Plant::new().await?;
    let pumps = ["pump-1", "pump-2", "pump-3"];
    plant.measure(&pumps, &line(2, 0.0, 0.0, 60)).await?;
    let mut lookout = plant.lookout();
    assert!(lookout.take_turn(0).await?);
    plant.measure(&pumps, &line(3, 0.0, 0.0, 5)).await?;
    lookout.watches[0].list_when_due(&lookout.ports).await?;
    lookout.tell();
    assert_eq!(subjects(&lookout), ["pump-2", "pump-3", "pump-1"]);
    assert!(lookout.state.borrow().reason().contains("high: 2 series"), "{:?}", lookout.state.borrow());
    assert!(lookout.take_turn(0).await?);
    plant.measure(&pumps, &line(5, 0.0, 0.0, 5)).await?;
    lookout.watches[0].list_when_due(&lookout.ports).await?;
    assert_eq!(subjects(&lookout), ["pump-3", "pump-1", "pump-2"], "in turn, not by name");
    look_at_all(&mut lookout).await?;
    plant.measure(&pumps, &line(4, 0.0, 0.0, 5)).await?;
    look_at_all(&mut lookout).await?;
    assert_eq!(*lookout.state.borrow(), State::Running);
    Ok(())
}

#[tokio::test]
async fn one_process_looks_ahead_and_gives_way_when_it_stops() -> anyhow::Result<()> {
    let mut plant = Plant::new().await?;
    plant.measure(&["pump-1"], &line(2, 0.0, 0.5, 180)).await?;
    let leases = plant.store.leases.clone();
    let other = leases.claim(NAME, "other", SOON).await?.expect("nobody has it");
    let (lookout, mut sent) = (plant.lookout(), plant.store.outbox.watch());
    let (stop, stopped) = oneshot::channel::<()>();
    let mut state = lookout.state.subscribe();
    let running = tokio::spawn(lookout.run(async move {
        stopped.await.expect_err("nobody sends anything");
    }));
    timeout(SOON, state.wait_for(|state| state.reason() == "another process looks ahead")).await??;
    assert!(plant.said().await?.is_empty());
    leases.release(NAME, other).await?;
    timeout(SOON, sent.changed()).await??;
    assert_eq!(plant.said().await?.len(), 1);
    assert_eq!(leases.claim(NAME, "other", SOON).await?, None, "it goes on looking");
    drop(stop);
    timeout(SOON, running).await??;
    assert!(leases.claim(NAME, "other", SOON).await?.is_some(), "it has given way");
    Ok(())
}

/// A lease that somebody else takes after so many times.
#[derive(Debug)]
struct Fleeting(AtomicU32);

#[async_trait]
impl Leases for Fleeting {
    async fn claim(&self, _: &str, _: &str, _: Duration) -> Result<Option<i64>, StoreError> {
        Ok(None)
    }
    async fn keep(&self, _: &str, _: i64, _: Duration) -> Result<bool, StoreError> {
        Ok(self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok())
    }
    async fn release(&self, _: &str, _: i64) -> Result<(), StoreError> {
        Ok(())
    }
}

#[tokio::test]
async fn the_lease_is_kept_for_each_series_and_without_it_nothing_is_looked_at() -> anyhow::Result<()> {
    let mut plant = Plant::new().await?;
    plant.measure(&["pump-1"], &line(2, 0.0, 0.0, 60)).await?;
    let key = SeriesKey { subject: "pump-1".into(), metric: "level".into() };
    let found = plant.store.snapshots.begin(SOON).await?.find_series(&key).await?;
    let (series, _) = found.context("it was measured")?;
    let names = ["first", "second", "third"];
    let rules = names.map(|name| Arc::new(Rule { name: name.into(), ..rule() }));
    for kept in [0, 1, 2] {
        let ports = Ports { leases: Arc::new(Fleeting(AtomicU32::new(kept))), ..plant.lookout().ports };
        let state = watch::Sender::new(State::Running);
        Lookout::new(ports, &rules, state).work(1).await?;
        for (name, number) in names.iter().zip(0..) {
            let known = plant.store.outlooks.load(name, &[series]).await?;
            assert_eq!(known.len(), usize::from(number < kept), "{name}, with a lease for {kept}");
        }
        plant.measure(&["pump-1"], &line(3, 0.0, 0.0, 5)).await?;
    }
    Ok(())
}

/// A store that never answers, once it is asked.
#[derive(Debug)]
struct Gone(watch::Sender<bool>);

#[async_trait]
impl Outlooks for Gone {
    async fn load(&self, _: &str, _: &[SeriesId]) -> Result<HashMap<SeriesId, Outlook>, StoreError> {
        self.0.send_replace(true);
        std::future::pending().await
    }
    async fn follow(&self, _: &Next<'_>) -> Result<bool, StoreError> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_store_that_never_answers_is_waited_for_and_that_is_said() -> anyhow::Result<()> {
    let mut plant = Plant::new().await?;
    plant.measure(&["pump-1"], &line(2, 0.0, 0.0, 60)).await?;
    let mut lookout = plant.lookout();
    let (asked, mut state) = (watch::Sender::new(false), lookout.state.subscribe());
    let mut was_asked = asked.subscribe();
    lookout.ports.outlooks = Arc::new(Gone(asked));
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(lookout.run(async move {
        stopped.await.expect_err("nobody sends anything");
    }));
    timeout(SOON, was_asked.wait_for(|asked| *asked)).await??;
    // Nobody else works now: time goes by at once.
    tokio::time::pause();
    timeout(SOON, state.wait_for(|state| state.reason().contains("did not answer within"))).await??;
    let other = plant.store.leases.claim(NAME, "other", SOON).await?;
    assert!(other.is_some(), "another process may try meanwhile");
    tokio::time::resume();
    drop(stop);
    Ok(timeout(SOON, running).await??)
}
