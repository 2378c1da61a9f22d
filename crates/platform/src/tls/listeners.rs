//! What our listeners show, and whom they let in.

use std::sync::Arc;

use anyhow::Context;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use super::Acceptor;
use super::files::{Contents, Files};
use super::watched::Watched;
use crate::config::Tls;

const CERTIFICATE: &str = "tls.certificate";
const KEY: &str = "tls.key";
const CLIENT_CA: &str = "tls.client_ca";

/// The same certificate with each protocol that is spoken behind it (ALPN, RFC 7301).
#[derive(Debug)]
pub struct Configs {
    /// HTTP/2 alone: gRPC.
    pub grpc: Arc<ServerConfig>,
    /// HTTP/2 or HTTP/1.1, as the client likes.
    pub http: Arc<ServerConfig>,
}

/// What every listener of this process has in common.
#[derive(Clone, Debug)]
pub struct Listeners {
    configs: Option<Arc<Watched<Configs>>>,
    ops: bool,
}

impl Listeners {
    /// As set. Files that are no good are refused with the setting's name.
    pub fn new(tls: &Tls) -> anyhow::Result<Self> {
        let files = Files::default().and(CERTIFICATE, &tls.certificate);
        let files = files.and(KEY, &tls.key).and(CLIENT_CA, &tls.client_ca);
        let watched = tls.is_on().then(|| Watched::new(files, configs)).transpose()?;
        Ok(Self { configs: watched.map(Arc::new), ops: tls.ops })
    }

    /// For gRPC.
    pub fn grpc(&self) -> Acceptor {
        Acceptor::new(self.configs.clone(), |configs| &configs.grpc)
    }

    /// For HTTP.
    pub fn http(&self) -> Acceptor {
        Acceptor::new(self.configs.clone(), |configs| &configs.http)
    }

    /// For orchestrators, whose probes most often know no TLS.
    pub fn ops(&self) -> Acceptor {
        Acceptor::new(self.configs.clone().filter(|_| self.ops), |configs| &configs.http)
    }
}

fn configs(files: &Contents) -> anyhow::Result<Configs> {
    let config = config(files)?;
    let with = |protocols: &[&[u8]]| {
        let mut config = config.clone();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        Arc::new(config)
    };
    Ok(Configs { grpc: with(&[b"h2"]), http: with(&[b"h2", b"http/1.1"]) })
}

fn config(files: &Contents) -> anyhow::Result<ServerConfig> {
    let builder = ServerConfig::builder();
    let builder = if files.has(CLIENT_CA) {
        let mut roots = RootCertStore::empty();
        files.trust(CLIENT_CA, &mut roots)?;
        builder.with_client_cert_verifier(
            WebPkiClientVerifier::builder(roots.into()).build().context(CLIENT_CA)?,
        )
    } else {
        builder.with_no_client_auth()
    };
    builder
        .with_single_cert(files.certificates(CERTIFICATE)?, files.key(KEY)?)
        .with_context(|| format!("{CERTIFICATE}, {KEY}"))
}
