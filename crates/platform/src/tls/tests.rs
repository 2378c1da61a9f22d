use rcgen::{CertifiedKey, generate_simple_self_signed};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::config::Tls;

/// A certificate that vouches for itself, and settings with it.
fn made() -> anyhow::Result<(TempDir, Tls)> {
    let folder = tempfile::tempdir()?;
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()])?;
    let (certificate, key) = (folder.path().join("own.pem"), folder.path().join("own.key"));
    std::fs::write(&certificate, cert.pem())?;
    std::fs::write(&key, signing_key.serialize_pem())?;
    let path = |path: std::path::PathBuf| path.display().to_string();
    let tls = Tls { certificate: path(certificate), key: path(key), ..Tls::default() };
    Ok((folder, tls))
}

/// Whether that is let in without TLS.
async fn lets_in_plain(acceptor: Acceptor) -> anyhow::Result<bool> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut client = TcpStream::connect(listener.local_addr()?).await?;
    let (server, _) = listener.accept().await?;
    tokio::io::AsyncWriteExt::write_all(&mut client, b"GET / HTTP/1.1\r\n\r\n").await?;
    let Ok(mut server) = acceptor.accept(server).await else { return Ok(false) };
    let mut begin = [0; 3];
    server.read_exact(&mut begin).await?;
    Ok(&begin == b"GET")
}

#[test]
fn no_way_of_writing_https_is_plain() {
    let addresses = ["https://a:1", "HTTPS://a:1", "http://a:1", "a:1"];
    assert_eq!(addresses.map(Client::is_for), [true, true, false, false]);
}

#[tokio::test]
async fn orchestrators_need_no_tls_unless_it_is_set() -> anyhow::Result<()> {
    install_provider();
    let (_folder, tls) = made()?;
    let listeners = Listeners::new(&tls)?;
    assert!(lets_in_plain(listeners.ops()).await?);
    assert!(!lets_in_plain(listeners.grpc()).await? && !lets_in_plain(listeners.http()).await?);
    assert!(!lets_in_plain(Listeners::new(&Tls { ops: true, ..tls })?.ops()).await?);
    assert!(lets_in_plain(Listeners::new(&Tls::default())?.grpc()).await?);
    Ok(())
}
