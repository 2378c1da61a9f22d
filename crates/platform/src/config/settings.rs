//! What can be set. `config.default.toml` documents each.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use cornjacket_bus::consumer::ParkLimits;
use cornjacket_domain::{Limits, Partitions};
use cornjacket_ingest::sources::mqtt;
use cornjacket_query::projections::Parameters;
use cornjacket_store::Durability;
use serde::{Deserialize, Serialize};

use super::{Actions, Inference, Retention, Sasl, Secret, Tls};

/// Names what is in this process.
const EMBEDDED: &str = "embedded:";
/// Where MQTT usually is.
const MQTT_LISTEN: &str = "127.0.0.1:1883";

/// Everything that can be set.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub store: Store,
    pub bus: Bus,
    pub relay: Relay,
    pub ingest: Ingest,
    pub mqtt: Mqtt,
    pub query: Query,
    pub gateway: Gateway,
    pub auth: Auth,
    pub tls: Tls,
    pub projections: Projections,
    pub inference: Inference,
    pub actions: Actions,
    pub consumers: Consumers,
    pub ops: Ops,
    pub log: Log,
    pub retention: Retention,
    pub watchdog: Watchdog,
    pub shutdown: Shutdown,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    pub url: String,
    pub read_url: String,
    pub allow_unsafe_durability: bool,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Bus {
    pub url: String,
    pub topic_prefix: String,
    pub partitions: u16,
    pub retention_hours: u32,
    pub replication_factor: i32,
    pub format: RecordFormat,
    pub commit_interval_ms: u64,
    pub session_timeout_ms: u32,
    pub instance_id: String,
    pub tls: bool,
    pub sasl: Sasl,
    pub user: String,
    pub password: Secret,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordFormat {
    Protobuf,
    Json,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    pub lease_ms: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ingest {
    pub listen: SocketAddr,
    pub event_bytes: usize,
    pub attributes: usize,
    pub batch_events: usize,
    pub batch_bytes: usize,
    pub queue_bytes: usize,
    pub commit_timeout_ms: u64,
    pub events_per_second: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Mqtt {
    pub url: String,
    pub listen: String,
    pub sessions: String,
    pub client_id: String,
    pub topics: Vec<String>,
    pub shared_group: String,
    pub receive_maximum: u16,
    pub lease_ms: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    pub listen: SocketAddr,
    pub default_deadline_ms: u64,
    pub connections: u32,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Gateway {
    pub listen: SocketAddr,
    pub ingest_url: String,
    pub query_url: String,
    pub actions_url: String,
    pub cors_origins: Vec<String>,
    pub body_bytes: usize,
    pub default_deadline_ms: u64,
    pub longest_deadline_ms: u64,
    pub trusted_proxies: Vec<IpAddr>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    pub mode: AuthMode,
    pub secret: Secret,
    pub jwks: String,
    pub issuer: String,
    pub audience: String,
    pub algorithms: Vec<String>,
    pub leeway_s: u64,
    pub open_health: bool,
    pub failures_per_minute: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    Required,
    Off,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Projections {
    pub session_gap_minutes: u64,
}

impl Projections {
    /// How states follow from events.
    pub const fn parameters(&self) -> Parameters {
        Parameters { session_gap: Duration::from_mins(self.session_gap_minutes) }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Consumers {
    pub parked_rows: u64,
    pub parked_bytes: u64,
}

impl Consumers {
    /// How much may be parked.
    pub const fn park_limits(&self) -> ParkLimits {
        ParkLimits { rows: self.parked_rows, bytes: self.parked_bytes }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Ops {
    pub listen: SocketAddr,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Auto,
    Json,
    Pretty,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdog {
    pub stuck_after_ms: u64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Shutdown {
    pub drain_ms: u64,
}

/// How events travel to consumers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusUrl {
    /// The log is the bus.
    Embedded,
    /// Kafka, by its bootstrap servers.
    Kafka(String),
}

impl Settings {
    /// Checks what types cannot say. Every message names the setting.
    pub fn check(&self) -> anyhow::Result<()> {
        self.partitions()?;
        let bus = self.bus_url()?;
        if self.store.url.starts_with("sqlite:") && bus != BusUrl::Embedded {
            anyhow::bail!("bus.url: SQLite is for one process and goes with embedded: alone");
        }
        for (name, value) in [
            ("ingest.event_bytes", self.ingest.event_bytes),
            ("ingest.batch_events", self.ingest.batch_events),
            ("ingest.batch_bytes", self.ingest.batch_bytes),
            ("consumers.parked_rows", usize::try_from(self.consumers.parked_rows).unwrap_or(usize::MAX)),
            ("consumers.parked_bytes", usize::try_from(self.consumers.parked_bytes).unwrap_or(usize::MAX)),
        ] {
            anyhow::ensure!(value > 0, "{name}: must be above zero");
        }
        anyhow::ensure!(
            self.ingest.queue_bytes >= 2 * self.ingest.batch_bytes,
            "ingest.queue_bytes: must hold two batches ({} bytes)",
            2 * self.ingest.batch_bytes
        );
        anyhow::ensure!(self.query.connections > 0, "query.connections: must be above zero");
        let (url, read_url) = (&self.store.url, &self.store.read_url);
        anyhow::ensure!(
            read_url.is_empty() || (url.starts_with("postgres") && read_url.starts_with("postgres")),
            "store.read_url: must be postgres://… beside a store.url that is"
        );
        self.mqtt()?;
        self.mqtt_listen()?;
        self.inference.check()?;
        self.actions.check()?;
        self.tls.check()?;
        self.bus.sasl.check(&self.bus.user, self.bus.tls)?;
        anyhow::ensure!(self.watchdog.stuck_after_ms >= 100, "watchdog.stuck_after_ms: must be 100 or more");
        Ok(())
    }

    /// The number of partitions of every topic.
    pub fn partitions(&self) -> anyhow::Result<Partitions> {
        Partitions::new(self.bus.partitions)
            .ok_or_else(|| anyhow::anyhow!("bus.partitions: must be above zero"))
    }

    /// How to open the store.
    pub fn store_options(&self) -> anyhow::Result<cornjacket_store::Options> {
        let durability =
            if self.store.allow_unsafe_durability { Durability::Waived } else { Durability::Required };
        Ok(cornjacket_store::Options {
            url: self.store.url.clone(),
            partitions: self.partitions()?,
            durability,
            read_url: Some(self.store.read_url.clone()).filter(|url| !url.is_empty()),
            read_connections: self.query.connections,
            effects: crate::consumers::transactions(),
        })
    }

    /// Which bus, and where.
    pub fn bus_url(&self) -> anyhow::Result<BusUrl> {
        match self.bus.url.split_once(':') {
            Some(("embedded", "")) => Ok(BusUrl::Embedded),
            Some(("kafka", servers)) if servers.starts_with("//") && servers.len() > 2 => {
                Ok(BusUrl::Kafka(servers[2..].to_owned()))
            }
            _ => anyhow::bail!("bus.url: must be embedded: or kafka://host:port"),
        }
    }

    /// How to connect to an MQTT broker; nothing without one.
    pub fn mqtt(&self) -> anyhow::Result<Option<mqtt::Options>> {
        let Mqtt { url, client_id, shared_group, receive_maximum, lease_ms, .. } = &self.mqtt;
        let topics = self.mqtt_topics()?;
        anyhow::ensure!(*receive_maximum > 0, "mqtt.receive_maximum: must be above zero");
        anyhow::ensure!(*lease_ms > 0, "mqtt.lease_ms: must be above zero");
        anyhow::ensure!(!shared_group.contains(['/', '+', '#']), "mqtt.shared_group: must have no /, + or #");
        // Brokers give names to clients without one, and sessions would be nobody's.
        anyhow::ensure!(!client_id.is_empty(), "mqtt.client_id: must not be empty");
        if url.is_empty() || url == EMBEDDED {
            return Ok(None);
        }
        let address = mqtt::Address::parse(url).map_err(|problem| anyhow::anyhow!("mqtt.url: {problem}"))?;
        Ok(Some(mqtt::Options {
            address,
            client_id: client_id.clone(),
            topics,
            shared_group: Some(shared_group.clone()).filter(|group| !group.is_empty()),
            receive_maximum: *receive_maximum,
            lease: Duration::from_millis(*lease_ms),
            park_limits: self.consumers.park_limits(),
        }))
    }

    /// What topics of MQTT mean.
    pub fn mqtt_topics(&self) -> anyhow::Result<mqtt::Topics> {
        mqtt::Topics::new(&self.mqtt.topics).context("mqtt.topics")
    }

    /// Where the broker inside listens; nothing when there is none.
    pub fn mqtt_listen(&self) -> anyhow::Result<Option<SocketAddr>> {
        let asked = [("mqtt.listen", !self.mqtt.listen.is_empty()), ("mqtt.url", self.mqtt.url == EMBEDDED)];
        for (name, asked) in asked {
            let inside = cfg!(feature = "broker");
            anyhow::ensure!(
                inside || !asked,
                "{name}: this was built without the broker inside (feature `broker`)"
            );
        }
        let listen = match (self.mqtt.url.as_str(), self.mqtt.listen.as_str()) {
            (_, "") if self.mqtt.url != EMBEDDED => return Ok(None),
            (EMBEDDED, "") => MQTT_LISTEN,
            (EMBEDDED | "", listen) => listen,
            _ => anyhow::bail!("mqtt.listen: is for the broker inside, and mqtt.url names another one"),
        };
        listen.parse().map(Some).with_context(|| format!("mqtt.listen: {listen:?}"))
    }

    /// The limits on what is taken in.
    pub const fn limits(&self) -> Limits {
        Limits {
            event_bytes: self.ingest.event_bytes,
            batch_events: self.ingest.batch_events,
            batch_bytes: self.ingest.batch_bytes,
            attributes: self.ingest.attributes,
        }
    }

    /// How events are committed.
    pub fn group_commit(&self) -> cornjacket_ingest::group_commit::Options {
        cornjacket_ingest::group_commit::Options {
            batch_events: self.ingest.batch_events,
            batch_bytes: self.ingest.batch_bytes,
            queue_bytes: self.ingest.queue_bytes,
            commit_timeout: Duration::from_millis(self.ingest.commit_timeout_ms),
            ..Default::default()
        }
    }

    /// As TOML, with what is secret masked.
    pub fn masked(&self) -> anyhow::Result<String> {
        let mut masked = self.clone();
        masked.store.url = mask_password(&self.store.url);
        masked.store.read_url = mask_password(&self.store.read_url);
        masked.bus.url = mask_password(&self.bus.url);
        masked.mqtt.url = mask_password(&self.mqtt.url);
        Ok(toml::to_string(&masked)?)
    }
}

/// `postgres://user:***@host/db`
fn mask_password(url: &str) -> String {
    let masked = || {
        let (scheme, rest) = url.split_once("://")?;
        let (user_and_password, host) = rest.rsplit_once('@')?;
        let (user, _) = user_and_password.split_once(':')?;
        Some(format!("{scheme}://{user}:***@{host}"))
    };
    masked().unwrap_or_else(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Sources, load};

    #[test]
    fn a_broker_that_is_not_in_this_binary_is_refused_by_the_name_of_its_setting() {
        let set = |key: &str, value: &str| {
            let flags = [(key.to_owned(), value.to_owned())].into();
            load(&Sources { flags, ..Sources::default() }).map_err(|error| error.to_string())
        };
        for (key, value) in [("mqtt.listen", "127.0.0.1:1884"), ("mqtt.url", EMBEDDED)] {
            let refused = set(key, value).err();
            assert_eq!(refused.is_some(), !cfg!(feature = "broker"), "{key}: {refused:?}");
            assert!(
                refused.as_ref().is_none_or(|refused| refused.starts_with(&format!("{key}:"))),
                "{refused:?}"
            );
        }
        let refused = set("mqtt.url", "mqtts://broker").expect_err("there is no TLS to it");
        assert!(refused.starts_with("mqtt.url: mqtts://"), "{refused}");
    }

    #[test]
    fn passwords_are_masked() {
        for (url, masked) in [
            ("postgres://u:p@ss@host/db", "postgres://u:***@host/db"),
            ("postgres://u@host/db", "postgres://u@host/db"),
            ("sqlite:///x", "sqlite:///x"),
        ] {
            assert_eq!(mask_password(url), masked);
        }
    }
}
