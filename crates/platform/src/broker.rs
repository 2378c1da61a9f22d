//! The MQTT broker inside, as the settings say: who tells it whom a token stands for.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use cornjacket_auth::Authenticator;
use cornjacket_domain::{Caller, Clock};
use cornjacket_ingest::Acceptor;
use cornjacket_ingest::sources::broker::{Broker, Options, Tokens};
use cornjacket_ingest::sources::mqtt::Letterbox;
use cornjacket_proto::status::Failure;
use cornjacket_store::Store;

use crate::config::Settings;

/// What is behind a broker.
pub struct Inside {
    /// Takes events in.
    pub acceptor: Acceptor,
    /// Keeps what is no event.
    pub letterbox: Arc<Letterbox>,
    /// Tells when tokens end.
    pub clock: Arc<dyn Clock>,
}

/// A broker that listens; none when the settings want none.
pub async fn listen(
    settings: &Settings,
    store: &Store,
    authenticator: Option<Authenticator>,
    Inside { acceptor, letterbox, clock }: Inside,
) -> anyhow::Result<Option<Broker>> {
    let Some(listen) = settings.mqtt_listen()? else { return Ok(None) };
    let tokens = authenticator.map(|authenticator| Arc::new(TokensOf(authenticator)) as Arc<dyn Tokens>);
    let options = Options {
        listen,
        sessions: Some(PathBuf::from(&settings.mqtt.sessions))
            .filter(|folder| !folder.as_os_str().is_empty()),
        event_bytes: settings.limits().event_bytes,
        topics: settings.mqtt_topics()?,
        devices: store.devices.clone(),
        tokens,
        acceptor,
        refusals: letterbox,
        clock,
    };
    Broker::listen(options).await.map(Some).with_context(|| format!("mqtt.listen: {listen}"))
}

#[derive(Debug)]
struct TokensOf(Authenticator);

#[async_trait]
impl Tokens for TokensOf {
    async fn caller(&self, token: &str, address: IpAddr) -> Result<Caller, Failure> {
        self.0.authenticate_token(token, Some(address)).await
    }
}
