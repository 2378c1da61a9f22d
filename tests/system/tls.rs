//! TLS and mTLS at every listener, and of every client.

mod jwks;
mod peer;
mod pki;
mod postgres;

use std::time::Duration;

use cornjacket_proto::ingest::AppendRequest;
use cornjacket_testkit::{Process, wait};
use tempfile::TempDir;
use tonic::Code;
use tonic::codegen::http::Version;

use super::cornjacket::{Cornjacket, http_get, operator, stop, token};
use super::events::reading;
use super::http::ask;
use pki::Pki;

const DEADLINE: Duration = Duration::from_secs(20);
const PROJECTIONS: &str = "/api/v1/query/projections";

/// A CA with a certificate for a server, one for a client, and the settings of a listener with them.
struct Ours {
    pki: Pki,
    folder: TempDir,
}

impl Ours {
    fn new() -> anyhow::Result<Self> {
        let pki = Pki::new("ours")?;
        pki.server("server")?;
        pki.client("client")?;
        Ok(Self { pki, folder: tempfile::tempdir()? })
    }

    /// Not started yet.
    fn cornjacket(&self, more: &[(&str, &str)]) -> anyhow::Result<Cornjacket> {
        let url = format!("sqlite://{}", self.folder.path().join("cornjacket.db").display());
        let (certificate, key) = (self.pki.file("server.pem"), self.pki.file("server.key"));
        let own: [(&str, &str); 3] =
            [("store.url", &url), ("tls.certificate", &certificate), ("tls.key", &key)];
        Cornjacket::new(&[&own, more].concat())
    }

    /// One that asks clients for a certificate.
    async fn mutual(&self) -> anyhow::Result<(Cornjacket, Process)> {
        let cornjacket = self.cornjacket(&[("tls.client_ca", &self.pki.file("ca.pem"))])?;
        let process = cornjacket.start().await?;
        Ok((cornjacket, process))
    }

    /// A client's settings, with our certificate.
    fn client(&self, protocol: &str) -> anyhow::Result<std::sync::Arc<rustls::ClientConfig>> {
        peer::config(&self.pki, Some((&self.pki, "client")), protocol)
    }
}

fn append(id: &str) -> AppendRequest {
    AppendRequest { event: Some(reading("pump", id, 1.0)) }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_shows_our_certificate_comes_in_by_any_protocol_and_nobody_else() -> anyhow::Result<()> {
    let ours = Ours::new()?;
    let (cornjacket, process) = ours.mutual().await?;
    peer::ingest(cornjacket.ingest, ours.client("h2")?).await?.append(append("1")).await?;
    for (protocol, version) in [("h2", Version::HTTP_2), ("http/1.1", Version::HTTP_11)] {
        let (spoken, status, body) =
            peer::get(cornjacket.gateway, ours.client(protocol)?, PROJECTIONS).await?;
        assert_eq!((spoken, status), (version, 200), "{body}");
    }
    assert!(cornjacket.append(reading("pump", "2", 1.0)).await.is_err(), "gRPC without TLS");
    let plain = http_get(cornjacket.gateway, PROJECTIONS).await;
    assert!(!plain.as_ref().is_ok_and(|said| said.starts_with("HTTP")), "HTTP without TLS: {plain:?}");
    let others = Pki::new("others")?;
    others.client("client")?;
    for shows in [None, Some((&others, "client"))] {
        let config = |protocol: &str| peer::config(&ours.pki, shows, protocol);
        let refused = match peer::ingest(cornjacket.ingest, config("h2")?).await {
            Ok(mut client) => client.append(append("3")).await.is_err(),
            Err(_) => true,
        };
        assert!(refused, "gRPC without our certificate");
        for protocol in ["h2", "http/1.1"] {
            assert!(
                peer::get(cornjacket.gateway, config(protocol)?, PROJECTIONS).await.is_err(),
                "{protocol}"
            );
        }
    }
    let metrics = http_get(cornjacket.ops, "/metrics").await?;
    assert!(metrics.contains("cornjacket_tls_handshake_failures_total"), "{metrics}");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_end_keeps_nobody_waiting() -> anyhow::Result<()> {
    let ours = Ours::new()?;
    let (cornjacket, process) = ours.mutual().await?;
    let mut silent = Vec::new();
    for port in [cornjacket.ingest, cornjacket.gateway].repeat(20) {
        silent.push(tokio::net::TcpStream::connect(("127.0.0.1", port)).await?);
    }
    peer::ingest(cornjacket.ingest, ours.client("h2")?).await?.append(append("1")).await?;
    assert_eq!(peer::get(cornjacket.gateway, ours.client("h2")?, PROJECTIONS).await?.1, 200);
    drop(silent);
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_counted_by_address_behind_tls_too() -> anyhow::Result<()> {
    let ours = Ours::new()?;
    let cornjacket = ours.cornjacket(&[("auth.failures_per_minute", "5")])?;
    let process = cornjacket.start().await?;
    let config = peer::config(&ours.pki, None, "h2")?;
    let mut guesser = peer::guesser(cornjacket.ingest, config.clone(), [127, 0, 0, 1]).await?;
    for _ in 0..5 {
        let refused = guesser.append(append("1")).await.expect_err("a guess");
        assert_eq!(refused.code(), Code::Unauthenticated);
    }
    let slowed = guesser.append(append("1")).await.expect_err("one too many");
    assert_eq!(slowed.code(), Code::ResourceExhausted, "{slowed:?}");
    let mut another = peer::guesser(cornjacket.ingest, config, [127, 0, 0, 2]).await?;
    let refused = another.append(append("1")).await.expect_err("a guess, but the first from there");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_calls_services_of_another_process_by_mtls() -> anyhow::Result<()> {
    let ours = Ours::new()?;
    let (services, process) = ours.mutual().await?;
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let at = |port: u16| format!("https://localhost:{port}");
    let (ingest, query, actions) = (at(services.ingest), at(services.query), at(services.actions));
    let (certificate, key) = (ours.pki.file("client.pem"), ours.pki.file("client.key"));
    let strangers = Pki::new("strangers")?;
    for (ca, expected) in [(&ours.pki, 200), (&strangers, 503)] {
        let gateway = Cornjacket::new(&[
            ("store.url", &url),
            ("gateway.ingest_url", &ingest),
            ("gateway.query_url", &query),
            ("gateway.actions_url", &actions),
            ("tls.ca", &ca.file("ca.pem")),
            ("tls.client_certificate", &certificate),
            ("tls.client_key", &key),
        ])?
        .roles("gateway");
        let gateway_process = gateway.start().await?;
        let authorization = format!("Bearer {}", token()?);
        let what = format!("GET {PROJECTIONS}");
        let answer = ask(gateway.gateway, &what, &[("authorization", &authorization)], "").await?;
        assert_eq!(answer.status, expected, "{}", answer.text());
        stop(gateway_process).await?;
    }
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operators_verbs_trust_whom_they_are_told_to() -> anyhow::Result<()> {
    let ours = Ours::new()?;
    let cornjacket = ours.cornjacket(&[])?;
    let process = cornjacket.start().await?;
    let server = format!("https://localhost:{}", cornjacket.query);
    let verb = operator()?.args(["projections", "--server", &server]);
    let listed = verb.clone().args(["--ca", &ours.pki.file("ca.pem")]).output(DEADLINE).await?;
    assert!(listed.contains("device_state"), "{listed}");
    let refused = verb.output(DEADLINE).await.expect_err("nobody vouches for it").to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    // With the server's own settings it knows where to go, and by TLS.
    let here = cornjacket.verb(&["projections", "--ca", &ours.pki.file("ca.pem")]).output(DEADLINE).await?;
    assert!(here.contains("device_state"), "{here}");
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_shown_without_a_restart() -> anyhow::Result<()> {
    let ours = Ours::new()?;
    let (cornjacket, process) = ours.mutual().await?;
    let client = ours.client("h2")?;
    let ports = [cornjacket.ingest, cornjacket.query, cornjacket.gateway];
    let shown = async |port: u16| peer::shown(port, client.clone()).await.unwrap_or_default();
    let before = shown(cornjacket.ingest).await;
    ours.pki.server("server")?;
    for port in ports {
        let renewed = async || {
            let now = shown(port).await;
            !now.is_empty() && now != before
        };
        wait::until(DEADLINE, "the renewed certificate is shown", renewed).await?;
    }
    let renewed = shown(cornjacket.ingest).await;
    std::fs::write(ours.pki.file("server.key"), "nothing of the kind")?;
    let said = || process.log().matches("renewed TLS files are no good").count();
    wait::until(DEADLINE, "the broken key is noticed", async || {
        shown(cornjacket.ingest).await == renewed && said() > 0
    })
    .await?;
    // Looked at once more, and not said again.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for port in ports {
        assert_eq!(shown(port).await, renewed);
    }
    assert_eq!(said(), 1, "{}", process.log());
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_good_are_refused_by_the_name_of_their_setting() -> anyhow::Result<()> {
    let ours = Ours::new()?;
    ours.pki.server("another")?;
    let another = ours.pki.file("another.key");
    let nowhere = ours.pki.file("nowhere.pem");
    let certificate = ours.pki.file("server.pem");
    for (settings, named) in [
        (vec![("tls.certificate", nowhere.as_str())], "tls.certificate: "),
        (vec![("tls.key", certificate.as_str())], "tls.key: "),
        (vec![("tls.key", another.as_str())], "tls.certificate, tls.key: "),
        (vec![("tls.client_ca", another.as_str())], "tls.client_ca: "),
        (vec![("tls.key", "")], "tls.key: "),
    ] {
        let said = ours.cornjacket(&settings)?.refuse().await?;
        assert!(said.contains(&format!("cornjacket: {named}")), "{named}: {said}");
    }
    Ok(())
}
