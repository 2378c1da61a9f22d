//! Processes that share what devices publish at a broker, or take its session over from each other: what the broker
//! acknowledged is stored exactly once, and where one process reads at a time, in the order of each device.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::ensure;
use cornjacket_store::Store;
use cornjacket_testkit::{Mosquitto, Process, fresh_database, wait};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::cornjacket::{Cornjacket, http_get, stop};
use super::full_stack::{PARTITIONS, open, read_log};
use super::mqtt::{until, until_running};
use super::mqtt_crash::{Acknowledged, device};

/// Until everything that waits at the broker is stored.
const SETTLE: Duration = Duration::from_secs(30);
const LEASE: Duration = Duration::from_secs(1);
/// The lease, a look at it every quarter of it, and a connection; a busy machine takes a multiple.
const TAKEOVER: Duration = LEASE.saturating_mul(5);
const WAITS: &str = r#""name":"mqtt","reason":"another process holds the session""#;
/// The accounts of the two, where each has its own.
const OURS: [&str; 2] = ["cornjacket", "cornjacket-2"];
/// What an operator adds for the second one.
const ACL: &str = "\nuser cornjacket-2\ntopic read cornjacket/v1/#\n";
/// What happens to a process happens among so many messages.
const SOME: u64 = 150;
const DEVICES: usize = 8;

/// Devices, a broker, a database, and two processes between them.
struct Bed {
    broker: Mosquitto,
    database: String,
    store: Store,
    replicas: [Cornjacket; 2],
    acknowledged: Acknowledged,
}

impl Bed {
    /// With settings for each.
    async fn new(settings: [&[(&str, &str)]; 2], accounts: [&str; 2]) -> anyhow::Result<Self> {
        let names: Vec<_> = (0..DEVICES).map(|number| format!("device-{number}")).collect();
        let broker = Mosquitto::start_with(&[names, vec![OURS[1].to_owned()]].concat(), ACL).await?;
        let (database, partitions) = (fresh_database().await?, PARTITIONS.to_string());
        let replica = |number: usize| {
            let (url, lease) = (broker.url_of(accounts[number]), LEASE.as_millis().to_string());
            let own = [
                ("store.url", database.as_str()),
                ("bus.partitions", &partitions),
                ("mqtt.url", &url),
                ("mqtt.lease_ms", &lease),
            ];
            anyhow::Ok(Cornjacket::new(&[&own, settings[number]].concat())?.roles("mqtt"))
        };
        let replicas = [replica(0)?, replica(1)?];
        let acknowledged = Acknowledged::default();
        Ok(Self { store: open(&database).await?, broker, database, replicas, acknowledged })
    }

    /// Two that have the lease and the session between them, of which the first has both.
    async fn with_lease() -> anyhow::Result<(Self, Process, Process)> {
        let bed = Self::new([&[], &[]], [OURS[0]; 2]).await?;
        let first = bed.replicas[0].start().await?;
        until_running(&bed.replicas[0]).await?;
        let second = bed.replicas[1].start().await?;
        until(&bed.replicas[1], WAITS).await?;
        Ok((bed, first, second))
    }

    /// Once, the session of the first was one process' alone.
    async fn was_alone(&self) -> anyhow::Result<()> {
        let (url, partitions) = (self.broker.url(), PARTITIONS.to_string());
        let settings =
            [("store.url", self.database.as_str()), ("bus.partitions", &partitions), ("mqtt.url", &url)];
        let alone = Cornjacket::new(&settings)?.roles("mqtt");
        let process = alone.start().await?;
        until_running(&alone).await?;
        stop(process).await
    }

    /// Devices that publish, until `done`.
    fn devices(&self, numbers: std::ops::Range<usize>, done: &CancellationToken) -> JoinSet<()> {
        let mut running = JoinSet::new();
        for number in numbers {
            let name = format!("device-{number}");
            running.spawn(device(name, self.broker.port(), self.acknowledged.clone(), done.clone()));
        }
        running
    }

    /// How many messages the broker has acknowledged.
    fn count(&self) -> u64 {
        self.acknowledged.all().values().sum()
    }

    async fn until_more(&self) -> anyhow::Result<()> {
        let count = self.count() + SOME;
        wait::until(SETTLE, "devices publish more", async || self.count() >= count).await
    }

    async fn until_stored(&self) -> anyhow::Result<()> {
        let count = self.count();
        let stored = async || self.store.log.head().await.is_ok_and(|head| head.position >= count);
        wait::until(SETTLE, &format!("{count} messages are stored"), stored).await
    }

    /// How many messages the broker has sent to each of the two.
    async fn received(&self) -> anyhow::Result<[u64; 2]> {
        let received = async |number: usize| {
            let metrics = http_get(self.replicas[number].ops, "/metrics").await?;
            let mut lines = metrics.lines();
            let value = lines.find_map(|line| line.strip_prefix("cornjacket_mqtt_received_total "));
            anyhow::Ok(value.map(str::parse).transpose()?.unwrap_or_default())
        };
        Ok([received(0).await?, received(1).await?])
    }

    /// Every message is stored once.
    async fn check(&self) -> anyhow::Result<()> {
        let (mut stored, log) = (BTreeSet::new(), read_log(&self.database).await?);
        for event in &log {
            let event = event.decode()?;
            ensure!(stored.insert((event.subject.clone(), event.id.clone())), "twice: {event:?}");
        }
        for (name, count) in self.acknowledged.all() {
            for number in 0..count {
                ensure!(stored.contains(&(name.clone(), number.to_string())), "{name}: {number} is lost");
            }
        }
        ensure!(stored.len() as u64 == self.count(), "{} are stored", stored.len());
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_share_a_subscription_and_one_that_is_killed_loses_nothing() -> anyhow::Result<()> {
    let settings = OURS.map(|name| [("mqtt.shared_group", "replicas"), ("mqtt.client_id", name)]);
    let bed = Bed::new([&settings[0], &settings[1]], OURS).await?;
    bed.was_alone().await?;
    let (mut first, second) = (bed.replicas[0].start().await?, bed.replicas[1].start().await?);
    for replica in &bed.replicas {
        until_running(replica).await?;
    }
    let done = CancellationToken::new();
    let running = bed.devices(0..DEVICES / 2, &done);
    bed.until_more().await?;
    done.cancel();
    running.join_all().await;
    bed.until_stored().await?;
    let received = bed.received().await?;
    assert!(received.iter().all(|count| *count > 0), "both have their part: {received:?}");
    assert_eq!(received[0] + received[1], bed.count(), "each message goes to one: {received:?}");

    let done = CancellationToken::new();
    let running = bed.devices(DEVICES / 2..DEVICES, &done);
    bed.until_more().await?;
    first.kill9().await?;
    bed.until_more().await?;
    done.cancel();
    running.join_all().await;
    // What the broker gave to one that is gone waits for it.
    let first = bed.replicas[0].start().await?;
    bed.until_stored().await?;
    bed.check().await?;
    stop(first).await?;
    stop(second).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_takes_the_session_over_from_one_that_is_killed() -> anyhow::Result<()> {
    let (bed, mut first, second) = Bed::with_lease().await?;
    let done = CancellationToken::new();
    let running = bed.devices(0..DEVICES, &done);
    bed.until_more().await?;
    assert_eq!(bed.received().await?[1], 0, "one reads");
    first.kill9().await?;
    tokio::time::timeout(TAKEOVER, until_running(&bed.replicas[1])).await??;
    let first = bed.replicas[0].start().await?;
    until(&bed.replicas[0], WAITS).await?;
    bed.until_more().await?;
    assert_eq!(bed.received().await?[0], 0, "one reads");
    done.cancel();
    running.join_all().await;
    bed.until_stored().await?;
    bed.check().await?;
    bed.acknowledged.check(&read_log(&bed.database).await?)?;
    stop(first).await?;
    stop(second).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_takes_the_session_over_from_one_that_stalls_and_wakes_up() -> anyhow::Result<()> {
    let (bed, first, second) = Bed::with_lease().await?;
    let done = CancellationToken::new();
    let running = bed.devices(0..DEVICES, &done);
    bed.until_more().await?;
    first.pause()?;
    tokio::time::timeout(TAKEOVER, until_running(&bed.replicas[1])).await??;
    bed.until_more().await?;
    first.resume()?;
    // It finds that it was overtaken, whatever it had in hand.
    until(&bed.replicas[0], WAITS).await?;
    bed.until_more().await?;
    let stages = http_get(bed.replicas[1].ops, "/readyz?verbose").await?;
    assert!(stages.contains(r#""name":"mqtt","reason":"","restarts":0,"state":"running""#), "{stages}");
    done.cancel();
    running.join_all().await;
    bed.until_stored().await?;
    bed.check().await?;
    bed.acknowledged.check(&read_log(&bed.database).await?)?;
    stop(first).await?;
    stop(second).await
}
