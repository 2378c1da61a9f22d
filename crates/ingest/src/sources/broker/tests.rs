//! The broker, with devices that speak MQTT 3.1.1 byte by byte, and a log that commits when it is told to.

use std::collections::BTreeMap;
use std::sync::Mutex;

use anyhow::{Context, ensure};
use cornjacket_domain::clock::ManualClock;
use cornjacket_domain::{Event, Limits, Partitions, Scope, StoredEvent, Timestamp};
use cornjacket_proto::status::ErrorKind;
use cornjacket_store::{Appended, Device, EventLog, Head, PasswordHash, Range};
use cornjacket_testkit::device;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use cornjacket_store::StoreError;

use super::*;
use crate::quota::Quota;
use crate::{GroupCommit, group_commit};

/// A token of the tests: what `Tokens` below knows.
const TOKEN: &str = "eyJ.test.token";

/// Everything that the broker works on.
#[derive(Debug)]
struct World {
    commits: Mutex<Vec<Vec<String>>>,
    /// As many commits return.
    gate: Semaphore,
    /// As many of them fail.
    outages: Semaphore,
    devices: Mutex<BTreeMap<String, Device>>,
    refused: Mutex<Vec<String>>,
}

fn outage() -> StoreError {
    StoreError::Outage(std::io::Error::other("down").into())
}

#[async_trait]
impl EventLog for World {
    async fn append(&self, events: &[Event]) -> Result<Vec<Appended>, StoreError> {
        self.gate.acquire().await.expect("open").forget();
        if let Ok(permit) = self.outages.try_acquire() {
            permit.forget();
            return Err(outage());
        }
        let ids = events.iter().map(|event| format!("{} {}", event.subject(), event.id())).collect();
        self.commits.lock().expect("whole").push(ids);
        let stored = |position| Appended::Stored { position, ingest_time: Timestamp::default() };
        Ok((1..=events.len() as u64).map(stored).collect())
    }
    async fn head(&self) -> Result<Head, StoreError> {
        unreachable!("a broker only appends")
    }
    async fn read(&self, _: &Range) -> Result<Vec<StoredEvent>, StoreError> {
        unreachable!("a broker only appends")
    }
    fn watch(&self) -> watch::Receiver<u64> {
        unreachable!("a broker only appends")
    }
    async fn drop_before(&self, _: Timestamp, _: u64) -> Result<u64, StoreError> {
        unreachable!("a broker only appends")
    }
}

#[async_trait]
impl Devices for World {
    async fn add(&self, device: &Device) -> Result<bool, StoreError> {
        Ok(self.devices.lock().expect("whole").insert(device.name.clone(), device.clone()).is_none())
    }
    async fn revoke(&self, name: &str) -> Result<bool, StoreError> {
        Ok(self.devices.lock().expect("whole").remove(name).is_some())
    }
    async fn find(&self, name: &str) -> Result<Option<Device>, StoreError> {
        Ok(self.devices.lock().expect("whole").get(name).cloned())
    }
    async fn list(&self, after: &str, limit: u32) -> Result<Vec<Device>, StoreError> {
        let devices = self.devices.lock().expect("whole");
        let after = devices.values().filter(|device| device.name.as_str() > after);
        Ok(after.take(limit as usize).cloned().collect())
    }
}

#[async_trait]
impl Refusals for World {
    async fn refuse(&self, message: &Message, why: &str) -> Result<(), NotKept> {
        if let Ok(permit) = self.outages.try_acquire() {
            permit.forget();
            return Err(outage().into());
        }
        self.refused.lock().expect("whole").push(format!("{}: {why}", message.topic));
        Ok(())
    }
}

#[async_trait]
impl Tokens for World {
    async fn caller(&self, token: &str, _: IpAddr) -> Result<Caller, Failure> {
        if token == TOKEN {
            return Ok(Caller::new("someone", &[Scope::Ingest]).until(Timestamp::from_micros(1_000)));
        }
        Err(Failure::new(ErrorKind::Unauthenticated, "not that one"))
    }
}

struct Running {
    world: Arc<World>,
    clock: Arc<ManualClock>,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
    _task: JoinHandle<()>,
}

/// A broker with devices `a`, `b` and `c`, whose passwords are their names, and a log that commits `commits` times.
async fn start(commits: usize, quota: Quota) -> anyhow::Result<Running> {
    let world = Arc::new(World {
        commits: Mutex::default(),
        gate: Semaphore::new(commits),
        outages: Semaphore::new(0),
        devices: Mutex::default(),
        refused: Mutex::default(),
    });
    for name in ["a", "b", "c"] {
        let password = PasswordHash::new(name.as_bytes(), "abcdefghijkl".into());
        world.add(&Device { name: name.into(), password, created_at: Timestamp::default() }).await?;
    }
    let clock = Arc::new(ManualClock::at(Timestamp::default()));
    let (commit, _) = GroupCommit::spawn(world.clone(), group_commit::Options::default());
    let acceptor = Acceptor::new(commit, clock.clone(), Limits::default(), Partitions::ONE, 1);
    let options = Options {
        listen: ([127, 0, 0, 1], 0).into(),
        sessions: None,
        event_bytes: Limits::default().event_bytes,
        topics: Topics::default(),
        devices: world.clone(),
        tokens: Some(world.clone()),
        acceptor: acceptor.with_quota(quota),
        refusals: world.clone(),
        clock: clock.clone(),
    };
    let broker = Broker::listen(options).await?;
    let address = broker.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let run = broker.run(async { drop(stopped.await) });
    let task = tokio::spawn(async { run.await.expect("it runs") });
    Ok(Running { world, clock, address, _stop: stop, _task: task })
}

fn no_quota() -> Quota {
    Quota::new(0, 0)
}

/// A device with topics of ours and numbered events.
struct Client(device::Device);

impl Client {
    async fn connect(to: &Running, name: &str, password: &str) -> anyhow::Result<Self> {
        device::Device::connect(to.address.port(), name, password).await.map(Self)
    }

    /// Publishes with QoS 1 on `cornjacket/v1/{rest}`.
    async fn publish(&mut self, rest: &str, id: u16) -> anyhow::Result<()> {
        let event = format!(r#"{{"id": "{id}", "struct": {{}}}}"#);
        self.0.publish(&format!("cornjacket/v1/{rest}"), id, &event).await
    }

    async fn acknowledged(&mut self, id: u16) -> anyhow::Result<()> {
        let found = self.0.acknowledged().await?;
        ensure!(found == id, "the PUBACK of {found}, not of {id}");
        Ok(())
    }

    async fn ends(&mut self) -> anyhow::Result<()> {
        self.0.ends().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_follow_commits_in_order_and_devices_share_them() -> anyhow::Result<()> {
    let running = start(0, no_quota()).await?;
    let mut clients = Vec::new();
    for name in ["a", "b", "c"] {
        let mut client = Client::connect(&running, name, name).await?;
        for id in 1..=3 {
            client.publish(&format!("{name}/x"), id).await?;
        }
        clients.push(client);
    }
    let too_early = timeout(Duration::from_millis(200), clients[0].0.acknowledged()).await;
    ensure!(too_early.is_err(), "nothing is stored yet");
    running.world.gate.add_permits(100);
    for client in &mut clients {
        for id in 1..=3 {
            client.acknowledged(id).await?;
        }
    }
    let commits = running.world.commits.lock().expect("whole").clone();
    let of_a: Vec<_> = commits.iter().flatten().filter(|event| event.starts_with("a ")).collect();
    assert_eq!(of_a, ["a 1", "a 2", "a 3"]);
    assert_eq!(commits.iter().flatten().count(), 9);
    assert!(commits.iter().any(|commit| commit.len() > 1), "{commits:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn during_an_outage_nothing_is_acknowledged_and_nothing_overtakes() -> anyhow::Result<()> {
    let running = start(100, no_quota()).await?;
    let mut client = Client::connect(&running, "a", "a").await?;
    // A commit is tried twice.
    running.world.outages.add_permits(2);
    client.publish("a/x", 1).await?;
    for id in 2..=5 {
        if client.publish("a/x", id).await.is_err() {
            break; // Cut before it had said everything.
        }
    }
    client.ends().await?;
    assert!(running.world.commits.lock().expect("whole").is_empty(), "what comes after it waits for it");
    let mut client = Client::connect(&running, "a", "a").await?;
    for id in 1..=5 {
        client.publish("a/x", id).await?;
        client.acknowledged(id).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_message_is_kept_and_acknowledged() -> anyhow::Result<()> {
    let running = start(100, no_quota()).await?;
    let mut client = Client::connect(&running, "a", "a").await?;
    client.publish("a/no type", 1).await?;
    client.acknowledged(1).await?;
    let refused = running.world.refused.lock().expect("whole").clone();
    assert_eq!(refused.len(), 1);
    assert!(refused[0].starts_with("cornjacket/v1/a/no type: "), "{refused:?}");
    running.world.outages.add_permits(1);
    client.publish("a/no type", 2).await?;
    client.ends().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_what_is_not_theirs_is_cut() -> anyhow::Result<()> {
    let running = start(100, no_quota()).await?;
    for rest in ["b/x", "aa/x", "+/x", "x"] {
        let mut client = Client::connect(&running, "a", "a").await?;
        client.publish(rest, 1).await?;
        client.ends().await.context(rest)?;
    }
    assert!(running.world.commits.lock().expect("whole").is_empty());
    assert!(Client::connect(&running, "a", "b").await.is_err(), "the password of another");
    assert!(Client::connect(&running, "d", "a").await.is_err(), "no such device");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_revoked_or_whose_token_ends_is_cut() -> anyhow::Result<()> {
    let running = start(100, no_quota()).await?;
    let (mut one, mut other) =
        (Client::connect(&running, "a", "a").await?, Client::connect(&running, "b", "b").await?);
    let mut token = Client::connect(&running, "any", TOKEN).await?;
    running.world.revoke("a").await?;
    one.ends().await?;
    assert!(Client::connect(&running, "a", "a").await.is_err());
    token.publish("c/x", 1).await?;
    token.acknowledged(1).await?;
    running.clock.set(Timestamp::from_micros(1_000));
    token.ends().await?;
    other.publish("b/x", 1).await?;
    other.acknowledged(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_its_quota_a_device_waits_and_loses_nothing() -> anyhow::Result<()> {
    let running = start(100, Quota::new(10, 0)).await?;
    let mut client = Client::connect(&running, "a", "a").await?;
    let begin = tokio::time::Instant::now();
    for id in 1..=15 {
        client.publish("a/x", id).await?;
    }
    for id in 1..=15 {
        client.acknowledged(id).await?;
    }
    assert!(begin.elapsed() > Duration::from_millis(400), "five have to wait for a tenth of a second each");
    Ok(())
}
