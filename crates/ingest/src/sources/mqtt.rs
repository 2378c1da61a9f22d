//! MQTT: events of devices, by way of a broker.
//!
//! The [`session`] is the connection: it alone knows the client library, and puts what the broker delivers into a queue. The
//! [`intake`] takes whatever waits there, makes events of it, has them stored in one go, and only then are they
//! acknowledged to the broker, in the order in which they came. So a message leaves the broker when it is in the log, and
//! not before; the next is not stored before the one in front of it, whatever goes wrong. What is no event goes to the
//! [`letters`], where operators see it and have it tried again.
//!
//! How many messages are on their way is the receive-maximum of the connection, by which the broker stops sending. When the
//! store is away the broker keeps them.
//!
//! One process at a time holds the session, by a lease, so that there is one order. With a shared subscription every process
//! takes its part, and devices have an order only as far as the broker gives them one.

mod address;
mod format;
mod intake;
mod json;
mod letters;
pub mod message;
mod session;
mod status;
mod topics;

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use cornjacket_bus::consumer::{ParkLimits, State};
use cornjacket_domain::Clock;
use cornjacket_store::{Consumers, DeadLetters, Leases, Offsets, StoreError};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

pub use address::Address;
pub use letters::NotKept;
pub use message::{Message, Refused, event_of};
pub use topics::{BadTemplate, PREFIX, Topics};

use self::intake::Intake;
use self::letters::{Letters, Rejected};
use self::session::{End, Session};
use self::status::Status;
use crate::Acceptor;

/// What operators know it by: a stage, the consumer of its dead letters, its lease.
pub const NAME: &str = "mqtt";

/// How to connect, and to what.
#[derive(Clone, Debug)]
pub struct Options {
    /// The broker.
    pub address: Address,
    /// Names the session at the broker, which keeps what comes while nobody is connected.
    pub client_id: String,
    /// What topics mean.
    pub topics: Topics,
    /// Share the subscription with others of this group, each with a client id of its own, instead of the lease.
    pub shared_group: Option<String>,
    /// Messages that may be on their way at once.
    pub receive_maximum: u16,
    /// After this long without a sign of life of the process that holds the session, another one takes it.
    pub lease: Duration,
    /// How much may be in the dead letters.
    pub park_limits: ParkLimits,
}

/// Parts of the store that it needs.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Who holds the session.
    pub leases: Arc<dyn Leases>,
    /// What could not be taken.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Where letters are numbered.
    pub offsets: Arc<dyn Offsets>,
    /// What operators want.
    pub consumers: Arc<dyn Consumers>,
    /// Dates letters.
    pub clock: Arc<dyn Clock>,
}

/// Takes events from a broker.
#[derive(Debug)]
pub struct Mqtt {
    leases: Arc<dyn Leases>,
    options: Options,
    intake: Intake,
    status: Status,
}

impl Mqtt {
    /// From a broker to `acceptor`; tells in `state` how it is doing.
    pub fn new(acceptor: Acceptor, ports: Ports, options: Options, state: watch::Sender<State>) -> Self {
        let status = Status::new(state);
        let leases = ports.leases.clone();
        let letters = Letters::new(ports, options.park_limits, status.clone());
        let intake = Intake::new(acceptor, options.topics.clone(), letters, status.clone());
        Self { leases, options, intake, status }
    }

    /// Works or waits until `stop`, and finishes what it has in hand. Trouble is waited for: recovery needs nobody.
    pub async fn run(self, stop: CancellationToken) {
        if self.options.shared_group.is_some() {
            self.work(&stop).await;
            return;
        }
        let holder = cornjacket_store::holder();
        while !stop.is_cancelled() {
            let claim = self.leases.claim(NAME, &holder, self.options.lease).await;
            let pause = async {
                match claim {
                    Ok(Some(generation)) => self.work_with(generation, &stop).await,
                    Ok(None) => self.status.waits(&"another process holds the session"),
                    Err(error) => self.status.waits(&error),
                }
                if !stop.is_cancelled() {
                    sleep(self.options.lease / 4).await;
                }
            };
            pause.await;
        }
    }

    /// Until `stop`, or until somebody else has the lease.
    async fn work_with(&self, generation: i64, stop: &CancellationToken) {
        tokio::select! {
            () = self.work(stop) => {}
            () = self.keep(generation) => tracing::warn!("another process has taken the session over"),
        }
        if let Err(error) = self.leases.release(NAME, generation).await {
            tracing::warn!(%error, "the session's lease was not given back; it ends by itself");
        }
    }

    /// Returns when somebody else has the lease. While the store is away nobody can take it.
    async fn keep(&self, generation: i64) {
        let lost = |kept: Result<bool, StoreError>| matches!(kept, Ok(false));
        while !lost(self.leases.keep(NAME, generation, self.options.lease).await) {
            sleep(self.options.lease / 3).await;
        }
    }

    /// Takes messages and sees to the letters, until `stop`.
    async fn work(&self, stop: &CancellationToken) {
        tokio::select! {
            () = self.connected(stop) => {}
            () = self.intake.attend() => {}
        }
    }

    /// Connects until `stop`, again whenever the connection is lost.
    async fn connected(&self, stop: &CancellationToken) {
        let mut delays = delays();
        while !stop.is_cancelled() {
            self.status.broker(Some("connecting to the broker".to_owned()));
            let session = Session::new(&self.options, &self.intake, &self.status);
            if let End::Lost { subscribed, reason } = session.run(stop).await {
                if subscribed {
                    delays = self::delays();
                }
                tracing::warn!(broker = ?self.options.address, reason, "no connection to the broker; trying again");
                self.status.broker(Some(format!("the broker: {reason}")));
                metrics::counter!("cornjacket_mqtt_connections_lost_total").increment(1);
                stop.run_until_cancelled(sleep(next(&mut delays))).await;
            }
        }
    }
}

/// The dead letters of a broker inside: keeps what it refuses, and has it tried again when an operator wants it.
#[derive(Debug)]
pub struct Letterbox(Intake);

impl Letterbox {
    /// What is tried again goes to `acceptor`.
    pub fn new(acceptor: Acceptor, ports: Ports, topics: Topics, limits: ParkLimits) -> Self {
        let status = Status::new(watch::Sender::new(State::Running));
        let letters = Letters::new(ports, limits, status.clone());
        Self(Intake::new(acceptor, topics, letters, status))
    }

    /// Returns when the message is kept.
    pub async fn keep(&self, message: &Message, why: &str) -> Result<(), NotKept> {
        let rejected = Rejected { message: message.clone(), error: why.to_owned() };
        self.0.keep(rejected).await
    }

    /// Does what operators want, until `stop`.
    pub async fn attend(&self, stop: impl Future<Output = ()>) {
        tokio::select! {
            () = self.0.attend() => {}
            () = stop => {}
        }
    }
}

/// From 250 ms on, twice as long each time, up to 5 s.
fn delays() -> ExponentialBackoff {
    let builder = ExponentialBuilder::default().with_min_delay(Duration::from_millis(250));
    builder.with_max_delay(LONGEST_DELAY).without_max_times().with_jitter().build()
}

const LONGEST_DELAY: Duration = Duration::from_secs(5);

fn next(delays: &mut ExponentialBackoff) -> Duration {
    delays.next().unwrap_or(LONGEST_DELAY)
}
