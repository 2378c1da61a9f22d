//! Clients with TLS of the tests' own.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use cornjacket_proto::ingest::ingest_service_client::IngestServiceClient;
use http_body_util::{BodyExt, Empty};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use prost::bytes::Bytes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::codegen::http::{Request, Version};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Endpoint;

use super::super::cornjacket::{Bearer, Connection, token};
use super::pki::Pki;

const DEADLINE: Duration = Duration::from_secs(20);

/// Trusts a CA alone, and shows a certificate or none.
pub fn config(
    trusts: &Pki,
    shows: Option<(&Pki, &str)>,
    protocol: &str,
) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusts.file("ca.pem"))?)?;
    // Named, since a library of the tests brings another one too.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    let mut config = match shows {
        None => builder.with_no_client_auth(),
        Some((pki, name)) => builder.with_client_auth_cert(
            vec![CertificateDer::from_pem_file(pki.file(&format!("{name}.pem")))?],
            PrivateKeyDer::from_pem_file(pki.file(&format!("{name}.key")))?,
        )?,
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Ok(Arc::new(config))
}

fn connector(config: Arc<ClientConfig>) -> HttpsConnector<HttpConnector> {
    connector_from(config, None)
}

fn connector_from(config: Arc<ClientConfig>, from: Option<IpAddr>) -> HttpsConnector<HttpConnector> {
    let mut tcp = HttpConnector::new();
    tcp.set_local_address(from);
    tcp.enforce_http(false);
    HttpsConnector::from((tcp, config))
}

/// The ingest service at a port, with a token for everything.
pub async fn ingest(port: u16, config: Arc<ClientConfig>) -> anyhow::Result<IngestServiceClient<Connection>> {
    ingest_as(port, connector(config), &token()?).await
}

/// The same for somebody who calls from that address and has nothing but a guess.
pub async fn guesser(
    port: u16,
    config: Arc<ClientConfig>,
    from: [u8; 4],
) -> anyhow::Result<IngestServiceClient<Connection>> {
    ingest_as(port, connector_from(config, Some(from.into())), "guess").await
}

async fn ingest_as(
    port: u16,
    connector: HttpsConnector<HttpConnector>,
    token: &str,
) -> anyhow::Result<IngestServiceClient<Connection>> {
    let endpoint = Endpoint::from_shared(format!("https://localhost:{port}"))?.timeout(DEADLINE);
    let channel = endpoint.connect_with_connector(connector).await?;
    Ok(IngestServiceClient::new(InterceptedService::new(channel, Bearer::new(token)?)))
}

/// What the gateway at a port answers to a question, and in which HTTP.
pub async fn get(port: u16, config: Arc<ClientConfig>, path: &str) -> anyhow::Result<(Version, u16, String)> {
    let client = Client::builder(TokioExecutor::new()).build(connector(config));
    let request = Request::builder().uri(format!("https://localhost:{port}{path}"));
    let request = request.header("authorization", format!("Bearer {}", token()?));
    let response = client.request(request.body(Empty::<Bytes>::new())?);
    let response = timeout(DEADLINE, response).await.context("an answer in time")??;
    let (version, status) = (response.version(), response.status().as_u16());
    let body = response.into_body().collect().await?.to_bytes();
    Ok((version, status, String::from_utf8_lossy(&body).into_owned()))
}

/// The certificate that is shown at a port.
pub async fn shown(port: u16, config: Arc<ClientConfig>) -> anyhow::Result<Vec<u8>> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    let tls = tokio_rustls::TlsConnector::from(config).connect("localhost".try_into()?, tcp).await?;
    let certificates = tls.get_ref().1.peer_certificates().context("it shows something")?;
    Ok(certificates[0].to_vec())
}
