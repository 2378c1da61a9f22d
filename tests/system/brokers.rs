//! The two brokers that devices publish at: the one inside, and Mosquitto as it is deployed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use cornjacket_proto::admin::{DeadLetter, ListDeadLettersRequest};
use cornjacket_proto::events::Event;
use cornjacket_proto::query::ListEventsRequest;
use cornjacket_testkit::device::{Device, Login, Version};
use cornjacket_testkit::mosquitto::password;
use cornjacket_testkit::{Mosquitto, Process, wait};
use tempfile::TempDir;

use super::cornjacket::{Cornjacket, stop};
use super::devices::{add, devices, with_broker};
use super::mqtt::until_running;

const DEADLINE: Duration = Duration::from_secs(20);

/// A broker, with Cornjacket in or behind it.
pub struct Site {
    pub port: u16,
    pub cornjacket: Cornjacket,
    process: Process,
    passwords: BTreeMap<String, String>,
    /// Events that are there from the beginning: operators' actions are events.
    before: usize,
    mosquitto: Option<Mosquitto>,
    _folder: TempDir,
}

impl Site {
    /// The broker inside, with accounts of these names.
    pub async fn inside(names: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (cornjacket, port) = with_broker(folder.path())?;
        let process = cornjacket.start().await?;
        let mut passwords = BTreeMap::new();
        for name in names {
            passwords.insert((*name).to_owned(), add(&cornjacket, name).await?);
        }
        let (before, mosquitto) = (0, None);
        let mut site = Self { port, cornjacket, process, passwords, before, mosquitto, _folder: folder };
        site.before = site.events().await?.len();
        Ok(site)
    }

    /// Mosquitto with accounts of these names, and Cornjacket behind it.
    pub async fn mosquitto(names: &[&str]) -> anyhow::Result<Self> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let broker = Mosquitto::start(&names).await?;
        Self::behind(broker, &names, &[]).await
    }

    /// Cornjacket with these settings behind that broker, which has accounts of these names.
    pub async fn behind(
        broker: Mosquitto,
        names: &[String],
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (store, url) =
            (format!("sqlite://{}", folder.path().join("cornjacket.db").display()), broker.url());
        let own = [("store.url", store.as_str()), ("mqtt.url", &url)];
        let cornjacket = Cornjacket::new(&[&own, settings].concat())?;
        let process = cornjacket.start().await?;
        until_running(&cornjacket).await?;
        let passwords = names.iter().map(|name| (name.clone(), password(name))).collect();
        let (port, before, mosquitto) = (broker.port(), 0, Some(broker));
        Ok(Self { port, cornjacket, process, passwords, before, mosquitto, _folder: folder })
    }

    pub const fn is_inside(&self) -> bool {
        self.mosquitto.is_none()
    }

    pub fn password(&self, name: &str) -> &str {
        &self.passwords[name]
    }

    pub fn login<'a>(&'a self, version: Version, name: &'a str) -> Login<'a> {
        Login::new(version, name, self.password(name))
    }

    /// Connects by MQTT 5.
    pub async fn device(&self, name: &str) -> anyhow::Result<Device> {
        let login = self.login(Version::V5, name);
        login.connect(self.port).await?.with_context(|| format!("{name} is let in"))
    }

    /// Takes an account away.
    pub async fn revoke(&mut self, name: &str) -> anyhow::Result<()> {
        match &self.mosquitto {
            Some(broker) => broker.revoke(name).await?,
            None => drop(devices(&self.cornjacket, &["revoke", name]).await?),
        }
        let is_out = async || {
            let device = self.login(Version::V3, name).connect(self.port).await;
            device.is_ok_and(|device| device.is_none())
        };
        wait::until(DEADLINE, "the account is gone", is_out).await?;
        self.before += self.events().await?.len();
        Ok(())
    }

    /// What has come since the beginning, by whatever way.
    pub async fn events(&self) -> anyhow::Result<Vec<Event>> {
        let request = ListEventsRequest { page_size: 1_000, ..Default::default() };
        let mut all = self.cornjacket.query().await?.list_events(request).await?.into_inner().events;
        Ok(all.split_off(self.before))
    }

    /// Waits until there are so many events, and no more.
    pub async fn until_stored(&self, count: usize) -> anyhow::Result<()> {
        let what = format!("{count} events are stored");
        wait::until(DEADLINE, &what, async || self.events().await.is_ok_and(|all| all.len() == count)).await
    }

    pub async fn letters(&self) -> anyhow::Result<Vec<DeadLetter>> {
        let request =
            ListDeadLettersRequest { consumer: "mqtt".into(), page_size: 1_000, ..Default::default() };
        Ok(self.cornjacket.admin().await?.list_dead_letters(request).await?.into_inner().dead_letters)
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        stop(self.process).await
    }
}
