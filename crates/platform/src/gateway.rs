//! The gateway as a role: where each service is, and what the settings say.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use cornjacket_gateway::openapi::{self, About};
use cornjacket_gateway::{BodyLimits, Gateway, Guard, Options, Upstream};
use cornjacket_proto::DESCRIPTOR_POOL;

use crate::config::{self, Settings, Tls};
use crate::tls::Client;

/// The services of this process, by their full names.
pub type Local = HashMap<&'static str, Upstream>;

/// The services that the gateway is for, each with the setting that says where it is, when not here.
const SERVICES: [(&str, &str, UrlOf); 4] = [
    ("cornjacket.ingest.v1.IngestService", "gateway.ingest_url", |settings| &settings.ingest_url),
    ("cornjacket.query.v1.QueryService", "gateway.query_url", |settings| &settings.query_url),
    ("cornjacket.actions.v1.ActionService", "gateway.actions_url", |settings| &settings.actions_url),
    ("cornjacket.admin.v1.AdminService", "gateway.query_url", |settings| &settings.query_url),
];

type UrlOf = fn(&config::Gateway) -> &str;

/// Made when somebody first asks for it: starting does not wait for it.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    let about = About { version: env!("CARGO_PKG_VERSION").to_owned(), servers: Vec::new() };
    openapi::document(&DESCRIPTOR_POOL, &about).to_string().into()
});

/// The gateway to these services.
pub fn gateway(settings: &Settings, local: &Local) -> anyhow::Result<Gateway> {
    let upstreams = SERVICES.map(|(service, setting, url_of)| {
        let url = url_of(&settings.gateway);
        let upstream = if url.is_empty() {
            let here = local.get(service).cloned();
            here.with_context(|| format!("{setting}: must be set, as {service} is not in this process"))
        } else {
            remote(url, &settings.tls).context(setting)
        };
        Ok((service.to_owned(), upstream?))
    });
    let upstreams = upstreams.into_iter().collect::<anyhow::Result<_>>()?;
    Gateway::new(options(&settings.gateway), upstreams).context("gateway")
}

/// Where it is said to be; with TLS when the address says so.
fn remote(url: &str, tls: &Tls) -> anyhow::Result<Upstream> {
    if !Client::is_for(url) {
        return Ok(Upstream::remote(url)?);
    }
    Ok(Upstream::remote_over(url, Client::new(tls)?.connector())?)
}

/// Everything that it answers. What there is to ask is nobody's secret.
pub fn router(gateway: &Gateway, guard: Option<Guard>) -> Router {
    let api = gateway.router().merge(gateway.cloudevents());
    let api = match guard {
        Some(guard) => guard.around(api),
        None => api,
    };
    let document = get(async || ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone()));
    gateway.layered(Router::new().route("/openapi.json", document).fallback_service(api))
}

fn options(settings: &config::Gateway) -> Options {
    let defaults = Options::default();
    Options {
        body: BodyLimits { bytes: settings.body_bytes, ..defaults.body },
        default_timeout: Duration::from_millis(settings.default_deadline_ms),
        max_timeout: Duration::from_millis(settings.longest_deadline_ms),
        cors_origins: settings.cors_origins.clone(),
        ..defaults
    }
}
