//! What the broker acknowledged to a device is stored exactly once, in the device's order, however often ingest is killed and
//! the broker restarted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cornjacket_domain::StoredEvent;
use cornjacket_proto::query::GetEventRequest;
use cornjacket_testkit::mosquitto::password;
use cornjacket_testkit::{Mosquitto, fresh_database, wait};
use rumqttc::{AsyncClient, EventLoop, MqttOptions, PublishOptions, PublishResult, QoS};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::cornjacket::{Cornjacket, http_get, stop};
use super::full_stack::{PARTITIONS, read_log};
use super::load::{self, Random};

/// Until everything that waits at the broker is stored.
const SETTLE: Duration = Duration::from_mins(2);
/// A broker that does not acknowledge within this long is asked again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The device that says one thing, when all others are done.
const LAST: &str = "last";

/// How many devices, kills of ingest, and restarts of the broker.
const fn size() -> (usize, u32, u32) {
    (40, 5, 2)
}

const fn long_size() -> (usize, u32, u32) {
    (200, 20, 5)
}

/// What each device was told is accepted: so many messages, numbered from 0.
#[derive(Clone, Debug, Default)]
pub struct Acknowledged(Arc<Mutex<BTreeMap<String, u64>>>);

impl Acknowledged {
    fn add(&self, device: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(device.to_owned()).or_default() += 1;
    }

    pub fn all(&self) -> BTreeMap<String, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every one is stored once, and each device's are in order.
    pub fn check(&self, log: &[StoredEvent]) -> anyhow::Result<()> {
        let mut stored: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in log {
            let event = event.decode()?;
            stored.entry(event.subject).or_default().push(event.id.parse()?);
        }
        let all = self.all();
        for (device, count) in &all {
            let numbers = stored.remove(device).unwrap_or_default();
            let expected: Vec<u64> = (0..numbers.len() as u64).collect();
            assert_eq!(numbers, expected, "{device}: each once, and in order");
            // One more may have been accepted, and its acknowledgement lost.
            assert!(
                expected.len() as u64 >= *count,
                "{device}: {count} acknowledged, {} stored",
                expected.len()
            );
        }
        println!("{} acknowledged by the broker, {} stored", all.values().sum::<u64>(), log.len());
        Ok(())
    }
}

/// A device, which publishes one message after the other until `stop`, each until the broker has acknowledged it.
pub async fn device(name: String, port: u16, acknowledged: Acknowledged, stop: CancellationToken) {
    let mut options = MqttOptions::new(&name, ("127.0.0.1", port));
    options.set_credentials(&name, password(&name)).set_clean_start(true).set_keep_alive(5);
    let (client, events) = AsyncClient::builder(options).capacity(10).build();
    let connection = tokio::spawn(connected(events));
    for number in 0_u64.. {
        let payload = format!(r#"{{"id":"{number}","measurements":[{{"metric":"n","value":{number}}}]}}"#);
        while !published(&client, &name, &payload).await {
            if stop.is_cancelled() {
                connection.abort();
                return;
            }
        }
        acknowledged.add(&name);
        if stop.is_cancelled() {
            break;
        }
    }
    connection.abort();
}

/// Connects again whenever the connection is lost.
async fn connected(mut events: EventLoop) {
    loop {
        if events.poll().await.is_err() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Whether the broker acknowledged it.
async fn published(client: &AsyncClient, name: &str, payload: &str) -> bool {
    let topic = format!("cornjacket/v1/{name}/sensor.reading");
    let publish = async {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        client.publish_tracked(topic, payload.to_owned(), options).await.ok()?.wait_async().await.ok()
    };
    let answer = tokio::time::timeout(PATIENCE, publish).await.ok().flatten();
    matches!(answer, Some(PublishResult::Qos1(answer)) if answer.reason == rumqttc::PubAckReason::Success)
}

/// Lets devices publish while ingest is killed and the broker restarted, at random instants.
async fn law(
    cornjacket: &Cornjacket,
    mut broker: Mosquitto,
    devices: Vec<String>,
    database: &str,
) -> anyhow::Result<()> {
    let (_, kills, restarts) = if load::long() { long_size() } else { size() };
    let (acknowledged, done, mut random) =
        (Acknowledged::default(), CancellationToken::new(), Random::seeded());
    let mut running = JoinSet::new();
    for name in devices {
        running.spawn(device(name, broker.port(), acknowledged.clone(), done.clone()));
    }
    for round in 0..kills {
        let mut process = cornjacket.start().await?;
        // The instant is the point here, not that anything has happened by then: among what has piled up, or later.
        if round % 2 == 0 {
            wait::until(SETTLE, "messages come", async || receives(cornjacket).await).await?;
            tokio::time::sleep(Duration::from_millis(random.within(0..150))).await;
        } else {
            tokio::time::sleep(Duration::from_millis(random.within(200..2_000))).await;
        }
        if round % (kills / restarts).max(1) == 1 {
            broker.restart_on_same_port().await?;
            tokio::time::sleep(Duration::from_millis(random.within(0..1_500))).await;
        }
        process.kill9().await?;
        // Messages pile up, and more are on their way at once when it is back.
        tokio::time::sleep(Duration::from_millis(random.within(500..1_500))).await;
    }
    done.cancel();
    running.join_all().await;
    let process = cornjacket.start().await?;
    let expected: u64 = acknowledged.all().values().sum();
    anyhow::ensure!(expected > 1_000, "too little load to show anything: {expected}");
    // The broker has one queue for us: what is accepted last is stored last.
    while !acknowledged.all().contains_key(LAST) {
        device(LAST.to_owned(), broker.port(), acknowledged.clone(), done.clone()).await;
    }
    let last = GetEventRequest { id: "0".into(), source: format!("mqtt:{LAST}"), ..Default::default() };
    let settled = wait::until(SETTLE, "everything that was acknowledged is stored", async || {
        let Ok(mut query) = cornjacket.query().await else { return false };
        query.get_event(last.clone()).await.is_ok()
    });
    // What is needed to understand it is gone with the processes.
    if let Err(error) = settled.await {
        let (metrics, stages) =
            (http_get(cornjacket.ops, "/metrics"), http_get(cornjacket.ops, "/readyz?verbose"));
        let (metrics, stages) = (metrics.await?, stages.await?);
        let metrics: Vec<_> = metrics.lines().filter(|line| line.starts_with("cornjacket_mqtt")).collect();
        println!("{metrics:#?}\n{stages}\n{}\n{}", process.log(), broker.process().log());
        return Err(error);
    }
    stop(process).await?;
    acknowledged.check(&read_log(database).await?)
}

/// Whether any message has come to this process.
async fn receives(cornjacket: &Cornjacket) -> bool {
    let metrics = http_get(cornjacket.ops, "/metrics").await.unwrap_or_default();
    metrics.contains("\ncornjacket_mqtt_received_total ")
}

async fn devices() -> anyhow::Result<(Mosquitto, Vec<String>)> {
    let count = if load::long() { long_size().0 } else { size().0 };
    let names: Vec<_> = (0..count).map(|number| format!("device-{number}")).collect();
    let accounts: Vec<_> = names.iter().cloned().chain([LAST.to_owned()]).collect();
    Ok((Mosquitto::start(&accounts).await?, names))
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_what_the_broker_acknowledged_once_and_in_order() -> anyhow::Result<()> {
    let (broker, names) = devices().await?;
    let folder = tempfile::tempdir()?;
    let database = format!("sqlite://{}/cornjacket.db", folder.path().display());
    let settings = [("store.url", database.as_str()), ("mqtt.url", &broker.url()), ("mqtt.lease_ms", "400")];
    let cornjacket = Cornjacket::new(&settings)?;
    law(&cornjacket, broker, names, &database).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_what_the_broker_acknowledged_once_and_in_order() -> anyhow::Result<()> {
    let (broker, names) = devices().await?;
    let (database, partitions) = (fresh_database().await?, PARTITIONS.to_string());
    let settings = [
        ("store.url", database.as_str()),
        ("bus.partitions", &partitions),
        ("mqtt.url", &broker.url()),
        ("mqtt.lease_ms", "400"),
    ];
    let cornjacket = Cornjacket::new(&settings)?;
    law(&cornjacket, broker, names, &database).await
}
