//! The laws of [`Devices`](crate::Devices): accounts are there until they are revoked, and nobody else reads hashes.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::fixtures::{clock, noon};
use super::{Backend, laws};
use crate::devices::{Device, PasswordHash};

laws!(a_device_is_there_until_it_is_revoked, devices_are_listed_by_the_bytes_of_their_names);

fn device(name: &str, password: &str) -> Device {
    let password = PasswordHash::new(password.as_bytes(), "abcdefghijkl".into());
    Device { name: name.into(), password, created_at: noon() }
}

async fn a_device_is_there_until_it_is_revoked(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let (one, other) = (device("pump-7", "one"), device("pump-7", "other"));
    assert_eq!(store.devices.find("pump-7").await?, None);
    assert!(store.devices.add(&one).await?);
    assert!(!store.devices.add(&other).await?, "there is one of that name");
    assert_eq!(store.devices.find("pump-7").await?.as_ref(), Some(&one));
    assert_eq!(store.devices.find("Pump-7").await?, None, "names are compared as they are");
    drop(store);
    let store = backend.open(clock()).await?;
    assert_eq!(store.devices.find("pump-7").await?, Some(one), "also after a restart");
    assert!(store.devices.revoke("pump-7").await?);
    assert!(!store.devices.revoke("pump-7").await?);
    assert_eq!(store.devices.find("pump-7").await?, None);
    assert!(store.devices.add(&other).await?, "the name is free again");
    Ok(())
}

async fn devices_are_listed_by_the_bytes_of_their_names(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    for name in ["b", "ä", "a", "B", "a-1", "a1"] {
        assert!(store.devices.add(&device(name, name)).await?);
    }
    let mut names: Vec<String> = Vec::new();
    loop {
        let after = names.last().cloned().unwrap_or_default();
        let page = store.devices.list(&after, 4).await?;
        let is_last = page.len() < 4;
        names.extend(page.into_iter().map(|device| device.name));
        if is_last {
            break;
        }
    }
    assert_eq!(names, ["B", "a", "a-1", "a1", "b", "ä"]);
    Ok(())
}

#[tokio::test]
async fn only_ingest_reads_hashes() -> anyhow::Result<()> {
    let backend = Backend::postgres().await?;
    backend.open(clock()).await?.devices.add(&device("pump-7", "x")).await?;
    let options: PgConnectOptions = backend.url.parse()?;
    for (role, may) in
        [("cornjacket_ingest", true), ("cornjacket_timeseries", false), ("cornjacket_query", false)]
    {
        let mut connection = options.clone().options([("role", role)]).connect().await?;
        let read = sqlx::query("select hash from event_store.devices").fetch_all(&mut connection).await;
        assert_eq!(read.is_ok(), may, "{role}");
        connection.close().await?;
    }
    Ok(())
}
