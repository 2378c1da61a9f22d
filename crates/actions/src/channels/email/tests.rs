//! Mails to a small server of our own, over TCP and TLS.

use std::sync::Arc;
use std::time::Duration;

use cornjacket_proto::actions::endpoint;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::channels::testing::{alarm, fields, message, opened, telling};
use crate::message::{AlarmChange, Message};
use crate::outside::tests::{Receiver, Script, outside, trusting};
use crate::testing::NOW;

const NAME: &str = "mail.test";
const REFUSED: Outcome = Outcome::Refused { disable: false };

/// What it answers to lines that begin so; the first that fits.
type Answers = &'static [(&'static str, &'static str)];

const USUAL: Answers = &[
    ("(greeting)", "220 mail.test"),
    ("EHLO", "250-mail.test\r\n250-STARTTLS\r\n250 AUTH PLAIN LOGIN"),
    ("STARTTLS", "220 go on"),
    ("AUTH", "235 known"),
    ("DATA", "354 go on"),
    ("(mail)", "250 queued as 1"),
    ("QUIT", "221 bye"),
    ("", "250 fine"),
];

#[derive(Clone)]
struct Server {
    /// Before the usual ones.
    answers: Answers,
    tls: TlsAcceptor,
    is_implicit: bool,
}

impl Server {
    fn answer(&self, line: &str) -> String {
        let mut all = self.answers.iter().chain(USUAL);
        let (_, answer) = all.find(|(begin, _)| line.starts_with(begin)).expect("the last one fits all");
        format!("{answer}\r\n")
    }

    async fn serve(self, stream: tokio::net::TcpStream) -> std::io::Result<Vec<u8>> {
        let mut heard = Vec::new();
        if self.is_implicit {
            let stream = self.tls.accept(stream).await?;
            self.talk(stream, true, &mut heard).await?;
        } else if let Some(stream) = self.talk(stream, true, &mut heard).await? {
            let stream = self.tls.accept(stream).await?;
            heard.extend_from_slice(b"(secured)\r\n");
            self.talk(stream, false, &mut heard).await?;
        }
        Ok(heard)
    }

    /// The stream, when TLS is asked for.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
        greets: bool,
        heard: &mut Vec<u8>,
    ) -> std::io::Result<Option<S>> {
        let mut stream = BufReader::new(stream);
        if greets {
            stream.write_all(self.answer("(greeting)").as_bytes()).await?;
            stream.flush().await?;
        }
        let mut is_mail = false;
        loop {
            let start = heard.len();
            if stream.read_until(b'\n', heard).await? == 0 {
                return Ok(None);
            }
            let line = String::from_utf8_lossy(&heard[start..]).into_owned();
            if is_mail && line != ".\r\n" {
                continue;
            }
            let answer = self.answer(if is_mail { "(mail)" } else { &line });
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await?;
            is_mail = line == "DATA\r\n" && answer.starts_with("354");
            if line == "STARTTLS\r\n" && answer.starts_with("220") {
                return Ok(Some(stream.into_inner()));
            }
        }
    }
}

/// A server with those answers, and what to trust to reach it.
async fn start(answers: Answers, is_implicit: bool) -> anyhow::Result<(Receiver, CertificateDer<'static>)> {
    outside(&[])?;
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der());
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![cert.der().clone()], key.into())?;
    let server = Server { answers, tls: TlsAcceptor::from(Arc::new(config)), is_implicit };
    Ok((Receiver::new(move |stream| server.clone().serve(stream)).await?, cert.der().clone()))
}

fn settings(port: u16, security: SmtpSecurity) -> actions::Email {
    actions::Email {
        host: NAME.into(),
        port: port.into(),
        security: security.into(),
        from: "Cornjacket <alarms@example.com>".into(),
        to: vec!["ops@example.com".into(), "Zoë <zoe@example.com>".into()],
        ..Default::default()
    }
}

fn channel(settings: &actions::Email) -> endpoint::Channel {
    endpoint::Channel::Email(settings.clone())
}

fn secret() -> SecretString {
    json!({ "user": "alarms", "password": "xyzzy" }).to_string().into()
}

/// What came of a mail, and what the server heard.
async fn tell(
    answers: Answers,
    security: SmtpSecurity,
    secrets: &[SecretString],
    message: &Message,
) -> anyhow::Result<(Attempted, String)> {
    let (mut receiver, root) = start(answers, security == SmtpSecurity::Implicit).await?;
    let outside = trusting(&["127.0.0.1"], &[root])?.with_resolver(Script::new(&[&["127.0.0.1"]]));
    let email = opened(channel(&settings(receiver.address.port(), security)), secrets)?;
    let attempted = email.send(telling(message, NOW), &outside).await;
    let heard = receiver.ended().await?.map(|heard| String::from_utf8_lossy(&heard).into_owned());
    Ok((attempted, heard.unwrap_or_else(|error| format!("({error})"))))
}

const MAIL: &str = "MAIL FROM:<alarms@example.com>\r\n\
    RCPT TO:<ops@example.com>\r\n\
    RCPT TO:<zoe@example.com>\r\n\
    DATA\r\n\
    From: Cornjacket <alarms@example.com>\r\n\
    Subject: [cleared] pump-7 is too hot\r\n\
    Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\
    Message-ID: <d1@example.com>\r\n\
    Auto-Submitted: auto-generated\r\n\
    Content-Type: text/plain; charset=utf-8\r\n\
    To: ops@example.com, =?utf-8?b?Wm/Dqw==?= <zoe@example.com>\r\n\
    Content-Transfer-Encoding: quoted-printable\r\n\
    \r\n\
    91 =C2=B0C\r\n\
    since noon\r\n\
    \r\n\
    --=20\r\n\
    Rule too-hot v3, critical.\r\n\
    Alarm hot/pump-7: cleared.\r\n\
    Event e1 of devices/pump-7: sensor.reading, pump-7.\r\n\
    .\r\n\
    QUIT\r\n";

#[tokio::test]
async fn a_mail_is_handed_over_in_the_way_that_is_asked_for() -> anyhow::Result<()> {
    let message = alarm(AlarmChange::Cleared);
    let login = "AUTH PLAIN AGFsYXJtcwB4eXp6eQ==\r\n";
    let hello = "EHLO [127.0.0.1]\r\n";
    for (security, secrets, before) in [
        (
            SmtpSecurity::Unspecified,
            vec![secret()],
            format!("{hello}STARTTLS\r\n(secured)\r\n{hello}{login}"),
        ),
        (SmtpSecurity::Starttls, vec![], format!("{hello}STARTTLS\r\n(secured)\r\n{hello}")),
        (SmtpSecurity::Implicit, vec![secret()], format!("{hello}{login}")),
        (SmtpSecurity::Plain, vec![], hello.to_owned()),
    ] {
        let (attempted, heard) = tell(&[], security, &secrets, &message).await?;
        assert_eq!((attempted.outcome, attempted.error.as_str()), (Outcome::Delivered, ""), "{security:?}");
        assert_eq!((attempted.status, &*attempted.response), (Some(250), &b"250 queued as 1\r\n"[..]));
        assert_eq!(heard, format!("{before}{MAIL}"), "{security:?}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_that_a_device_says_gets_out_of_where_it_stands() -> anyhow::Result<()> {
    let mut hostile = message();
    hostile.title = "hot\r\nBcc: evil@example.com\r\n\r\nbody\u{0}".into();
    hostile.text = ".\r\n.\nMAIL FROM:<evil@example.com>\r\n..\r\n.".into();
    let event = hostile.event.as_mut().expect("an event");
    event.subject = "a\r\n.\r\nQUIT".into();
    let (attempted, heard) = tell(&[], SmtpSecurity::Plain, &[], &hostile).await?;
    assert_eq!((attempted.outcome, attempted.error.as_str()), (Outcome::Delivered, ""), "{heard}");
    assert!(heard.contains("\r\nSubject: [critical] hot  Bcc: evil@example.com    body \r\n"), "{heard}");
    assert!(!heard.contains("\nBcc:"), "{heard}");
    // It ends once, behind all of it.
    assert_eq!(heard.matches("\r\n.\r\n").count(), 1, "{heard}");
    assert!(heard.ends_with("\r\n.\r\nQUIT\r\n") && heard.contains("\r\n..\r\n..\r\nMAIL FROM"), "{heard}");
    Ok(())
}

#[tokio::test]
async fn what_the_server_answers_has_its_meaning() -> anyhow::Result<()> {
    let cases: [(Answers, Outcome, &str); 12] = [
        (&[("(greeting)", "421 busy")], Outcome::Failed, "the answer to the connection is 421: busy"),
        (&[("(greeting)", "554 no")], Outcome::Failed, "the answer to the connection is 554: no"),
        (&[("(greeting)", "hello")], Outcome::Failed, "the connection: the server says what is no SMTP"),
        (&[("EHLO", "250 mail.test")], Outcome::Failed, "the server does not offer STARTTLS"),
        (&[("STARTTLS", "454 not now")], Outcome::Failed, "the answer to STARTTLS is 454: not now"),
        (
            &[("STARTTLS", "220 go on\r\n250 injected")],
            Outcome::Failed,
            "the server goes on in the clear after STARTTLS",
        ),
        (&[("AUTH", "535 who is xyzzy?")], Outcome::Failed, "the answer to AUTH is 535: who is [secret]?"),
        (&[("MAIL", "451 later")], Outcome::Failed, "the answer to MAIL is 451: later"),
        (&[("RCPT", "450-full\r\n450 later")], Outcome::Failed, "the answer to RCPT is 450: full later"),
        (&[("RCPT", "550 nobody")], REFUSED, "the answer to RCPT is 550: nobody"),
        (&[("RCPT TO:<ops", "550 nobody")], Outcome::Delivered, ""),
        (&[("(mail)", "552 too much")], REFUSED, "the answer to the mail is 552: too much"),
    ];
    for (answers, outcome, error) in cases {
        let (attempted, heard) = tell(answers, SmtpSecurity::Starttls, &[secret()], &message()).await?;
        assert_eq!((attempted.outcome, attempted.error.as_str()), (outcome, error), "{heard}");
        assert!(!format!("{attempted:?}").contains("xyzzy"));
    }
    Ok(())
}

#[tokio::test]
async fn passwords_and_mails_go_only_to_whom_the_certificate_names() -> anyhow::Result<()> {
    for is_implicit in [true, false] {
        let (mut receiver, _) = start(&[], is_implicit).await?;
        let outside = trusting(&["127.0.0.1"], &[])?.with_resolver(Script::new(&[&["127.0.0.1"]]));
        let security = if is_implicit { SmtpSecurity::Implicit } else { SmtpSecurity::Starttls };
        let email = opened(channel(&settings(receiver.address.port(), security)), &[secret()])?;
        let attempted = email.send(telling(&message(), NOW), &outside).await;
        assert_eq!(attempted.outcome, Outcome::Failed);
        assert!(attempted.error.contains("invalid peer certificate: UnknownIssuer"), "{}", attempted.error);
        assert!(receiver.ended().await?.is_err(), "it heard something");
    }
    Ok(())
}

/// Rebinding gains nothing, and without TLS nothing goes to whom the settings do not name.
#[tokio::test]
async fn only_vetted_addresses_are_dialled() -> anyhow::Result<()> {
    for (security, addresses, said) in [
        (
            SmtpSecurity::Starttls,
            &["127.0.0.1", "127.0.0.2"][..],
            "127.0.0.2 is not allowed: loopback (RFC 1122)",
        ),
        (SmtpSecurity::Plain, &["127.0.0.1", "192.0.2.1"][..], "the address 192.0.2.1 is not among those"),
        (SmtpSecurity::Plain, &["93.184.215.14"][..], "the address 93.184.215.14 is not among those"),
    ] {
        let outside = outside(&["127.0.0.1"])?.with_resolver(Script::new(&[addresses]));
        let email = opened(channel(&settings(9, security)), &[])?;
        let attempted = email.send(telling(&message(), NOW), &outside).await;
        assert_eq!((attempted.outcome, attempted.address), (REFUSED, None), "{}", attempted.error);
        assert!(attempted.error.contains(said), "{}", attempted.error);
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_says_too_much_or_nothing_is_left() -> anyhow::Result<()> {
    let endless = Receiver::new(async |mut stream: tokio::net::TcpStream| {
        loop {
            stream.write_all(&[b'2'; 4_096]).await?;
        }
    });
    let silent = Receiver::new(async |stream: tokio::net::TcpStream| {
        let pending: std::io::Result<Vec<u8>> = std::future::pending().await;
        drop(stream);
        pending
    });
    for (receiver, said) in [
        (endless.await?, "the server says more than 65536 bytes"),
        (silent.await?, "not done within 1s: waiting for the answer"),
    ] {
        let outside = outside(&["127.0.0.1"])?.with_resolver(Script::new(&[&["127.0.0.1"]]));
        let email = opened(channel(&settings(receiver.address.port(), SmtpSecurity::Starttls)), &[])?;
        let message = message();
        let telling = Telling { deadline: Duration::from_secs(1), ..telling(&message, NOW) };
        let attempted = email.send(telling, &outside).await;
        assert_eq!((attempted.outcome, attempted.error.as_str()), (Outcome::Failed, said));
    }
    Ok(())
}

#[test]
fn everything_that_is_wrong_is_said_by_field_and_not_with_the_secret() {
    let good = settings(0, SmtpSecurity::Starttls);
    assert_eq!(fields(channel(&good), &[]), Vec::<String>::new());
    let bad = actions::Email {
        host: String::new(),
        security: 9,
        from: "nobody".into(),
        to: vec!["a@example.com".into(), "é@example.com".into(), "a@b\r\nBcc: c@d".into()],
        ..good.clone()
    };
    let half: SecretString = json!({ "user": "", "password": "xyzzy" }).to_string().into();
    let expected = ["email.host", "email.security", "email.from", "email.to[1]", "email.to[2]", "email.user"];
    assert_eq!(fields(channel(&bad), std::slice::from_ref(&half)), expected);
    let violations = Email::new(&bad, &[half]).expect_err("all of it");
    assert!(!format!("{violations:?}").contains("xyzzy"), "{violations:?}");
    let plain = settings(0, SmtpSecurity::Plain);
    assert_eq!(fields(channel(&plain), &[secret()]), ["email.security"]);
    for host in ["a/b", "a@b", "a:25", "a b", "[::1]:25", "a#b", "a\\b", "a?b"] {
        let wrong = actions::Email { host: host.into(), ..good.clone() };
        assert_eq!(fields(channel(&wrong), &[]), ["email.host"], "{host}");
    }
    for to in [vec![], vec!["a@example.com".to_owned(); 17]] {
        assert_eq!(fields(channel(&actions::Email { to, ..good.clone() }), &[]), ["email.to"]);
    }
    let port = actions::Email { port: 65_536, ..good.clone() };
    assert_eq!(fields(channel(&port), &[]), ["email.port"]);
    let private = actions::Email { host: "[::ffff:10.0.0.1]".into(), ..good.clone() };
    let private = Email::new(&private, &[]).expect("an address");
    assert_eq!(private.vet(&Allow::default()).expect_err("private").field, "email.host");
    for (security, port) in
        [(SmtpSecurity::Unspecified, 587), (SmtpSecurity::Implicit, 465), (SmtpSecurity::Plain, 25)]
    {
        let email = Email::new(&settings(0, security), &[]).expect("an endpoint");
        assert_eq!(email.server.port(), port);
    }
    let known = Email::new(&good, &[secret()]).expect("an endpoint");
    assert!(!format!("{known:?}").contains("xyzzy"), "{known:?}");
}
