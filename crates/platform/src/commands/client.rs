//! Clients of a running Cornjacket, for the operator's verbs.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use cornjacket_proto::actions::action_service_client::ActionServiceClient;
use cornjacket_proto::admin::admin_service_client::AdminServiceClient;
use cornjacket_proto::query::query_service_client::QueryServiceClient;
use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::dev;
use crate::config::{AuthMode, Settings};
use crate::identity;
use crate::tls::Client;

const CONNECT_DEADLINE: Duration = Duration::from_secs(5);
const CALL_DEADLINE: Duration = Duration::from_secs(30);
const WITH_A_TOKEN: &str = " (verbs take the token of CORNJACKET_TOKEN; `cornjacket token` prints one where auth.secret is set or \
                            a `cornjacket dev` has run)";
/// Whom the verbs' own tokens stand for.
const NAME: &str = "operator";

/// A connection whose calls carry a token.
pub type Connection = InterceptedService<Channel, Bearer>;

/// Puts a token on calls; nothing where there is none.
#[derive(Clone, Debug)]
pub struct Bearer(Option<AsciiMetadataValue>);

impl Bearer {
    /// With that token.
    pub fn new(token: &str) -> anyhow::Result<Self> {
        let mut value: AsciiMetadataValue =
            format!("Bearer {token}").parse().context("CORNJACKET_TOKEN: is no token")?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }

    /// The one of the environment, or one of our own where the secret is at hand: in the settings, or in the data folder
    /// of a `cornjacket dev` here.
    pub fn of(settings: &Settings) -> anyhow::Result<Self> {
        if let Ok(token) = std::env::var("CORNJACKET_TOKEN") {
            return Self::new(token.trim());
        }
        let mut settings = settings.clone();
        if settings.auth.mode == AuthMode::Required {
            dev::adopt_secret(&mut settings, Path::new(dev::DATA))?;
        }
        identity::own_token(&settings.auth, NAME)?.map_or(Ok(Self(None)), |token| Self::new(&token))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

/// Where the running one is.
#[derive(Clone, Debug, Args)]
pub struct Server {
    /// The query listener of the running Cornjacket, or the actions listener for what is about actions; by default that of the settings on this machine. The token is that
    /// of the environment (`CORNJACKET_TOKEN`), or made with auth.secret or the secret of the `cornjacket dev` in this folder.
    /// Behind TLS it is `https://HOST:PORT`, and --ca names who vouches for it where this machine does not know.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    server: Option<String>,
}

impl Server {
    async fn connect(&self, settings: &Settings) -> anyhow::Result<Connection> {
        self.connect_with(settings, |endpoint| endpoint.timeout(CALL_DEADLINE)).await
    }

    async fn connect_with(
        &self,
        settings: &Settings,
        configure: impl FnOnce(Endpoint) -> Endpoint,
    ) -> anyhow::Result<Connection> {
        let address = self.server.clone().unwrap_or_else(|| here(settings, settings.query.listen));
        connect(&address, settings, configure).await
    }

    /// The action service.
    pub async fn actions(&self, settings: &Settings) -> anyhow::Result<ActionServiceClient<Connection>> {
        let address = self.server.clone().unwrap_or_else(|| here(settings, settings.actions.listen));
        let connection = connect(&address, settings, |endpoint| endpoint.timeout(CALL_DEADLINE)).await?;
        Ok(ActionServiceClient::new(connection))
    }

    /// The admin service.
    pub async fn admin(&self, settings: &Settings) -> anyhow::Result<AdminServiceClient<Connection>> {
        Ok(AdminServiceClient::new(self.connect(settings).await?))
    }

    /// The admin service, for a call that lasts.
    pub async fn admin_stream(&self, settings: &Settings) -> anyhow::Result<AdminServiceClient<Connection>> {
        Ok(AdminServiceClient::new(self.connect_with(settings, |endpoint| endpoint).await?))
    }

    /// The query service, for a call that lasts.
    pub async fn query_stream(&self, settings: &Settings) -> anyhow::Result<QueryServiceClient<Connection>> {
        Ok(QueryServiceClient::new(self.connect_with(settings, |endpoint| endpoint).await?))
    }

    /// The query service.
    pub async fn query(&self, settings: &Settings) -> anyhow::Result<QueryServiceClient<Connection>> {
        Ok(QueryServiceClient::new(self.connect(settings).await?))
    }
}

/// The address of a listener of the settings, on this machine.
pub fn here(settings: &Settings, listen: SocketAddr) -> String {
    if settings.tls.is_on() { format!("https://{listen}") } else { listen.to_string() }
}

/// A connection to a listener of a running one, at `HOST:PORT` or a URL.
pub async fn connect(
    address: &str,
    settings: &Settings,
    configure: impl FnOnce(Endpoint) -> Endpoint,
) -> anyhow::Result<Connection> {
    let url = if address.contains("://") { address.to_owned() } else { format!("http://{address}") };
    let endpoint = Endpoint::from_shared(url.clone())
        .with_context(|| format!("--server {address}"))?
        .connect_timeout(CONNECT_DEADLINE);
    let endpoint = configure(endpoint);
    let channel = if Client::is_for(&url) {
        endpoint.connect_with_connector(Client::new(&settings.tls)?.connector()).await
    } else {
        endpoint.connect().await
    };
    let channel = channel.with_context(|| format!("no connection to {address}"))?;
    Ok(InterceptedService::new(channel, Bearer::of(settings)?))
}

/// What a failed call says: its code and its message. Whoever is not known is told where a token comes from.
pub fn told(status: &tonic::Status) -> anyhow::Error {
    let hint = if status.code() == Code::Unauthenticated { WITH_A_TOKEN } else { "" };
    anyhow::anyhow!("{:?}: {}{hint}", status.code(), status.message())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_not_known_is_told_where_a_token_comes_from() {
        let unknown = told(&Status::unauthenticated("no token")).to_string();
        assert!(unknown.contains("CORNJACKET_TOKEN") && unknown.contains("`cornjacket token`"), "{unknown}");
        assert_eq!(told(&Status::not_found("x: is not there")).to_string(), "NotFound: x: is not there");
    }
}
