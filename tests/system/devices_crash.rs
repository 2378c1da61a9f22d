//! kill -9 under load of devices at the broker inside: what a device was told has arrived is stored, once and in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use cornjacket_domain::StoredEvent;
use cornjacket_proto::admin::ListDevicesRequest;
use cornjacket_testkit::wait;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::cornjacket::{Cornjacket, stop};
use super::devices::{add, with_broker};
use super::full_stack::read_log;
use super::load::{self, Random};

/// Messages that a device has under way.
const WINDOW: usize = 8;
/// How long a device waits for an answer before it connects anew.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it takes until all devices are logged in, on a machine that is busy.
const LOGINS: Duration = Duration::from_mins(1);

/// How many messages of each device are acknowledged: they are numbered from 0, and acknowledged in order.
type Acknowledged = Arc<Mutex<BTreeMap<String, usize>>>;

fn counts(acknowledged: &Acknowledged) -> BTreeMap<String, usize> {
    acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// The least of MQTT 3.1.1 that a device needs. Written out here, since the order of acknowledgements is the point.
struct Connection(TcpStream);

impl Connection {
    async fn open(port: u16, name: &str, password: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut connection = Self(stream);
        // Protocol, level 4; user name, password, no clean session; keep alive of a minute.
        let mut body = b"\x00\x04MQTT\x04\xc0\x00\x3c".to_vec();
        for text in [name, name, password] {
            body.extend(u16::try_from(text.len())?.to_be_bytes());
            body.extend(text.as_bytes());
        }
        connection.send(0x10, &body).await?;
        let (kind, answer) = connection.receive().await?;
        ensure!(kind == 0x20 && answer.get(1) == Some(&0), "not connected: {kind:#x} {answer:?}");
        Ok(connection)
    }

    async fn publish(&mut self, topic: &str, number: usize, payload: &str) -> anyhow::Result<()> {
        let mut body = u16::try_from(topic.len())?.to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        body.extend(packet_id(number).to_be_bytes());
        body.extend(payload.as_bytes());
        self.send(0x32, &body).await
    }

    /// Waits for a PUBACK: its packet id.
    async fn acknowledged(&mut self) -> anyhow::Result<u16> {
        let (kind, body) = self.receive().await?;
        ensure!(kind == 0x40 && body.len() == 2, "no PUBACK: {kind:#x} {body:?}");
        Ok(u16::from_be_bytes([body[0], body[1]]))
    }

    async fn send(&mut self, kind: u8, body: &[u8]) -> anyhow::Result<()> {
        let (low, high) = (u8::try_from(body.len() % 128)?, u8::try_from(body.len() / 128)?);
        let mut packet = if high == 0 { vec![kind, low] } else { vec![kind, low | 0x80, high] };
        packet.extend(body);
        Ok(self.0.write_all(&packet).await?)
    }

    /// A short packet: its first byte and its body.
    async fn receive(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        let receive = async {
            let kind = self.0.read_u8().await?;
            let mut body = vec![0; self.0.read_u8().await?.into()];
            self.0.read_exact(&mut body).await?;
            std::io::Result::Ok((kind, body))
        };
        Ok(timeout(PATIENCE, receive).await.context("no answer")??)
    }
}

/// Above zero.
fn packet_id(number: usize) -> u16 {
    u16::try_from(number % 60_000).unwrap_or_default() + 1
}

/// Tries until nobody listens any more. The broker gives each connection ten seconds for its login, which is not enough when
/// very many come at once to a machine that is busy.
async fn log_in(port: u16, name: &str, password: &str) -> anyhow::Result<Connection> {
    loop {
        match Connection::open(port, name, password).await {
            Err(error) if is_refused(&error) => return Err(error),
            Err(_) => {}
            connected => return connected,
        }
    }
}

fn is_refused(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Sends numbered messages, and after a loss again from the first that was not acknowledged. Ends with the connection.
async fn send(port: u16, name: &str, password: &str, acknowledged: &Acknowledged) -> anyhow::Result<()> {
    let topic = format!("cornjacket/v1/{name}/door.opened");
    let lock = || acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
    let mut done = lock().get(name).copied().unwrap_or_default();
    let mut sent = done;
    let mut connection = log_in(port, name, password).await?;
    loop {
        while sent < done + WINDOW {
            let event = format!(r#"{{"id": "{sent}", "struct": {{}}}}"#);
            connection.publish(&topic, sent, &event).await?;
            sent += 1;
        }
        let id = connection.acknowledged().await?;
        assert_eq!(id, packet_id(done), "{name}: acknowledged out of order");
        done += 1;
        lock().insert(name.to_owned(), done);
    }
}

/// Every message of every device up to the last that was acknowledged, once and in order.
fn check(log: &[StoredEvent], acknowledged: &BTreeMap<String, usize>) -> anyhow::Result<()> {
    let mut stored: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for event in log {
        let event = event.decode()?;
        if event.source.starts_with("mqtt:") {
            stored.entry(event.subject).or_default().push(event.id.parse()?);
        }
    }
    for (name, count) in acknowledged {
        let stored = stored.remove(name).unwrap_or_default();
        ensure!(stored.len() >= *count, "{name}: {count} were acknowledged, {} are stored", stored.len());
        let expected: Vec<usize> = (0..stored.len()).collect();
        ensure!(stored == expected, "{name}: not once and in order: {stored:?}");
    }
    Ok(())
}

async fn accounts(cornjacket: &Cornjacket, count: usize) -> anyhow::Result<Vec<(String, String)>> {
    let mut accounts = Vec::new();
    for number in 0..count {
        let name = format!("pump-{number}");
        let password = add(cornjacket, &name).await?;
        accounts.push((name, password));
    }
    Ok(accounts)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_was_told_has_arrived_is_stored_once_and_in_order() -> anyhow::Result<()> {
    let (devices, kills) = if load::long() { (200, 20) } else { (20, 5) };
    let folder = tempfile::tempdir()?;
    let (cornjacket, port) = with_broker(folder.path())?;
    let (acknowledged, mut random) = (Acknowledged::default(), Random::seeded());
    let mut process = cornjacket.start().await?;
    let accounts = accounts(&cornjacket, devices).await?;
    for round in 0..kills {
        let before = counts(&acknowledged);
        let mut load = JoinSet::new();
        for (name, password) in accounts.clone() {
            let acknowledged = acknowledged.clone();
            load.spawn(async move { send(port, &name, &password, &acknowledged).await });
        }
        // Logging in takes a processor its time. Every other time all are at it; otherwise some still come.
        if round % 2 == 0 {
            let has_more =
                |(name, _): &(String, String), now: &BTreeMap<_, _>| now.get(name) > before.get(name);
            let all = async || {
                let now = counts(&acknowledged);
                accounts.iter().all(|account| has_more(account, &now))
            };
            wait::until(LOGINS, "every device has sent something", all).await?;
        }
        // The instant is the point here, not that anything has happened by then.
        tokio::time::sleep(Duration::from_millis(random.within(20..1_500))).await;
        process.kill9().await?;
        // Every one ends with its connection; one that panics has found a defect.
        while let Some(ended) = load.join_next().await {
            drop(ended?);
        }
        process = cornjacket.start().await?;
    }
    let request = ListDevicesRequest { page_size: 1_000, ..ListDevicesRequest::default() };
    let kept = cornjacket.admin().await?.list_devices(request).await?.into_inner().devices;
    ensure!(kept.len() == devices, "{} accounts are left", kept.len());
    stop(process).await?;
    let acknowledged = counts(&acknowledged);
    let count: usize = acknowledged.values().sum();
    println!("{count} messages of {} devices were acknowledged", acknowledged.len());
    ensure!(acknowledged.len() == devices && count > 10 * devices, "too little load to show anything");
    check(&read_log(&format!("sqlite://{}/cornjacket.db", folder.path().display())).await?, &acknowledged)
}
