//! TLS, and what pretends to be.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

use super::*;

const NAME: &str = "receiver.test";

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A server with a certificate of that name, and the certificate.
async fn receiver(name: &str, said: &'static str) -> anyhow::Result<(Receiver, CertificateDer<'static>)> {
    outside(&[])?;
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([name.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![cert.der().clone()], key.into())?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let serve = move |stream| answer(acceptor.clone(), stream, said);
    Ok((Receiver::new(serve).await?, cert.der().clone()))
}

/// Says that and lets go of the connection without a word of TLS.
async fn answer(acceptor: TlsAcceptor, stream: TcpStream, said: &str) -> io::Result<Vec<u8>> {
    let mut stream = acceptor.accept(stream).await?;
    let heard = hear(&mut stream).await?;
    stream.write_all(said.as_bytes()).await?;
    stream.flush().await?;
    Ok(heard)
}

async fn attempt(
    receiver: &Receiver,
    host: &str,
    roots: &[CertificateDer<'static>],
    deadline: Duration,
) -> anyhow::Result<Attempted> {
    let outside = trusting(&["127.0.0.1"], roots)?.with_resolver(Script::new(&[&["127.0.0.1"]]));
    let url = url(&format!("https://{host}:{}/", receiver.address.port()));
    Ok(outside.attempt(call(&url), deadline).await)
}

#[tokio::test]
async fn who_shows_the_right_certificate_is_told() -> anyhow::Result<()> {
    let (mut named, root) = receiver(NAME, OK).await?;
    for host in [NAME, "receiver.test."] {
        let attempted = attempt(&named, host, std::slice::from_ref(&root), LONG).await?;
        assert_eq!((attempted.outcome, attempted.error.as_str()), (Outcome::Delivered, ""), "{host}");
        assert!(named.ended().await??.starts_with(b"POST / HTTP/1.1\r\n"));
    }
    let (numbered, root) = receiver("127.0.0.1", OK).await?;
    let attempted = attempt(&numbered, "127.0.0.1", &[root], LONG).await?;
    assert_eq!((attempted.outcome, attempted.error.as_str()), (Outcome::Delivered, ""));
    Ok(())
}

#[tokio::test]
async fn who_shows_another_ones_certificate_is_told_nothing() -> anyhow::Result<()> {
    let (mut receiver, root) = receiver("other.test", OK).await?;
    for (roots, said) in [
        (vec![root], "TLS could not be agreed on: invalid peer certificate: certificate not valid for name"),
        (vec![], "TLS could not be agreed on: invalid peer certificate: UnknownIssuer"),
    ] {
        let attempted = attempt(&receiver, NAME, &roots, LONG).await?;
        assert_eq!((attempted.outcome, attempted.status), (Outcome::Failed, None));
        assert!(attempted.error.starts_with(said), "{}", attempted.error);
        assert!(receiver.ended().await?.is_err(), "it heard something");
    }
    Ok(())
}

#[tokio::test]
async fn who_lets_go_of_tls_has_said_all_unless_more_was_promised() -> anyhow::Result<()> {
    for (said, outcome) in [
        ("HTTP/1.0 200 OK\r\n\r\nfine", Outcome::Delivered),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nfine", Outcome::Delivered),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfine", Outcome::Failed),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nfine\r\n", Outcome::Failed),
        ("HTTP/1.1 200 OK\r\n", Outcome::Failed),
    ] {
        let (receiver, root) = receiver(NAME, said).await?;
        let attempted = attempt(&receiver, NAME, &[root], LONG).await?;
        assert_eq!(attempted.outcome, outcome, "{said:?}: {}", attempted.error);
        assert!(outcome == Outcome::Failed || &*attempted.response == b"fine");
    }
    Ok(())
}

#[tokio::test]
async fn plain_bytes_where_tls_is_due_are_a_failure() -> anyhow::Result<()> {
    for nonsense in
        ["HTTP/1.1 400 Bad Request\r\n\r\n", "\x16\x03\x03\0\x04\x02\0\0\0", "", "\0\0\0\0\0\0\0\0"]
    {
        let receiver = Receiver::new(async move |mut stream: TcpStream| {
            stream.write_all(nonsense.as_bytes()).await?;
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.map(|_| rest)
        });
        let mut receiver = receiver.await?;
        let deadline = if nonsense.is_empty() { SHORT } else { LONG };
        let attempted = attempt(&receiver, NAME, &[], deadline).await?;
        assert_eq!((attempted.outcome, attempted.status), (Outcome::Failed, None));
        let said = if nonsense.is_empty() {
            "not done within 1s: agreeing on TLS"
        } else {
            "TLS could not be agreed on: "
        };
        assert!(attempted.error.starts_with(said), "{nonsense:?}: {}", attempted.error);
        assert!(!receiver.ended().await?.unwrap_or_default().windows(4).any(|window| window == b"POST"));
    }
    Ok(())
}
