//! What names mean: only what was vetted is dialled.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
const NAME: &str = "receiver.test";

/// Two servers on one port: the first may be dialled, and whoever means the other one must not get there.
async fn pair() -> anyhow::Result<(Receiver, Receiver)> {
    let ok: Arc<[u8]> = OK.as_bytes().into();
    let allowed = Receiver::saying(OK).await?;
    let other = SocketAddr::new([127, 0, 0, 2].into(), allowed.address.port());
    let forbidden = Receiver::at(other, move |stream| say(stream, ok.clone())).await?;
    Ok((allowed, forbidden))
}

fn named(port: u16) -> ReceiverUrl {
    url(&format!("http://{NAME}:{port}/"))
}

fn assert_refused(attempted: &Attempted, said: &str) {
    assert_eq!(attempted.outcome, Outcome::Refused { disable: false });
    assert_eq!((attempted.error.as_str(), attempted.address), (said, None));
}

#[tokio::test]
async fn a_name_that_changes_its_mind_gains_nothing() -> anyhow::Result<()> {
    let (allowed, forbidden) = pair().await?;
    let script = Script::new(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let outside = outside(&["127.0.0.1"])?.with_resolver(script.clone());
    let url = named(allowed.address.port());
    let first = outside.attempt(call(&url), LONG).await;
    assert_eq!((first.outcome, first.address), (Outcome::Delivered, Some(allowed.address)));
    assert_eq!(script.asked.load(Ordering::SeqCst), 1, "what was vetted was not what was dialled");
    let second = outside.attempt(call(&url), LONG).await;
    assert_refused(&second, "receiver.test: the address 127.0.0.2 is not allowed: loopback (RFC 1122)");
    assert_eq!((allowed.met(), forbidden.met()), (1, 0));
    Ok(())
}

#[tokio::test]
async fn one_bad_address_spoils_the_name() -> anyhow::Result<()> {
    let (allowed, forbidden) = pair().await?;
    let url = named(allowed.address.port());
    for bad in ["127.0.0.2", "::ffff:127.0.0.2", "64:ff9b::7f00:2", "169.254.169.254", "fe80::1"] {
        for addresses in [["127.0.0.1", bad], [bad, "127.0.0.1"]] {
            let script = Script::new(&[&addresses]);
            let attempted = outside(&["127.0.0.1"])?.with_resolver(script).attempt(call(&url), LONG).await;
            assert_eq!(attempted.outcome, Outcome::Refused { disable: false }, "{addresses:?}");
        }
    }
    assert_eq!((allowed.met(), forbidden.met()), (0, 0));
    Ok(())
}

/// They ask no resolver, which must not mean that nobody looks at them.
#[tokio::test]
async fn addresses_in_urls_are_vetted_at_every_attempt() -> anyhow::Result<()> {
    let (allowed, forbidden) = pair().await?;
    let (outside, port) = (outside(&["127.0.0.1"])?, forbidden.address.port());
    for host in ["127.0.0.2", "127.2", "0x7f000002", "[::ffff:127.0.0.2]", "[2002:7f00:2::]", "[::1]"] {
        let url = url(&format!("http://{host}:{port}/"));
        let attempted = outside.attempt(call(&url), LONG).await;
        assert_eq!(attempted.outcome, Outcome::Refused { disable: false }, "{host}");
        assert!(attempted.error.contains("is not allowed: loopback"), "{host}: {}", attempted.error);
    }
    assert_eq!((allowed.met(), forbidden.met()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn the_next_address_is_tried_and_the_name_is_asked_for() -> anyhow::Result<()> {
    let mut receiver = Receiver::saying(OK).await?;
    let script = Script::new(&[&["127.0.0.3", "127.0.0.1"]]);
    let outside = outside(&["127.0.0.1", "127.0.0.3"])?.with_resolver(script);
    let port = receiver.address.port();
    let attempted = outside.attempt(call(&named(port)), LONG).await;
    assert_eq!((attempted.outcome, attempted.address), (Outcome::Delivered, Some(receiver.address)));
    let heard = String::from_utf8(receiver.ended().await??)?;
    assert!(heard.contains(&format!("\r\nhost: {NAME}:{port}\r\n")), "{heard}");
    Ok(())
}

#[derive(Debug)]
struct Broken;

#[async_trait::async_trait]
impl Resolve for Broken {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        match name {
            "silent.test" => std::future::pending().await,
            "empty.test" => Ok(Vec::new()),
            _ => Err(io::Error::other("no such name")),
        }
    }
}

#[tokio::test]
async fn a_name_without_addresses_is_a_failure() -> anyhow::Result<()> {
    for (name, said) in [
        ("silent.test", "not done within 1s: resolving the name"),
        ("empty.test", "empty.test has no address"),
        ("unknown.test", "unknown.test could not be resolved: no such name"),
    ] {
        let outside = outside(&[])?.with_resolver(Arc::new(Broken));
        let attempted = outside.attempt(call(&url(&format!("http://{name}/"))), SHORT).await;
        assert_eq!((attempted.outcome, attempted.error.as_str()), (Outcome::Failed, said));
    }
    Ok(())
}

#[tokio::test]
async fn this_machine_knows_its_own_name() -> anyhow::Result<()> {
    let receiver = Receiver::saying(OK).await?;
    let url = url(&format!("http://localhost:{}/", receiver.address.port()));
    let attempted = outside(&["127.0.0.1", "::1"])?.attempt(call(&url), LONG).await;
    assert_eq!(attempted.outcome, Outcome::Delivered, "{}", attempted.error);
    let attempted = outside(&[])?.attempt(call(&url), LONG).await;
    assert_eq!(attempted.outcome, Outcome::Refused { disable: false });
    Ok(())
}
