//! The MQTT broker inside: devices connect to this process, and a PUBACK means that the event is stored.
//!
//! `door` says who connects and what they may touch; `guests` remembers who is there. The broker (mqtt5) hands every
//! PUBLISH to `intake` and waits for it before it answers, one after the other for each connection: so acknowledgements come
//! in the order of the messages, and messages of many connections share a commit. `wills` takes in what the broker itself
//! publishes for devices that are gone. `rounds` cuts those who are revoked or whose token has ended.
//!
//! A message that cannot be stored because the store does not answer is not acknowledged: its connection is closed, and
//! nothing that came after it is stored, so that the device sends all of it again, in order. A device beyond its quota waits.
//!
//! What is different from a broker of its own: nothing but wills is passed on to subscribers, and nothing is kept for them;
//! user properties and content types do not come with a message (the crate's hook has neither), except with wills. QoS 2
//! is taken, and its acknowledgement also means that the event is stored; a message that is sent again is known by its id.

mod door;
mod failures;
mod guests;
mod intake;
mod rounds;
mod wills;

use std::fmt::Debug;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::{Caller, Clock};
use cornjacket_proto::status::Failure;
use cornjacket_store::Devices;
use mqtt5::broker::config::{StorageBackend, StorageConfig};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::{BrokerConfig, MqttBroker};

use self::door::Door;
use self::guests::Guests;
use self::intake::Intake;
use super::mqtt::{Letterbox, Message, NotKept, Topics};
use crate::Acceptor;

/// Connections at the most; more are told to come back.
const CONNECTIONS: usize = 10_000;
/// Messages of one connection that may be under way.
const RECEIVE_MAXIMUM: u16 = 1_000;
/// What a packet may have beyond the largest event: room to say what is wrong with it.
const PACKET_SLACK: usize = 2;
/// How long sessions are kept whose device is gone.
const SESSIONS: Duration = Duration::from_hours(7 * 24);

/// Who a token stands for.
#[async_trait]
pub trait Tokens: Debug + Send + Sync {
    /// The caller, or why the token is refused. `address` is where it comes from.
    async fn caller(&self, token: &str, address: IpAddr) -> Result<Caller, Failure>;
}

/// Where messages go that are no events.
#[async_trait]
pub trait Refusals: Debug + Send + Sync {
    /// Keeps the message. When it returns, the device is told that its message has arrived.
    async fn refuse(&self, message: &Message, why: &str) -> Result<(), NotKept>;
}

#[async_trait]
impl Refusals for Letterbox {
    async fn refuse(&self, message: &Message, why: &str) -> Result<(), NotKept> {
        self.keep(message, why).await
    }
}

/// What the broker works on.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The folder that keeps sessions over restarts; without one they are kept until then.
    pub sessions: Option<PathBuf>,
    /// What the largest event has, in bytes.
    pub event_bytes: usize,
    /// Which events topics mean.
    pub topics: Topics,
    /// Who may connect with a password.
    pub devices: Arc<dyn Devices>,
    /// Who may connect with a token; without, everybody may connect and do everything.
    pub tokens: Option<Arc<dyn Tokens>>,
    /// What takes events in.
    pub acceptor: Acceptor,
    /// Where messages go that are no events.
    pub refusals: Arc<dyn Refusals>,
    /// Tells when tokens end.
    pub clock: Arc<dyn Clock>,
}

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
#[error("the MQTT broker: {0}")]
pub struct BrokerError(#[from] mqtt5::MqttError);

/// What the parts of the broker share.
#[derive(Debug)]
struct Shared {
    options: Options,
    guests: Guests,
    router: Router,
}

/// The one of the broker, which is made after those that need it. The router holds those itself: held in turn, it would keep
/// them, and with them what commits, from ending.
#[derive(Default)]
struct Router(OnceLock<Weak<MessageRouter>>);

impl Debug for Router {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Router").finish_non_exhaustive()
    }
}

impl Shared {
    /// Ends a connection as soon as the packet that it is at is done with; nothing that comes after it is stored.
    async fn cut(&self, client: &str) {
        self.guests.cut(client);
        if let Some(router) = self.router.0.get().and_then(Weak::upgrade) {
            router.disconnect_client(client).await;
        }
    }
}

/// A broker that listens.
pub struct Broker {
    server: MqttBroker,
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Debug for Broker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Broker").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Broker {
    /// Listens. Devices are let in by [`Self::run`].
    pub async fn listen(options: Options) -> Result<Self, BrokerError> {
        let (listen, config) = (options.listen, config(&options));
        let shared = Arc::new(Shared { options, guests: Guests::default(), router: Router::default() });
        let config = config.with_event_handler(Arc::new(Intake(shared.clone())));
        let broker = MqttBroker::with_config(config).await?;
        let broker = broker.with_auth_provider(Arc::new(Door::new(shared.clone())));
        // Nobody else sets it.
        drop(shared.router.0.set(Arc::downgrade(&broker.router())));
        let address = broker.local_addr().unwrap_or(listen);
        Ok(Self { server: broker, shared, address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets devices in until `stop`, and then lets messages finish that are under way.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), BrokerError> {
        let handle = self.server.shutdown_handle();
        let wills = wills::follow(self.shared.clone(), self.server.router());
        let rounds = rounds::make(self.shared.clone());
        let serve = self.server.run();
        tokio::pin!(serve);
        tokio::select! {
            served = &mut serve => Ok(served?),
            () = wills => unreachable!("the router lives as long as the broker"),
            () = rounds => unreachable!("rounds do not end"),
            () = stop => {
                handle.shutdown();
                Ok(serve.await?)
            }
        }
    }
}

fn config(options: &Options) -> BrokerConfig {
    let storage = StorageConfig::new();
    let storage = match &options.sessions {
        Some(folder) => storage.with_backend(StorageBackend::File).with_base_dir(folder.clone()),
        None => storage.with_backend(StorageBackend::Memory),
    };
    let mut config = BrokerConfig::new()
        .with_bind_address(options.listen)
        .with_max_clients(CONNECTIONS)
        .with_max_packet_size((PACKET_SLACK * options.event_bytes).max(1 << 16))
        .with_session_expiry(SESSIONS)
        .with_server_receive_maximum(RECEIVE_MAXIMUM)
        .with_sys_topics_enabled(false)
        .with_storage(storage);
    config.shared_subscription_available = false;
    config
}

#[cfg(test)]
mod tests;
