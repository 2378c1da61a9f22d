//! Receivers that want us to wait, to fill our memory, or to go elsewhere.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

/// More than the kernel keeps between two sockets; of what never ends, no more than this may be taken.
const MOST_TAKEN: usize = 32 << 20;

/// Says `begin`, and then `more` over and over until nobody takes it. Gives how much was taken, as text.
async fn say_for_ever(mut stream: TcpStream, begin: &'static str, more: Vec<u8>) -> io::Result<Vec<u8>> {
    hear(&mut stream).await?;
    stream.write_all(begin.as_bytes()).await?;
    let mut taken = 0;
    // A part may be taken: the next write goes on behind it, so that what never ends is never malformed.
    while let Ok(bytes) = stream.write(&more[taken % more.len()..]).await {
        taken += bytes;
    }
    Ok(taken.to_string().into_bytes())
}

/// Says `begin`, and then a byte now and then.
async fn drip(mut stream: TcpStream, begin: &'static str) -> io::Result<Vec<u8>> {
    hear(&mut stream).await?;
    stream.write_all(begin.as_bytes()).await?;
    loop {
        stream.write_all(b"x").await?;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn taken(receiver: &mut Receiver) -> anyhow::Result<usize> {
    Ok(String::from_utf8(receiver.ended().await??)?.parse()?)
}

/// That the attempt was cut off at its deadline, at this step.
fn assert_cut(attempted: &Attempted, status: Option<u16>, step: Step) {
    assert_eq!((attempted.outcome, attempted.status), (Outcome::Failed, status));
    assert_eq!(attempted.error, format!("not done within 1s: {step}"));
    assert!(attempted.took >= SHORT && attempted.took < LONG / 4, "{:?}", attempted.took);
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_so_does_the_connection() -> anyhow::Result<()> {
    let mut receiver = Receiver::new(async |mut stream| {
        hear(&mut stream).await?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.map(|_| rest)
    })
    .await?;
    assert_cut(&attempt(&receiver, SHORT).await?, None, Step::Asking);
    assert_eq!(receiver.ended().await??, b"", "the connection goes on");
    Ok(())
}

/// On a clock that jumps when everybody waits: no test has half a minute.
#[tokio::test(start_paused = true)]
async fn no_deadline_is_longer_than_half_a_minute() -> anyhow::Result<()> {
    let receiver = Receiver::new(async |_stream| std::future::pending().await).await?;
    let attempted = attempt(&receiver, Duration::from_hours(1)).await?;
    assert_eq!(attempted.outcome, Outcome::Failed);
    assert!(attempted.took < Duration::from_secs(31), "{:?}", attempted.took);
    Ok(())
}

#[tokio::test]
async fn who_never_reads_the_request_is_left_at_the_deadline() -> anyhow::Result<()> {
    let receiver = Receiver::new(async |_stream| std::future::pending().await).await?;
    let url = receiver.url();
    let large = Call { body: vec![0; MOST_TAKEN].into(), ..call(&url) };
    assert_cut(&outside(&["127.0.0.1"])?.attempt(large, SHORT).await, None, Step::Asking);
    Ok(())
}

#[tokio::test]
async fn a_head_that_drips_ends_at_the_deadline() -> anyhow::Result<()> {
    let receiver = Receiver::new(|stream| drip(stream, "HTTP/1.1 200 OK\r\nx-slow: ")).await?;
    assert_cut(&attempt(&receiver, SHORT).await?, None, Step::Asking);
    Ok(())
}

#[tokio::test]
async fn a_body_that_drips_ends_at_the_deadline_and_is_no_success() -> anyhow::Result<()> {
    let receiver = Receiver::new(|stream| drip(stream, "HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n"));
    let receiver = receiver.await?;
    let attempted = attempt(&receiver, SHORT).await?;
    assert_cut(&attempted, Some(200), Step::Reading);
    assert!(attempted.response.iter().all(|byte| *byte == b'x'));
    // A failure is known from its head.
    let receiver = Receiver::new(|stream| drip(stream, "HTTP/1.1 410 Gone\r\ncontent-length: 9999\r\n\r\n"));
    let attempted = attempt(&receiver.await?, SHORT).await?;
    assert_eq!(attempted.outcome, Outcome::Refused { disable: true });
    assert_eq!(attempted.error, "the answer is 410 Gone");
    Ok(())
}

#[tokio::test]
async fn interim_answers_without_end_are_cut() -> anyhow::Result<()> {
    let more = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
    let mut receiver = Receiver::new(move |stream| say_for_ever(stream, "", more.clone())).await?;
    let attempted = attempt(&receiver, LONG).await?;
    assert_eq!((attempted.outcome, attempted.status), (Outcome::Failed, None));
    assert_eq!(attempted.error, "waiting for the answer: more came than an answer may have");
    assert!(taken(&mut receiver).await? < MOST_TAKEN);
    Ok(())
}

#[tokio::test]
async fn a_few_interim_answers_and_the_smallest_chunks_are_heard() -> anyhow::Result<()> {
    let interim = b"HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n".repeat(100);
    let chunks = b"1\r\nx\r\n".repeat(MOST_RESPONSE - 1);
    let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".as_slice();
    let receiver = Receiver::saying([&interim, head, &chunks, b"0\r\n\r\n"].concat()).await?;
    let attempted = attempt(&receiver, LONG).await?;
    assert_eq!(attempted.outcome, Outcome::Delivered, "{}", attempted.error);
    assert_eq!(attempted.response, vec![b'x'; MOST_RESPONSE - 1]);
    Ok(())
}

#[tokio::test]
async fn a_head_without_end_is_cut() -> anyhow::Result<()> {
    let (many, one) = (b"x: y\r\n".repeat(1_000), vec![b'x'; 6_000]);
    for (more, said) in [(many, "message head is too large"), (one, "message head is too large")] {
        let serve = move |stream| say_for_ever(stream, "HTTP/1.1 200 OK\r\nx: ", more.clone());
        let mut receiver = Receiver::new(serve).await?;
        let attempted = attempt(&receiver, LONG).await?;
        assert_eq!((attempted.outcome, attempted.status), (Outcome::Failed, None));
        assert_eq!(attempted.error, format!("waiting for the answer: {said}"));
        assert!(taken(&mut receiver).await? < MOST_TAKEN);
    }
    Ok(())
}

#[tokio::test]
async fn a_body_without_end_is_cut_and_counts_as_heard() -> anyhow::Result<()> {
    let chunk = [b"1000\r\n", vec![b'x'; 4_096].as_slice(), b"\r\n"].concat();
    for (begin, more) in [
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", chunk),
        ("HTTP/1.1 200 OK\r\ncontent-length: 999999999999\r\n\r\n", vec![b'x'; 4_096]),
        ("HTTP/1.1 200 OK\r\n\r\n", vec![b'x'; 4_096]),
    ] {
        let mut receiver = Receiver::new(move |stream| say_for_ever(stream, begin, more.clone())).await?;
        let attempted = attempt(&receiver, LONG).await?;
        assert_eq!(attempted.outcome, Outcome::Delivered, "{}", attempted.error);
        assert_eq!(attempted.response, vec![b'x'; MOST_RESPONSE]);
        assert!(taken(&mut receiver).await? < MOST_TAKEN);
    }
    Ok(())
}

#[tokio::test]
async fn a_gzip_bomb_stays_packed() -> anyhow::Result<()> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![0; 8 << 20])?;
    let bomb = encoder.finish()?;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let receiver = Receiver::saying([head.as_bytes(), &bomb].concat()).await?;
    let attempted = attempt(&receiver, LONG).await?;
    assert_eq!((attempted.outcome, attempted.response), (Outcome::Delivered, bomb.into()));
    Ok(())
}

#[tokio::test]
async fn nobody_is_sent_elsewhere() -> anyhow::Result<()> {
    let elsewhere = Receiver::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    for place in ["http://169.254.169.254/latest/meta-data".to_owned(), elsewhere.url().to_string()] {
        for status in [301, 302, 303, 307, 308] {
            let head = format!("HTTP/1.1 {status} There\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n");
            let receiver = Receiver::saying(head).await?;
            let attempted = attempt(&receiver, LONG).await?;
            assert_eq!((attempted.outcome, attempted.status), (Outcome::Failed, Some(status)));
            assert!(attempted.error.ends_with(", and redirects are not followed"), "{}", attempted.error);
            assert_eq!((attempted.address, receiver.met()), (Some(receiver.address), 1));
        }
    }
    assert_eq!(elsewhere.met(), 0);
    Ok(())
}

#[tokio::test]
async fn what_is_no_answer_is_a_failure() -> anyhow::Result<()> {
    for answer in [
        "",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nx\0y: z\r\n\r\n",
    ] {
        let receiver = Receiver::saying(answer).await?;
        let attempted = attempt(&receiver, LONG).await?;
        assert_eq!(attempted.outcome, Outcome::Failed, "{answer:?}");
        assert!(!attempted.error.is_empty(), "{answer:?}");
    }
    Ok(())
}

#[tokio::test]
async fn those_who_hang_hold_up_nobody() -> anyhow::Result<()> {
    let silent = Receiver::new(async |_stream| std::future::pending().await).await?;
    let good = Receiver::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    let (outside, silent, good_url) = (outside(&["127.0.0.1"])?, silent.url(), good.url());
    let hanging = futures::future::join_all((0..64).map(|_| outside.attempt(call(&silent), LONG)));
    tokio::select! {
        attempted = outside.attempt(call(&good_url), LONG) => assert_eq!(attempted.outcome, Outcome::Delivered),
        _ = hanging => anyhow::bail!("those who hang were first"),
    }
    Ok(())
}
