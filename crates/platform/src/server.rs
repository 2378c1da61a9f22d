//! Starting the roles of a process, and stopping them.

mod actions;
mod inference;
mod query;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cornjacket_auth::Authenticator;
use cornjacket_bus::consumer::State;
use cornjacket_bus::{Bus, Consumer, Handler};
use cornjacket_domain::{Clock, SystemClock};
use cornjacket_gateway::{ConnectionOptions, Guard};
use cornjacket_ingest::relay::{self, Relay};
use cornjacket_ingest::sources::mqtt::{self, Letterbox, Mqtt};
use cornjacket_ingest::{Acceptor, GroupCommit, IngestRpc, Quota};
use cornjacket_query::{Projector, projections};
use cornjacket_store::postgres::RelayCheckpoint;
use cornjacket_store::{Store, Tx};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

#[cfg(feature = "broker")]
use crate::broker;
use crate::checkpoint::StoreCheckpoint;
use crate::config::{BusUrl, Settings};
use crate::consumers;
use crate::doors;
use crate::gateway::{self, Local};
use crate::grpc::{self, Door, Layers, Service};
use crate::identity;
use crate::ops::{self, Readiness};
use crate::retention::Retention;
use crate::roles::Role;
use crate::rpc_trace::TraceLayer;
use crate::shutdown::{Shutdown, Signals};
use crate::stages::{Input, Stages};
use crate::telemetry;
use crate::tls::Listeners;
use crate::unread::readers;
use crate::watchdog::Watchdog;
use crate::wiring;

/// What a request may have beyond the largest batch: room to say what is wrong with it by name.
const REQUEST_SLACK: usize = 2;

/// Who listens where.
pub type Addresses = Vec<(&'static str, String)>;

/// A process whose roles are running.
#[derive(Debug)]
pub struct Running {
    /// Who listens where.
    pub addresses: Addresses,
    shutdown: Shutdown,
    signals: Signals,
    drain: Duration,
}

impl Running {
    /// Until a signal to stop, and until what was under way is finished.
    pub async fn until_stopped(self) -> anyhow::Result<()> {
        self.shutdown.run(self.signals, self.drain).await
    }
}

/// What the roles share.
struct Process<'a> {
    settings: &'a Settings,
    clock: Arc<dyn Clock>,
    store: Store,
    bus: Arc<dyn Bus>,
    epoch: u32,
    readiness: Readiness,
    layers: Layers,
    /// What checks tokens; none where authentication is off.
    authenticator: Option<Authenticator>,
    tls: Listeners,
    /// For a gateway in this process.
    local: Local,
    shutdown: Shutdown,
    stages: Stages,
    /// One for all doors of this process, so that they share commits and quotas.
    acceptor: Option<Acceptor>,
    /// Whether what is on its way into the log is forwarded here.
    forwards: bool,
    addresses: Addresses,
}

/// Opens store and bus and starts the roles. Returns when all of them listen; nothing when a signal to stop came first.
pub async fn start(settings: &Settings, roles: &[Role]) -> anyhow::Result<Option<Running>> {
    // First: whoever sees that we are ready may ask us to stop at once, and what is under way by then is to be finished.
    let mut signals = Signals::new()?;
    tokio::select! {
        () = signals.next() => {
            tracing::info!("stopped before everything had started");
            Ok(None)
        }
        started = start_roles(settings, roles) => {
            let (addresses, shutdown) = started?;
            let drain = Duration::from_millis(settings.shutdown.drain_ms);
            Ok(Some(Running { addresses, shutdown, signals, drain }))
        }
    }
}

async fn start_roles(settings: &Settings, roles: &[Role]) -> anyhow::Result<(Addresses, Shutdown)> {
    // What is counted before is lost.
    let metrics = PrometheusBuilder::new().install_recorder()?;
    let mut process = Process::open(settings).await?;
    for role in Role::ALL.into_iter().filter(|role| roles.contains(role)) {
        match role {
            Role::Ingest => process.start_ingest().await?,
            Role::Mqtt => process.start_mqtt()?,
            Role::Relay => process.start_relay(),
            Role::Projector => process.start_projectors().await?,
            Role::Inference => process.start_inference().await?,
            Role::Actions => process.start_actions().await?,
            Role::Query => process.start_query().await?,
            Role::Gateway => process.start_gateway().await?,
        }
    }
    process.start_watchdog()?;
    // Last, so that readiness is not claimed before every door is open.
    process.start_ops(metrics).await?;
    let Process { addresses, shutdown, .. } = process;
    Ok((addresses, shutdown))
}

impl<'a> Process<'a> {
    /// Opens store and bus; nothing runs yet.
    async fn open(settings: &'a Settings) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let tls = Listeners::new(&settings.tls)?;
        let store = Store::open(&settings.store_options()?, clock.clone()).await?;
        let epoch = store.log.head().await?.epoch;
        let bus = wiring::bus(settings, &store, epoch)?;
        let readiness = Readiness(store.log.clone());
        let authenticator = identity::authenticator(&settings.auth, clock.clone())?;
        let layers = Layers {
            trace: TraceLayer { spans: telemetry::exports_traces() },
            auth: identity::layer(&settings.auth, authenticator.clone()),
        };
        Ok(Self {
            settings,
            clock,
            store,
            bus,
            epoch,
            readiness,
            layers,
            authenticator,
            tls,
            local: Local::new(),
            shutdown: Shutdown::default(),
            stages: Stages::default(),
            acceptor: None,
            forwards: false,
            addresses: Vec::new(),
        })
    }

    async fn listen(
        &mut self,
        name: &'static str,
        address: std::net::SocketAddr,
    ) -> anyhow::Result<TcpListener> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("{name}.listen: {address}"))?;
        self.addresses.push((name, listener.local_addr()?.to_string()));
        Ok(listener)
    }

    async fn start_ops(&mut self, metrics: PrometheusHandle) -> anyhow::Result<()> {
        let listener = self.listen("ops", self.settings.ops.listen).await?;
        let router = ops::router(self.readiness.clone(), self.stages.clone(), metrics);
        let (acceptor, stop) = (self.tls.ops(), self.shutdown.stop.clone().cancelled_owned());
        self.shutdown.spawn("ops", async move {
            let shake = |tcp| acceptor.clone().accept(tcp);
            let options = ConnectionOptions::default();
            cornjacket_gateway::serve(listener, shake, router, options, stop).await;
            Ok(())
        });
        Ok(())
    }

    fn acceptor(&mut self) -> Acceptor {
        if let Some(acceptor) = &self.acceptor {
            return acceptor.clone();
        }
        let (commit, task) = GroupCommit::spawn(self.store.log.clone(), self.settings.group_commit());
        self.shutdown.spawn("group commit", async { Ok(task.await?) });
        let limits = self.settings.limits();
        let quota = Quota::new(self.settings.ingest.events_per_second, limits.batch_events);
        let acceptor = Acceptor::new(commit, self.clock.clone(), limits, self.store.partitions, self.epoch)
            .with_quota(quota);
        self.acceptor.insert(acceptor).clone()
    }

    async fn start_ingest(&mut self) -> anyhow::Result<()> {
        let acceptor = self.acceptor();
        let listener = self.listen("ingest", self.settings.ingest.listen).await?;
        #[cfg(feature = "broker")]
        self.start_broker(acceptor.clone()).await?;
        let service = self.ingest_service(acceptor);
        self.keep_door("ingest", doors::here(&self.settings.ingest.listen.to_string()), || true);
        self.serve(listener, service);
        let readers = readers(&self.settings.inference.counted()?);
        let retention = Retention::new(&self.store, self.clock.clone(), self.settings, readers);
        self.shutdown.spawn("retention", retention.run(self.shutdown.stop.clone()));
        Ok(())
    }

    fn ingest_service(&self, acceptor: Acceptor) -> Service {
        let server = IngestRpc::server(acceptor, REQUEST_SLACK * self.settings.ingest.batch_bytes);
        Service::none().and("cornjacket.ingest.v1.IngestService", server)
    }

    #[cfg(feature = "broker")]
    async fn start_broker(&mut self, acceptor: Acceptor) -> anyhow::Result<()> {
        let (topics, limits) = (self.settings.mqtt_topics()?, self.settings.consumers.park_limits());
        let letterbox = Arc::new(Letterbox::new(acceptor.clone(), self.mqtt_ports(), topics, limits));
        let (settings, store, clock) = (self.settings, &self.store, self.clock.clone());
        let inside = broker::Inside { acceptor, letterbox: letterbox.clone(), clock };
        let broker = broker::listen(settings, store, self.authenticator.clone(), inside).await?;
        let Some(broker) = broker else { return Ok(()) };
        self.addresses.push(("mqtt", broker.address().to_string()));
        let stop = self.shutdown.stop.clone();
        self.shutdown.spawn("mqtt", async move { Ok(broker.run(stop.cancelled_owned()).await?) });
        let stop = self.shutdown.stop.clone().cancelled_owned();
        self.shutdown.spawn("letters of mqtt", async move {
            letterbox.attend(stop).await;
            Ok(())
        });
        Ok(())
    }

    fn mqtt_ports(&self) -> mqtt::Ports {
        mqtt::Ports {
            leases: self.store.leases.clone(),
            dead_letters: self.store.dead_letters.clone(),
            offsets: self.store.offsets.clone(),
            consumers: self.store.consumers.clone(),
            clock: self.clock.clone(),
        }
    }

    fn start_mqtt(&mut self) -> anyhow::Result<()> {
        let Some(options) = self.settings.mqtt()? else { return Ok(()) };
        let ports = self.mqtt_ports();
        let (acceptor, stop) = (self.acceptor(), self.shutdown.stop.clone());
        // Whoever holds the session is the door.
        let shares = options.shared_group.is_some();
        let door = if shares { doors::here(&options.client_id) } else { mqtt::NAME.to_owned() };
        self.stages.start(&self.shutdown, mqtt::NAME, Input::Outside, move |state| {
            Mqtt::new(acceptor.clone(), ports.clone(), options.clone(), state).run(stop.clone())
        });
        let stages = self.stages.clone();
        let is_connected = move || stages.state_of(mqtt::NAME) == Some(State::Running);
        self.keep_door(mqtt::NAME, door, is_connected);
        Ok(())
    }

    /// With the embedded bus there is nothing to publish.
    fn relay(&self) -> Option<RelayCheckpoint> {
        let embedded = matches!(self.settings.bus_url(), Ok(BusUrl::Embedded));
        self.store.relay.clone().filter(|_| !embedded)
    }

    /// Says of a way in that it is open, as long as it is.
    fn keep_door(&self, kind: &'static str, name: String, is_open: impl Fn() -> bool + Send + 'static) {
        let (doors, stop) = (self.store.doors.clone(), self.shutdown.stop.clone());
        self.shutdown.spawn("door", async move {
            doors::keep(doors, kind, name, is_open, stop).await;
            Ok(())
        });
    }

    fn start_relay(&self) {
        let Some(checkpoint) = self.relay() else { return };
        let options = relay::Options {
            lease: Duration::from_millis(self.settings.relay.lease_ms),
            commit_interval: Duration::from_millis(self.settings.bus.commit_interval_ms),
            clock: self.clock.clone(),
            bus_retention: Duration::from_hours(self.settings.bus.retention_hours.into()),
        };
        let (store, bus) = (self.store.clone(), self.bus.clone());
        let stop = self.shutdown.stop.clone();
        self.stages.start(&self.shutdown, "relay", Input::Log, move |state| {
            let (log, snapshots) = (store.log.clone(), store.snapshots.clone());
            let relay = Relay::new(log, snapshots, checkpoint.clone(), bus.clone(), options.clone());
            let relay = relay.with_state(state);
            relay.run(stop.clone().cancelled_owned())
        });
    }

    async fn start_projectors(&self) -> anyhow::Result<()> {
        for projection in projections::ALL {
            self.store.rebuilds.declare(projection.id).await?;
            let parameters = self.settings.projections.parameters();
            let input = Input::Topics(projection.topics());
            self.consume(projection.id.name, input, move || Projector::new(projection, parameters))?;
        }
        Ok(())
    }

    fn consume<H: Handler<Box<dyn Tx>>>(
        &self,
        name: &'static str,
        input: Input,
        handler: impl Fn() -> H + Send + Sync + 'static,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(consumers::is_known(name), "{name} is not among the consumers of consumers.rs");
        let (store, bus, clock, epoch) =
            (self.store.clone(), self.bus.clone(), self.clock.clone(), self.epoch);
        let (limits, stop) = (self.settings.consumers.park_limits(), self.shutdown.stop.clone());
        self.stages.start(&self.shutdown, name, input, move |state| {
            let checkpoint = StoreCheckpoint::new(&store, clock.clone());
            let consumer = Consumer::new(bus.clone(), checkpoint, handler(), epoch);
            let consumer = consumer.with_log(wiring::log(&store, epoch)).with_state(state);
            let consumer = consumer.with_limits(limits);
            consumer.run(stop.clone().cancelled_owned())
        });
        Ok(())
    }

    fn start_watchdog(&self) -> anyhow::Result<()> {
        let relayed = matches!(self.settings.bus_url()?, BusUrl::Kafka(_));
        let stuck_after = Duration::from_millis(self.settings.watchdog.stuck_after_ms);
        let (stages, store, clock) = (self.stages.clone(), self.store.clone(), self.clock.clone());
        let watchdog = Watchdog::new(stages, store, clock, relayed, stuck_after);
        self.shutdown.spawn("watchdog", watchdog.run(self.shutdown.stop.clone()));
        Ok(())
    }

    /// Nobody has to say who they are where authentication is off.
    fn guard(&self) -> Option<Guard> {
        let proxies = &self.settings.gateway.trusted_proxies;
        self.authenticator.clone().map(|authenticator| Guard::new(authenticator, proxies))
    }

    /// After the services of this process.
    async fn start_gateway(&mut self) -> anyhow::Result<()> {
        let gateway = gateway::gateway(self.settings, &self.local)?;
        let listener = self.listen("gateway", self.settings.gateway.listen).await?;
        let router = gateway::router(&gateway, self.guard());
        let (options, stop) = (gateway.options().connections.clone(), self.shutdown.stop.clone());
        let acceptor = self.tls.http();
        self.shutdown.spawn("gateway", async move {
            let shake = |tcp| acceptor.clone().accept(tcp);
            cornjacket_gateway::serve(listener, shake, router, options, stop.cancelled_owned()).await;
            Ok(())
        });
        Ok(())
    }

    fn serve(&mut self, listener: TcpListener, service: Service) {
        let upstream = service.in_process(&self.layers);
        self.local.extend(service.names.iter().map(|name| (*name, upstream.clone())));
        let (layers, stop) = (self.layers.clone(), self.shutdown.stop.clone());
        let name = service.names[0];
        let door = Door { listener, acceptor: self.tls.grpc() };
        self.shutdown.spawn(name, grpc::serve(door, service, layers, self.readiness.clone(), stop));
    }
}

#[cfg(test)]
mod tests;
