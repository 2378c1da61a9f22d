//! `cornjacket` on PostgreSQL and Kafka, and what must hold between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cornjacket_bus::kafka::{KafkaBus, KafkaOptions};
use cornjacket_bus::{Begin, Bus, Delivered, Delivery, Format, Record};
use cornjacket_domain::{Partitions, StoredEvent, SystemClock, Topic};
use cornjacket_query::projections;
use cornjacket_store::{Options, Range, Store};
use cornjacket_testkit::shared::unique_name;
use cornjacket_testkit::{fresh_database, shared_kafka, wait};
use tokio::time::{Instant, timeout_at};

use super::cornjacket::Cornjacket;
use super::expected;

pub const PARTITIONS: u16 = 4;
/// How long events may take to get through when nothing holds them up.
const SETTLE: Duration = Duration::from_secs(90);

/// A database and a Kafka, with names on them that no other test uses.
#[derive(Debug)]
pub struct FullStack {
    pub database: String,
    pub servers: String,
    prefix: String,
}

impl FullStack {
    /// On the servers that all tests share.
    pub async fn shared() -> anyhow::Result<Self> {
        Ok(Self::on(fresh_database().await?, shared_kafka().await?))
    }

    pub fn on(database: String, servers: String) -> Self {
        Self { database, servers, prefix: format!("{}-", unique_name("system")) }
    }

    /// A process on it, quick to take over from one that was killed; with more settings on top.
    pub fn cornjacket(&self, settings: &[(&str, &str)]) -> anyhow::Result<Cornjacket> {
        let (servers, partitions) = (format!("kafka://{}", self.servers), PARTITIONS.to_string());
        let own = [
            ("store.url", self.database.as_str()),
            ("bus.url", &servers),
            ("bus.topic_prefix", &self.prefix),
            ("bus.partitions", &partitions),
            ("bus.session_timeout_ms", "1000"),
            ("relay.lease_ms", "400"),
        ];
        Cornjacket::new(&[&own, settings].concat())
    }

    /// The name on Kafka of one of our topics.
    pub fn topic(&self, topic: &str) -> String {
        format!("{}{topic}", self.prefix)
    }

    /// Waits until all of the log has been published and folded, then checks both against the log.
    pub async fn check(&self) -> anyhow::Result<()> {
        let log = read_log(&self.database).await?;
        self.check_topics(&log).await?;
        self.check_device_state(&log).await
    }

    /// Every stored event is on its topic, as it was stored, in position order per subject once repeats are dropped.
    pub async fn check_topics(&self, log: &[StoredEvent]) -> anyhow::Result<()> {
        let mut last = BTreeMap::new();
        let mut published = BTreeMap::new();
        for delivered in self.read_topics(log.len()).await? {
            let position = delivered.event.position;
            let key = (Topic::of_type(&delivered.event.r#type), delivered.event.subject.clone());
            if published.insert(position, delivered).is_none() {
                let before = last.insert(key.clone(), position);
                assert!(before < Some(position), "{key:?}: {position} came after {before:?}");
            }
        }
        for stored in log {
            let delivered = published.get(&stored.position).context("published")?;
            assert_eq!(delivered.event, stored.decode()?);
        }
        println!("{} events on the topics, in order", published.len());
        Ok(())
    }

    /// Reads the topics from their beginning until `count` different positions were seen; without replays.
    async fn read_topics(&self, count: usize) -> anyhow::Result<Vec<Delivered>> {
        let mut seen = BTreeSet::new();
        let records = self.read_records(|record| {
            seen.extend(record.envelope.position.filter(|_| record.envelope.replay.is_none()));
            seen.len() >= count
        });
        let records = records.await?;
        let relayed = records.iter().filter(|record| record.envelope.replay.is_none());
        relayed.map(|record| Ok(record.decode()?)).collect()
    }

    /// Reads the topics from their beginning, as somebody else may, until one of the records was `enough`.
    pub async fn read_records(&self, mut enough: impl FnMut(&Record) -> bool) -> anyhow::Result<Vec<Record>> {
        let bus = KafkaBus::new(KafkaOptions {
            servers: self.servers.clone(),
            prefix: self.prefix.clone(),
            format: Format::Protobuf,
            partitions: Partitions::new(PARTITIONS).context("above zero")?,
            retention: Duration::from_hours(24),
            replication_factor: -1,
            epoch: 1,
            session_timeout: Duration::from_secs(6),
            instance_id: None,
        });
        let mut subscription = bus.subscribe(&unique_name("reader"), &Topic::ALL).await?;
        let deadline = Instant::now() + SETTLE;
        let (mut read, mut done) = (Vec::new(), false);
        while !done {
            let delivery = timeout_at(deadline, subscription.next()).await;
            match delivery.with_context(|| format!("{} records and not enough", read.len()))?? {
                Delivery::Assigned(assignment) => {
                    drop(assignment.begin_at.send(vec![Begin::At(0); assignment.partitions.len()]));
                }
                Delivery::Records(records) => {
                    for record in records.into_values().flatten() {
                        done |= enough(&record);
                        read.push(record);
                    }
                }
            }
        }
        Ok(read)
    }

    /// `device_state` is the fold of the log.
    pub async fn check_device_state(&self, log: &[StoredEvent]) -> anyhow::Result<()> {
        let projection = projections::by_name("device_state").context("registered")?;
        let store = open(&self.database).await?;
        let events = expected::events(log, |event| projection.reads(&event.r#type))?;
        let last: BTreeMap<_, _> =
            events.iter().map(|(event, _)| (event.subject.clone(), event.position)).collect();
        let expected = expected::states(projection, &events)?;
        assert_eq!(expected.len(), last.len(), "every device has a state");
        for (device, expected) in expected {
            let what = format!("the state of {device} has all its events");
            let state = wait::until_some(SETTLE, &what, async || {
                let mut snapshot = store.snapshots.begin(SETTLE).await.ok()?;
                let state = snapshot.state(projection.id, &device).await.ok()??;
                (Some(&state.last_position) == last.get(&device)).then_some(state)
            });
            assert_eq!(serde_json::from_str::<serde_json::Value>(&state.await?.json)?, expected, "{device}");
        }
        Ok(())
    }
}

/// The store as a process opens it.
pub async fn open(url: &str) -> anyhow::Result<Store> {
    let partitions = if url.starts_with("sqlite") { 1 } else { PARTITIONS };
    let partitions = Partitions::new(partitions).context("above zero")?;
    Ok(Store::open(&Options::new(url.to_owned(), partitions), Arc::new(SystemClock)).await?)
}

/// All of a log, whose positions must have no hole.
pub async fn read_log(url: &str) -> anyhow::Result<Vec<StoredEvent>> {
    let store = open(url).await?;
    let mut log: Vec<StoredEvent> = Vec::new();
    loop {
        let events = store.log.read(&Range::after(log.len() as u64, 5_000)).await?;
        if events.is_empty() {
            return Ok(log);
        }
        for stored in events {
            assert_eq!(stored.position, log.len() as u64 + 1, "positions have no hole");
            log.push(stored);
        }
    }
}
