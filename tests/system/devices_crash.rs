//! kill -9 under load of devices at the broker inside: what a device was told has arrived is stored, once and in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use cornjacket_domain::StoredEvent;
use cornjacket_proto::admin::ListDevicesRequest;
use cornjacket_testkit::device::Device;
use cornjacket_testkit::wait;
use tokio::task::JoinSet;

use super::cornjacket::{Cornjacket, stop};
use super::devices::{add, with_broker};
use super::full_stack::read_log;
use super::load::{self, Random};

/// Messages that a device has under way.
const WINDOW: usize = 8;
/// How long it takes until all devices are logged in, on a machine that is busy.
const LOGINS: Duration = Duration::from_mins(1);

/// How many messages of each device are acknowledged: they are numbered from 0, and acknowledged in order.
type Acknowledged = Arc<Mutex<BTreeMap<String, usize>>>;

fn counts(acknowledged: &Acknowledged) -> BTreeMap<String, usize> {
    acknowledged.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Above zero.
fn packet_id(number: usize) -> u16 {
    u16::try_from(number % 60_000).unwrap_or_default() + 1
}

/// Tries until nobody listens any more. The broker gives each connection ten seconds for its login, which is not enough when
/// very many come at once to a machine that is busy.
async fn log_in(port: u16, name: &str, password: &str) -> anyhow::Result<Device> {
    loop {
        match Device::connect(port, name, password).await {
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
            connection.publish(&topic, packet_id(sent), &event).await?;
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
