//! Receivers as they should be, and as they often are.

use super::*;

#[tokio::test]
async fn a_receiver_hears_what_was_said_and_nothing_else() -> anyhow::Result<()> {
    let mut receiver = Receiver::saying("HTTP/1.1 202 Accepted\r\ncontent-length: 5\r\n\r\nhello").await?;
    let attempted = attempt(&receiver, LONG).await?;
    assert_eq!(attempted.outcome, Outcome::Delivered);
    assert_eq!((attempted.status, attempted.error.as_str()), (Some(202), ""));
    assert_eq!((&*attempted.response, attempted.address), (&b"hello"[..], Some(receiver.address)));
    assert!(!attempted.took.is_zero());
    let heard = String::from_utf8(receiver.ended().await??)?;
    let said =
        format!("POST /hook?a=b HTTP/1.1\r\nhost: {}\r\ncontent-length: 2\r\n\r\n{{}}", receiver.address);
    assert_eq!(heard, said);
    Ok(())
}

#[tokio::test]
async fn what_a_status_means_is_told_with_it() -> anyhow::Result<()> {
    let held = |seconds| Outcome::Held(Duration::from_secs(seconds));
    for (head, outcome, said) in [
        ("204 No Content\r\n", Outcome::Delivered, ""),
        ("410 Gone\r\n", Outcome::Refused { disable: true }, "the answer is 410 Gone"),
        ("429 Slow\r\nretry-after: 7\r\n", held(7), "the answer is 429 Too Many Requests"),
        (
            "503 Down\r\nRetry-After: Thu, 01 Jan 1970 00:01:00 GMT\r\n",
            held(60),
            "the answer is 503 Service Unavailable",
        ),
        ("500 Oops\r\nretry-after: 7\r\n", Outcome::Failed, "the answer is 500 Internal Server Error"),
        ("404 No\r\n", Outcome::Failed, "the answer is 404 Not Found"),
    ] {
        let receiver = Receiver::saying(format!("HTTP/1.1 {head}connection: close\r\n\r\n")).await?;
        let attempted = attempt(&receiver, LONG).await?;
        assert_eq!((attempted.outcome, attempted.error.as_str()), (outcome, said), "{head}");
    }
    let receiver = Receiver::saying("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n").await?;
    let url = receiver.url();
    let strict = Call { client_errors_are_final: true, ..call(&url) };
    let attempted = outside(&["127.0.0.1"])?.attempt(strict, LONG).await;
    assert_eq!(attempted.outcome, Outcome::Refused { disable: false });
    Ok(())
}

#[tokio::test]
async fn every_attempt_has_a_connection_of_its_own() -> anyhow::Result<()> {
    let receiver = Receiver::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    let (outside, url) = (outside(&["127.0.0.1"])?, receiver.url());
    for connections in 1..=3 {
        assert_eq!(outside.attempt(call(&url), LONG).await.outcome, Outcome::Delivered);
        assert_eq!(receiver.met(), connections);
    }
    Ok(())
}

#[tokio::test]
async fn nobody_there_is_a_failure() -> anyhow::Result<()> {
    let receiver = Receiver::saying("").await?;
    let (url, address) = (receiver.url(), receiver.address);
    drop(receiver);
    let attempted = outside(&["127.0.0.1"])?.attempt(call(&url), LONG).await;
    assert_eq!((attempted.outcome, attempted.status), (Outcome::Failed, None));
    let begin = format!("{address} could not be connected to: ");
    assert!(attempted.error.starts_with(&begin), "{}", attempted.error);
    Ok(())
}
