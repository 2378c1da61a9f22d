//! Connecting to others with TLS: whom we trust, and what we show.

use std::sync::Arc;

use anyhow::Context;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;
use tower::{BoxError, service_fn};

use super::files::{Contents, Files};
use super::watched::Watched;
use crate::config::Tls;

const CA: &str = "tls.ca";

/// Connects to gRPC services by TLS.
#[derive(Clone, Debug)]
pub struct Client(Arc<Watched<ClientConfig>>);

impl Client {
    /// Whether an address is for this, in whichever case its scheme is written: any other connection would be plain.
    pub fn is_for(address: &str) -> bool {
        let scheme = address.split_once("://").map(|(scheme, _)| scheme);
        scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    }

    /// As set. Files that are no good are refused with the setting's name.
    pub fn new(tls: &Tls) -> anyhow::Result<Self> {
        let files = Files::default().and(CA, &tls.ca);
        let own = tls.own().map(|own| (own.certificate, own.key));
        let files = own.into_iter().fold(files, |files, (certificate, key)| {
            files.and(certificate.0, certificate.1).and(key.0, key.1)
        });
        let names = own.map(|(certificate, key)| (certificate.0, key.0));
        Ok(Self(Arc::new(Watched::new(files, move |files| config(files, names))?)))
    }

    /// Connects with the files as they are then.
    pub fn connector(
        &self,
    ) -> impl Service<Uri, Response = MaybeHttpsStream<TokioIo<TcpStream>>, Error = BoxError, Future: Send>
    + Clone
    + Send
    + 'static {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        // Which is to say: takes https:// too.
        tcp.enforce_http(false);
        let Self(config) = self.clone();
        service_fn(move |uri: Uri| HttpsConnector::from((tcp.clone(), config.current())).call(uri))
    }
}

fn config(files: &Contents, own: Option<(&'static str, &'static str)>) -> anyhow::Result<ClientConfig> {
    let builder = ClientConfig::builder().with_root_certificates(roots(files)?);
    let mut config = match own {
        Some((certificate, key)) => builder
            .with_client_auth_cert(files.certificates(certificate)?, files.key(key)?)
            .with_context(|| format!("{certificate}, {key}"))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// Whom this machine trusts, and those of the settings.
fn roots(files: &Contents) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if files.has(CA) {
        files.trust(CA, &mut roots)?;
    }
    anyhow::ensure!(!roots.is_empty(), "{CA}: must be set, as this machine trusts nobody by itself");
    Ok(roots)
}
