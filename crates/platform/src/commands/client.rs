//! Clients of a running Cornjacket, for the operator's verbs.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use cornjacket_proto::admin::admin_service_client::AdminServiceClient;
use cornjacket_proto::query::query_service_client::QueryServiceClient;
use tonic::transport::{Channel, Endpoint};

use crate::config::Settings;

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const CALL_DEADLINE: Duration = Duration::from_secs(30);

/// Where the running one is.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// The query listener of the running Cornjacket; by default that of the settings on this machine.
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
}

impl Server {
    async fn connect(&self, settings: &Settings) -> anyhow::Result<Channel> {
        self.connect_with(settings, |endpoint| endpoint.timeout(CALL_DEADLINE)).await
    }

    async fn connect_with(
        &self,
        settings: &Settings,
        configure: impl FnOnce(Endpoint) -> Endpoint,
    ) -> anyhow::Result<Channel> {
        let address = self.server.clone().unwrap_or_else(|| settings.query.listen.to_string());
        connect(&address, configure).await
    }

    /// The admin service.
    pub async fn admin(&self, settings: &Settings) -> anyhow::Result<AdminServiceClient<Channel>> {
        Ok(AdminServiceClient::new(self.connect(settings).await?))
    }

    /// The admin service, for a call that lasts.
    pub async fn admin_stream(&self, settings: &Settings) -> anyhow::Result<AdminServiceClient<Channel>> {
        Ok(AdminServiceClient::new(self.connect_with(settings, |endpoint| endpoint).await?))
    }

    /// The query service, for a call that lasts.
    pub async fn query_stream(&self, settings: &Settings) -> anyhow::Result<QueryServiceClient<Channel>> {
        Ok(QueryServiceClient::new(self.connect_with(settings, |endpoint| endpoint).await?))
    }

    /// The query service.
    pub async fn query(&self, settings: &Settings) -> anyhow::Result<QueryServiceClient<Channel>> {
        Ok(QueryServiceClient::new(self.connect(settings).await?))
    }
}

/// A connection to a listener of a running one.
pub async fn connect(address: &str, configure: impl FnOnce(Endpoint) -> Endpoint) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .with_context(|| format!("--server {address}"))?
        .connect_timeout(CONNECT_DEADLINE);
    configure(endpoint).connect().await.with_context(|| format!("nothing answers at {address}"))
}

/// What a failed call says: its code and its message.
pub fn told(status: &tonic::Status) -> anyhow::Error {
    anyhow::anyhow!("{:?}: {}", status.code(), status.message())
}
