//! A conversation with a mail server (RFC 5321), whose words are lettre's.
//!
//! The server is a stranger: what it says is bounded, in its lines and in all. What it said in the clear is forgotten before TLS, and
//! who says more there than was asked has the conversation ended: it would be read as if TLS had secured it (RFC 3207).

use std::io;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::{Auth, Data, Ehlo, Mail, Quit, Rcpt, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension, ServerInfo};
use lettre::transport::smtp::response::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::Heard;
use crate::classify::Outcome;
use crate::dial::{Connection, DialError};
use crate::progress::Step;

/// Bytes of all that a server says, in the clear and secured each.
const MOST_SAID: usize = 64 << 10;
/// Answers to one login.
const MOST_CHALLENGES: usize = 4;

/// Why a mail was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("{0}: the connection ended: {1}")]
    Io(&'static str, io::Error),
    #[error("the answer to {0} is {1}: {2}")]
    Refused(&'static str, u16, String),
    #[error("{0}: the server says what is no SMTP")]
    Nonsense(&'static str),
    #[error("the server says more than {MOST_SAID} bytes")]
    TooMuch,
    #[error("the server does not offer STARTTLS")]
    NoTls,
    #[error("the server goes on in the clear after STARTTLS")]
    Injected,
    #[error("the server offers no way to log in that we know (PLAIN or LOGIN)")]
    NoLogin,
    #[error("the mail cannot be written: {0}")]
    Mail(String),
    #[error("not done within {0:?}: {1}")]
    Deadline(Duration, Step),
}

impl SmtpError {
    /// What it means for the attempt.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Dial(error) => error.outcome(),
            Self::Mail(_) => Outcome::Refused { disable: false },
            Self::Refused(what, 500..=599, _) if is_about_the_mail(what) => {
                Outcome::Refused { disable: false }
            }
            // Whom the server does not want to speak to now it may, when a password is right again.
            Self::Refused(..)
            | Self::Io(..)
            | Self::Nonsense(_)
            | Self::TooMuch
            | Self::NoTls
            | Self::Injected
            | Self::NoLogin
            | Self::Deadline(..) => Outcome::Failed,
        }
    }
}

/// Whether what is refused is the mail, and not whoever brings it.
fn is_about_the_mail(what: &str) -> bool {
    ["MAIL", "RCPT", "DATA", "the mail"].contains(&what)
}

/// One that has been greeted.
pub struct Conversation<'h> {
    stream: Box<dyn Connection>,
    /// What was said and not yet read.
    said: Vec<u8>,
    /// Bytes that were said in all.
    bytes: usize,
    offers: ServerInfo,
    heard: &'h mut Heard,
}

impl<'h> Conversation<'h> {
    /// Waits for the server's greeting, and greets.
    pub async fn begin(stream: Box<dyn Connection>, heard: &'h mut Heard) -> Result<Self, SmtpError> {
        let mut conversation = Self::new(stream, heard);
        let greeting = conversation.answer("the connection").await?;
        accepted("the connection", &greeting)?;
        conversation.greet().await?;
        Ok(conversation)
    }

    /// Greets again, on what is secured by now.
    pub async fn go_on(stream: Box<dyn Connection>, heard: &'h mut Heard) -> Result<Self, SmtpError> {
        let mut conversation = Self::new(stream, heard);
        conversation.greet().await?;
        Ok(conversation)
    }

    fn new(stream: Box<dyn Connection>, heard: &'h mut Heard) -> Self {
        Self { stream, said: Vec::new(), bytes: 0, offers: ServerInfo::default(), heard }
    }

    async fn greet(&mut self) -> Result<(), SmtpError> {
        let answer = self.say("EHLO", &Ehlo::new(ClientId::default())).await?;
        self.offers = ServerInfo::from_response(&answer).map_err(|_| SmtpError::Nonsense("EHLO"))?;
        Ok(())
    }

    /// Has TLS begin on the connection, of which nothing said in the clear is left.
    pub async fn leave_the_clear(mut self) -> Result<Box<dyn Connection>, SmtpError> {
        if !self.offers.supports_feature(Extension::StartTls) {
            return Err(SmtpError::NoTls);
        }
        self.say("STARTTLS", &Starttls).await?;
        if self.said.is_empty() { Ok(self.stream) } else { Err(SmtpError::Injected) }
    }

    /// Says who we are.
    pub async fn log_in(&mut self, credentials: &Credentials) -> Result<(), SmtpError> {
        let mechanism = self.offers.get_auth_mechanism(&[Mechanism::Plain, Mechanism::Login]);
        let mechanism = mechanism.ok_or(SmtpError::NoLogin)?;
        let nonsense = |_| SmtpError::Nonsense("AUTH");
        let begin = Auth::new(mechanism, credentials.clone(), None).map_err(nonsense)?;
        let mut answer = self.say("AUTH", &begin).await?;
        for _ in 0..MOST_CHALLENGES {
            if !answer.has_code(334) {
                return Ok(());
            }
            let next = Auth::new_from_response(mechanism, credentials.clone(), &answer).map_err(nonsense)?;
            answer = self.say("AUTH", &next).await?;
        }
        Err(SmtpError::Nonsense("AUTH"))
    }

    /// Hands over a mail to all recipients that are not refused for good; of those there must be one.
    pub async fn hand_over(&mut self, from: &Address, to: &[&Address], mail: &[u8]) -> Result<(), SmtpError> {
        self.say("MAIL", &Mail::new(Some(from.clone()), Vec::new())).await?;
        let (mut taken, mut refused) = (0, None);
        for recipient in to {
            match self.say("RCPT", &Rcpt::new((*recipient).clone(), Vec::new())).await {
                Ok(_) => taken += 1,
                Err(error @ SmtpError::Refused(_, 500..=599, _)) => {
                    tracing::warn!(%error, "a recipient of an endpoint is refused by its mail server");
                    refused = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(error) = refused.filter(|_| taken == 0) {
            return Err(error);
        }
        self.say("DATA", &Data).await?;
        self.write("the mail", &transparent(mail)).await?;
        let answer = self.answer("the mail").await?;
        accepted("the mail", &answer)?;
        self.heard.has_mail = true;
        if let Err(error) = self.leave().await {
            tracing::debug!(%error, "a mail server let go before the end");
        }
        Ok(())
    }

    async fn leave(&mut self) -> Result<(), SmtpError> {
        self.write("QUIT", Quit.to_string().as_bytes()).await?;
        self.stream.shutdown().await.map_err(|error| SmtpError::Io("QUIT", error))
    }

    async fn say(
        &mut self,
        what: &'static str,
        command: &(impl ToString + Sync),
    ) -> Result<Response, SmtpError> {
        self.write(what, command.to_string().as_bytes()).await?;
        let answer = self.answer(what).await?;
        accepted(what, &answer)?;
        Ok(answer)
    }

    async fn write(&mut self, what: &'static str, bytes: &[u8]) -> Result<(), SmtpError> {
        let broken = |error| SmtpError::Io(what, error);
        self.stream.write_all(bytes).await.map_err(broken)?;
        self.stream.flush().await.map_err(broken)
    }

    /// All lines of an answer: the last one has no `-` behind its code.
    async fn answer(&mut self, to: &'static str) -> Result<Response, SmtpError> {
        let mut lines = String::new();
        loop {
            let line = self.line(to).await?;
            lines.push_str(&line);
            if line.as_bytes().get(3) != Some(&b'-') {
                break;
            }
        }
        let answer: Response = lines.parse().map_err(|_| SmtpError::Nonsense(to))?;
        self.heard.code = Some(answer.code().into());
        self.heard.text = lines;
        Ok(answer)
    }

    async fn line(&mut self, to: &'static str) -> Result<String, SmtpError> {
        loop {
            if let Some(end) = self.said.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.said.drain(..=end).collect();
                return String::from_utf8(line).map_err(|_| SmtpError::Nonsense(to));
            }
            let read =
                self.stream.read_buf(&mut self.said).await.map_err(|error| SmtpError::Io(to, error))?;
            self.bytes += read;
            if read == 0 {
                return Err(SmtpError::Io(to, io::ErrorKind::UnexpectedEof.into()));
            }
            if self.bytes > MOST_SAID {
                return Err(SmtpError::TooMuch);
            }
        }
    }
}

fn accepted(what: &'static str, answer: &Response) -> Result<(), SmtpError> {
    if answer.is_positive() {
        return Ok(());
    }
    let said = answer.message().collect::<Vec<_>>().join(" ");
    Err(SmtpError::Refused(what, answer.code().into(), said))
}

/// A mail as it is sent: a line that begins with a dot has another one, and a dot alone ends it all.
fn transparent(mail: &[u8]) -> Vec<u8> {
    let mut sent = Vec::with_capacity(mail.len() + 16);
    let mut begins = true;
    for byte in mail {
        if begins && *byte == b'.' {
            sent.push(b'.');
        }
        sent.push(*byte);
        begins = *byte == b'\n';
    }
    sent.extend_from_slice(if begins { b".\r\n" } else { b"\r\n.\r\n" });
    sent
}
