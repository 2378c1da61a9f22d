use std::pin::Pin;
use std::sync::Arc;

use futures::StreamExt;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::super::begun::PREFACE;
use super::*;
use crate::config::Tls;
use crate::tls::{Listeners, install_provider};

/// Longer than anything takes that has to happen.
const DEADLINE: Duration = Duration::from_secs(20);
/// Longer than anything takes that could happen and must not.
const MOMENT: Duration = Duration::from_millis(300);
const QUICK: Patience =
    Patience { most: 3, longest: Duration::from_millis(100), shortest: Duration::from_millis(10) };
/// As good as for ever.
const SLOW: Patience = Patience { longest: DEADLINE.saturating_mul(2), ..QUICK };

type Incoming = Pin<Box<dyn FuturesStream<Item = io::Result<Begun>> + Send>>;

/// What comes in at a listener, and where that is.
async fn listen(tls: &Tls, patience: Patience) -> anyhow::Result<(Incoming, std::net::SocketAddr)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    Ok((Box::pin(incoming(listener, Listeners::new(tls)?.grpc(), patience)), address))
}

async fn next(incoming: &mut Incoming) -> anyhow::Result<Begun> {
    let next = timeout(DEADLINE, incoming.next()).await?;
    Ok(next.expect("it never ends")?)
}

/// Whether the other side has closed it.
async fn ends(stream: &mut (impl AsyncReadExt + Unpin), within: Duration) -> bool {
    timeout(within, stream.read_to_end(&mut Vec::new())).await.is_ok()
}

#[tokio::test]
async fn who_begins_too_late_is_left_out_and_who_has_begun_may_rest() -> anyhow::Result<()> {
    let (mut incoming, address) = listen(&Tls::default(), QUICK).await?;
    let mut begins = TcpStream::connect(address).await?;
    begins.write_all(&[PREFACE.as_slice(), b"and more"].concat()).await?;
    let mut begun = next(&mut incoming).await?;
    let (mut silent, mut half) = (TcpStream::connect(address).await?, TcpStream::connect(address).await?);
    half.write_all(&PREFACE[..23]).await?;
    let outside = async { ends(&mut silent, DEADLINE).await && ends(&mut half, DEADLINE).await };
    tokio::select! {
        sent_away = outside => assert!(sent_away, "they were waited for"),
        _ = incoming.next() => anyhow::bail!("one that has not begun came in"),
    }
    let mut read = vec![0; PREFACE.len() + "and more".len()];
    begun.read_exact(&mut read).await?;
    assert_eq!(read, [PREFACE.as_slice(), b"and more"].concat());
    assert!(!ends(&mut begins, MOMENT).await, "who has begun was sent away");
    Ok(())
}

#[tokio::test]
async fn what_is_no_http2_is_not_waited_for() -> anyhow::Result<()> {
    let (mut incoming, address) = listen(&Tls::default(), SLOW).await?;
    TcpStream::connect(address).await?.write_all(b"PRI * HTTP/1.1").await?;
    let mut read = Vec::new();
    next(&mut incoming).await?.read_to_end(&mut read).await?;
    assert_eq!(read, b"PRI * HTTP/1.1");
    Ok(())
}

#[tokio::test]
async fn when_too_many_wait_the_oldest_goes_and_others_come_in() -> anyhow::Result<()> {
    let (mut incoming, address) = listen(&Tls::default(), SLOW).await?;
    let mut waiting = Vec::new();
    for _ in 0..SLOW.most {
        waiting.push(TcpStream::connect(address).await?);
        // It is taken in before the next one, so that there is an oldest.
        assert!(timeout(MOMENT / 10, incoming.next()).await.is_err());
    }
    let mut begins = TcpStream::connect(address).await?;
    begins.write_all(PREFACE).await?;
    let begun = next(&mut incoming).await?;
    assert!(ends(&mut waiting[0], DEADLINE).await, "the oldest was waited for");
    for stream in &mut waiting[1..] {
        assert!(!ends(stream, MOMENT).await, "another one had to go");
    }
    drop(begun);
    Ok(())
}

#[tokio::test]
async fn a_handshake_is_no_beginning() -> anyhow::Result<()> {
    install_provider();
    let folder = tempfile::tempdir()?;
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (folder.path().join("own.pem"), folder.path().join("own.key"));
    std::fs::write(&certificate, cert.pem())?;
    std::fs::write(&key, signing_key.serialize_pem())?;
    let path = |path: std::path::PathBuf| path.display().to_string();
    let tls = Tls { certificate: path(certificate), key: path(key), ..Tls::default() };
    let (mut incoming, address) = listen(&tls, QUICK).await?;
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone())?;
    let config = Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth());
    let shaken = async {
        let tcp = TcpStream::connect(address).await?;
        TlsConnector::from(config).connect(ServerName::try_from("localhost").expect("a name"), tcp).await
    };
    let outside = async { anyhow::Ok(ends(&mut shaken.await?, DEADLINE).await) };
    tokio::select! {
        sent_away = outside => assert!(sent_away?, "it was waited for"),
        _ = incoming.next() => anyhow::bail!("one that has not begun came in"),
    }
    Ok(())
}
