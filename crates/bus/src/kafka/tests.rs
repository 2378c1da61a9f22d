use std::collections::BTreeMap;

use cornjacket_domain::{Event, Limits, StoredEvent, Timestamp};
use cornjacket_proto::events as proto;
use cornjacket_testkit::{Kafka, shared_kafka};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use tokio::time::timeout;

use super::*;
use crate::codec::Envelope;
use crate::{Assignment, Begin, Delivered, Delivery, Record};

mod members;

const DEADLINE: Duration = Duration::from_mins(1);
const PARTITIONS: u16 = 3;

fn options(servers: String) -> KafkaOptions {
    KafkaOptions {
        servers,
        prefix: format!("{}-", cornjacket_testkit::shared::unique_name("bus")),
        format: Format::Protobuf,
        partitions: Partitions::new(PARTITIONS).expect("above zero"),
        retention: Duration::from_hours(24),
        replication_factor: -1,
        epoch: 1,
        session_timeout: Duration::from_secs(6),
        instance_id: None,
    }
}

async fn bus() -> anyhow::Result<KafkaBus> {
    let bus = KafkaBus::new(options(shared_kafka().await?));
    bus.prepare().await?;
    Ok(bus)
}

/// Readings at positions `from..=until` of a handful of devices.
fn events(from: u64, until: u64) -> Vec<StoredEvent> {
    (from..=until)
        .map(|position| {
            let event = proto::Event {
                id: position.to_string(),
                source: "test".into(),
                r#type: "sensor.reading".into(),
                subject: format!("pump-{}", position % 7),
                ..proto::Event::default()
            };
            let event = Event::new(event, Timestamp::default(), &Limits::default()).expect("valid");
            StoredEvent {
                position,
                ingest_time: Timestamp::from_micros(1),
                event_type: event.event_type().into(),
                subject: event.subject().into(),
                encoded: event.encoded().clone(),
            }
        })
        .collect()
}

async fn publisher(bus: &KafkaBus) -> Result<Box<dyn Publisher>, BusError> {
    Ok(bus.publisher("relay", Published::default()).await?.expect("Kafka has publishers"))
}

/// Answers an assignment: everything from the beginning. Which partitions those are.
fn begin(assignment: Assignment) -> Vec<u16> {
    let partitions = assignment.partitions.iter().map(|assigned| assigned.at.partition).collect();
    drop(assignment.begin_at.send(vec![Begin::At(0); assignment.partitions.len()]));
    partitions
}

/// The next records of a subscription that wants everything from the beginning.
async fn next_records(subscription: &mut dyn Subscription) -> anyhow::Result<Vec<Record>> {
    loop {
        match timeout(DEADLINE, subscription.next()).await?? {
            Delivery::Assigned(assignment) => drop(begin(assignment)),
            Delivery::Records(records) => return Ok(records.into_values().flatten().collect()),
        }
    }
}

/// Reads the topic from its beginning, as a group of its own, until `count` different positions were seen.
async fn read(bus: &KafkaBus, group: &str, count: usize) -> anyhow::Result<Vec<(u16, Delivered)>> {
    let mut subscription = bus.subscribe(group, &[Topic::SensorEvents]).await?;
    let mut read = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < count {
        for record in next_records(subscription.as_mut()).await? {
            let delivered = record.decode()?;
            seen.insert(delivered.event.position);
            read.push((record.at.partition, delivered));
        }
    }
    Ok(read)
}

/// The law: after dropping repeats, positions ascend within each partition.
fn assert_in_order(read: &[(u16, Delivered)]) {
    let mut seen = std::collections::BTreeSet::new();
    let mut last: BTreeMap<u16, u64> = BTreeMap::new();
    for (partition, delivered) in read {
        let position = delivered.event.position;
        if seen.insert(position) {
            let before = last.insert(*partition, position);
            assert!(before < Some(position), "{position} came after {before:?} in partition {partition}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_comes_in_order_to_the_partition_of_its_subject() -> anyhow::Result<()> {
    let bus = bus().await?;
    let mut publisher = publisher(&bus).await?;
    publisher.publish(&events(1, 2_000)).await?;
    publisher.commit().await?;
    publisher.publish(&events(2_001, 3_000)).await?;
    // The last thousand are not committed, and are there all the same.
    let read = read(&bus, "reader", 3_000).await?;
    assert_in_order(&read);
    for (partition, delivered) in &read {
        assert_eq!(*partition, bus.options.partitions.of_subject(&delivered.event.subject));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publisher_that_was_replaced_gets_nothing_through() -> anyhow::Result<()> {
    let bus = bus().await?;
    let mut old = publisher(&bus).await?;
    old.publish(&events(1, 100)).await?;
    old.commit().await?;
    old.publish(&events(101, 200)).await?;
    let mut new = publisher(&bus).await?;
    new.publish(&events(101, 150)).await?;
    // The old one wakes up with later events in its hand.
    let sent = old.publish(&events(201, 300)).await;
    let committed = if sent.is_ok() { old.commit().await.map(drop) } else { sent };
    assert!(matches!(committed, Err(BusError::Fenced)), "{committed:?}");
    drop(old);
    new.publish(&events(151, 300)).await?;
    new.commit().await?;
    assert_in_order(&read(&bus, "reader", 300).await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kafka_that_goes_away_is_an_outage_and_what_comes_back_goes_on() -> anyhow::Result<()> {
    let mut kafka = Kafka::start().await?;
    let bus = KafkaBus::new(options(kafka.bootstrap()));
    bus.prepare().await?;
    let mut old = publisher(&bus).await?;
    old.publish(&events(1, 100)).await?;
    old.commit().await?;
    kafka.kill().await?;
    old.publish(&events(101, 200)).await?;
    let committed = timeout(DEADLINE, old.commit()).await?;
    assert!(matches!(committed, Err(BusError::Outage(_))), "{committed:?}");
    drop(old);
    kafka.restart_on_same_port().await?;
    let mut new = publisher(&bus).await?;
    new.publish(&events(101, 300)).await?;
    new.commit().await?;
    assert_in_order(&read(&bus, "reader", 300).await?);
    Ok(())
}

async fn delete_topics(bus: &KafkaBus) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = bus.client().create()?;
    let names = Topic::ALL.map(|topic| bus.topic_name(topic));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for deleted in admin.delete_topics(&names, &AdminOptions::new()).await? {
        deleted.map_err(|(name, code)| anyhow::anyhow!("{name}: {code}"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_that_were_made_anew_have_lost_what_was_published() -> anyhow::Result<()> {
    let bus = bus().await?;
    let mut publisher = publisher(&bus).await?;
    publisher.publish(&events(1, 1_000)).await?;
    let on_bus = publisher.commit().await?;
    assert_eq!(on_bus.marks().count(), usize::from(PARTITIONS));
    let kept = |published: &Published| bus.publisher("relay", published.clone());
    assert!(kept(&on_bus).await.is_ok(), "nothing is lost yet");
    let mut publisher = kept(&on_bus).await?.expect("Kafka has publishers");

    delete_topics(&bus).await?;
    bus.prepare().await?;
    // Who goes on as if nothing had happened learns it from where its records go.
    publisher.publish(&events(1_001, 1_100)).await?;
    let committed = timeout(DEADLINE, publisher.commit()).await?;
    assert!(matches!(committed, Err(BusError::Lost(_) | BusError::Outage(_))), "{committed:?}");
    // And who begins, from where the topics end.
    let refused = kept(&on_bus).await.map(drop);
    assert!(matches!(refused, Err(BusError::Lost(_))), "{refused:?}");
    let mut publisher = kept(&Published::default()).await?.expect("Kafka has publishers");
    publisher.publish(&events(1, 1_100)).await?;
    publisher.commit().await?;
    read(&bus, "reader", 1_100).await?;
    Ok(())
}

/// What `count` records of the topic's partitions say, in the order of their offsets.
async fn envelopes(bus: &KafkaBus, count: usize) -> anyhow::Result<BTreeMap<u16, Vec<Envelope>>> {
    let mut subscription = bus.subscribe("envelopes", &[Topic::SensorEvents]).await?;
    let (mut read, mut seen) = (BTreeMap::<_, Vec<_>>::new(), 0);
    while seen < count {
        for record in next_records(subscription.as_mut()).await? {
            seen += 1;
            read.entry(record.at.partition).or_default().push(record.envelope);
        }
    }
    Ok(read)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_goes_on_beside_the_relay_and_leaves_it_as_it_is() -> anyhow::Result<()> {
    let bus = bus().await?;
    let mut relay = publisher(&bus).await?;
    relay.publish(&events(1, 100)).await?;
    let on_bus = relay.commit().await?;
    // In the middle of a transaction.
    relay.publish(&events(101, 200)).await?;
    for (id, until) in [("r-1", 150), ("r-2", 50)] {
        let mut replayer = bus.replayer(id, on_bus.clone()).await?.expect("Kafka has others who read");
        replayer.publish(&events(1, until)).await?;
        replayer.commit().await?;
    }
    relay.publish(&events(201, 300)).await?;
    let on_bus = relay.commit().await?;
    assert!(bus.publisher("relay", on_bus).await.is_ok(), "nothing is lost");
    for (partition, envelopes) in envelopes(&bus, 500).await? {
        let mut last = BTreeMap::new();
        for Envelope { position, previous, replay, .. } in envelopes {
            let before = last.insert(replay.clone(), position).flatten();
            assert!(before < position, "{partition}, {replay:?}: {position:?} after {before:?}");
            let says = if replay.is_none() { before.or(Some(0)) } else { None };
            assert_eq!(previous, says, "{partition}, {replay:?}, {position:?}");
        }
        assert_eq!(last.len(), 3, "the relay and two replays");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_does_not_fill_topics_that_were_made_anew() -> anyhow::Result<()> {
    let bus = bus().await?;
    let mut relay = publisher(&bus).await?;
    relay.publish(&events(1, 1_000)).await?;
    let on_bus = relay.commit().await?;
    let mut replayer = bus.replayer("r-1", on_bus.clone()).await?.expect("Kafka has others who read");
    delete_topics(&bus).await?;
    bus.prepare().await?;
    // One that is under way learns it from where its first records go, one that begins from where the topics end.
    replayer.publish(&events(1, 100)).await?;
    let committed = timeout(DEADLINE, replayer.commit()).await?;
    assert!(matches!(committed, Err(BusError::Lost(_) | BusError::Outage(_))), "{committed:?}");
    let refused = bus.replayer("r-2", on_bus.clone()).await.map(drop);
    assert!(matches!(refused, Err(BusError::Lost(_))), "{refused:?}");
    // And the relay still notices.
    let refused = bus.publisher("relay", on_bus).await.map(drop);
    assert!(matches!(refused, Err(BusError::Lost(_))), "{refused:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_names_the_position_before_it_in_its_partition() -> anyhow::Result<()> {
    let bus = bus().await?;
    let mut publisher = publisher(&bus).await?;
    publisher.publish(&events(1, 50)).await?;
    let on_bus = publisher.commit().await?;
    let mut publisher = bus.publisher("relay", on_bus).await?.expect("Kafka has publishers");
    publisher.publish(&events(51, 100)).await?;
    publisher.commit().await?;
    let mut subscription = bus.subscribe("reader", &[Topic::SensorEvents]).await?;
    let (mut last, mut seen) = (BTreeMap::new(), 0);
    while seen < 100 {
        for record in next_records(subscription.as_mut()).await? {
            let before = last.insert(record.at, record.envelope.position).flatten();
            assert_eq!(record.envelope.previous, before.or(Some(0)), "{}", record.at);
            seen += 1;
        }
    }
    Ok(())
}

/// The positions of the next records that a reader finds.
async fn positions(
    reader: &mut KafkaReader,
    count: usize,
) -> anyhow::Result<std::collections::BTreeSet<u64>> {
    let mut seen = std::collections::BTreeSet::new();
    while seen.len() < count {
        let looked = timeout(DEADLINE, reader.next()).await??.expect("who follows sees no end");
        seen.insert(looked.record.decode()?.event.position);
    }
    Ok(seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_follows_waits_for_kafka_and_another_finds_the_end() -> anyhow::Result<()> {
    let mut kafka = Kafka::start().await?;
    let bus = KafkaBus::new(options(kafka.bootstrap()));
    bus.prepare().await?;
    let mut old = publisher(&bus).await?;
    old.publish(&events(1, 10)).await?;
    old.commit().await?;
    let look = Look {
        servers: kafka.bootstrap(),
        security: Security::default(),
        prefix: bus.options.prefix.clone(),
        topic: Topic::SensorEvents,
        begin: ReadFrom::Beginning,
        follow: true,
    };
    let mut reader = KafkaReader::new(look.clone()).await?;
    assert_eq!(positions(&mut reader, 10).await?, (1..=10).collect());
    kafka.kill().await?;
    drop(old);
    kafka.restart_on_same_port().await?;
    let mut new = publisher(&bus).await?;
    new.publish(&events(11, 20)).await?;
    new.commit().await?;
    assert_eq!(positions(&mut reader, 10).await?, (11..=20).collect());

    let mut once = KafkaReader::new(Look { follow: false, ..look.clone() }).await?;
    assert_eq!(positions(&mut once, 20).await?, (1..=20).collect());
    assert_eq!(timeout(DEADLINE, once.next()).await??, None);
    let nowhere = KafkaReader::new(Look { prefix: "nobodys-".into(), ..look }).await.err();
    assert!(
        matches!(&nowhere, Some(BusError::Refused(text)) if text.contains("nobodys-sensor-events")),
        "{nowhere:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_with_another_number_of_partitions_are_refused() -> anyhow::Result<()> {
    let bus = bus().await?;
    bus.prepare().await?;
    let other = KafkaOptions { partitions: Partitions::ONE, ..bus.options.clone() };
    let refused = KafkaBus::new(other).prepare().await;
    assert!(
        matches!(&refused, Err(BusError::Refused(text)) if text.contains("has 3 partitions")),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_with_its_consumer_within_milliseconds() -> anyhow::Result<()> {
    let bus = bus().await?;
    let mut publisher = publisher(&bus).await?;
    publisher.publish(&events(1, 1)).await?;
    let mut subscription = bus.subscribe("reader", &[Topic::SensorEvents]).await?;
    let mut took = Vec::new();
    let mut sent = std::time::Instant::now();
    let mut position = 1;
    while position < 200 {
        took.push(sent.elapsed());
        position += next_records(subscription.as_mut()).await?.len() as u64;
        // As the relay does, now and then.
        if position.is_multiple_of(20) {
            publisher.commit().await?;
        }
        sent = std::time::Instant::now();
        publisher.publish(&events(position, position)).await?;
    }
    took.sort();
    println!("published to delivered: p50 {:?}, p95 {:?}", took[took.len() / 2], took[took.len() * 95 / 100]);
    // Most of the time that there may be is that of a busy machine; whoever waits for a tick waits every time.
    assert!(took[took.len() / 4] < Duration::from_millis(100));
    Ok(())
}
