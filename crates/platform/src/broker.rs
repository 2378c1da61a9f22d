//! The MQTT broker inside, as the settings say: who tells it whom a token stands for, and where refused messages go.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use async_trait::async_trait;
use cornjacket_auth::Authenticator;
use cornjacket_domain::{Caller, Clock};
use cornjacket_ingest::Acceptor;
use cornjacket_ingest::sources::broker::message::{Message, Topics};
use cornjacket_ingest::sources::broker::{Broker, Options, Refusals, Tokens};
use cornjacket_proto::status::Failure;
use cornjacket_store::{Store, StoreError};

use crate::config::Settings;

/// A broker that listens; none when the settings want none.
pub async fn listen(
    settings: &Settings,
    store: &Store,
    authenticator: Option<Authenticator>,
    acceptor: Acceptor,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Option<Broker>> {
    let Some(listen) = address(&settings.mqtt.listen)? else { return Ok(None) };
    let tokens = authenticator.map(|authenticator| Arc::new(TokensOf(authenticator)) as Arc<dyn Tokens>);
    let options = Options {
        listen,
        sessions: Some(PathBuf::from(&settings.mqtt.sessions))
            .filter(|folder| !folder.as_os_str().is_empty()),
        event_bytes: settings.limits().event_bytes,
        topics: Topics::default(),
        devices: store.devices.clone(),
        tokens,
        acceptor,
        refusals: Arc::new(Logged),
        clock,
    };
    Broker::listen(options).await.map(Some).with_context(|| format!("mqtt.listen: {listen}"))
}

/// `auto` is for `cornjacket dev`, which puts an address in its place.
fn address(listen: &str) -> anyhow::Result<Option<SocketAddr>> {
    match listen {
        "" | "auto" => Ok(None),
        address => address.parse().map(Some).with_context(|| format!("mqtt.listen: {address:?}")),
    }
}

#[derive(Debug)]
struct TokensOf(Authenticator);

#[async_trait]
impl Tokens for TokensOf {
    async fn caller(&self, token: &str, address: IpAddr) -> Result<Caller, Failure> {
        self.0.authenticate_token(token, Some(address)).await
    }
}

/// A stand-in for the store's dead letters.
#[derive(Debug)]
struct Logged;

#[async_trait]
impl Refusals for Logged {
    async fn refuse(&self, message: &Message, why: &str) -> Result<(), StoreError> {
        tracing::warn!(topic = message.topic, bytes = message.payload.len(), why, "a message was refused");
        Ok(())
    }
}
