//! A gRPC listener: services, with health and reflection beside them.

mod begun;
mod incoming;

use std::convert::Infallible;
use std::time::Duration;

use cornjacket_auth::AuthLayer;
use cornjacket_gateway::Upstream;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::codegen::{Service as TowerService, http};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::ServiceBuilder;

use crate::ops::Readiness;
use crate::rpc_trace::TraceLayer;
use crate::tls::Acceptor;
use begun::Begun;
use incoming::Patience;

/// A dead connection is noticed within this and [`KEEPALIVE_TIMEOUT`].
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often health follows readiness.
const HEALTH_INTERVAL: Duration = Duration::from_secs(1);

/// Services that share a listener.
#[derive(Clone, Debug)]
pub struct Service {
    /// Their full names, as in the contract.
    pub names: Vec<&'static str>,
    /// With nothing around them.
    pub routes: Routes,
}

impl Service {
    /// None yet.
    pub fn none() -> Self {
        Self { names: Vec::new(), routes: Routes::default() }
    }

    /// With the service of that name.
    #[must_use]
    pub fn and<S>(mut self, name: &'static str, service: S) -> Self
    where
        S: TowerService<http::Request<Body>, Error = Infallible>
            + NamedService
            + Clone
            + Send
            + Sync
            + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.names.push(name);
        Self { routes: self.routes.add_service(service), ..self }
    }
}

/// What every call goes through, whichever way it comes.
#[derive(Clone, Debug)]
pub struct Layers {
    /// Measures it, and gives it a span.
    pub trace: TraceLayer,
    /// Finds out who calls, and whether they may.
    pub auth: AuthLayer,
}

impl Service {
    /// For calls from this process, which go through the same layers.
    pub fn in_process(&self, layers: &Layers) -> Upstream {
        let stack = ServiceBuilder::new().layer(layers.trace).layer(layers.auth.clone());
        Upstream::in_process(stack.service(self.routes.clone().prepare()))
    }
}

/// Where calls from outside come in.
#[derive(Debug)]
pub struct Door {
    /// Takes connections.
    pub listener: TcpListener,
    /// Shakes hands with them.
    pub acceptor: Acceptor,
}

impl Door {
    fn incoming(self) -> impl futures::Stream<Item = std::io::Result<Begun>> {
        incoming::incoming(self.listener, self.acceptor, Patience::default())
    }
}

/// Serves until `stop`, then finishes the calls under way.
pub async fn serve(
    door: Door,
    service: Service,
    layers: Layers,
    readiness: Readiness,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    let Service { names, routes } = service;
    let routes = routes
        .add_service(health_service)
        .add_service(reflection(&names).build_v1()?)
        // Older versions of grpcurl know only this one.
        .add_service(reflection(&names).build_v1alpha()?);
    let follower = tokio::spawn(follow_readiness(health, names, readiness));
    let served = Server::builder()
        .layer(layers.trace)
        .layer(layers.auth)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_routes(routes)
        .serve_with_incoming_shutdown(door.incoming(), stop.cancelled_owned())
        .await;
    follower.abort();
    Ok(served?)
}

fn reflection(names: &[&'static str]) -> tonic_reflection::server::Builder<'static> {
    let builder = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(cornjacket_proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .with_service_name("grpc.health.v1.Health");
    names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
}

async fn follow_readiness(health: HealthReporter, names: Vec<&'static str>, readiness: Readiness) {
    let mut ticks = tokio::time::interval(HEALTH_INTERVAL);
    loop {
        ticks.tick().await;
        let status =
            if readiness.check().await.is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in names.iter().copied().chain([""]) {
            health.set_service_status(name, status).await;
        }
    }
}
