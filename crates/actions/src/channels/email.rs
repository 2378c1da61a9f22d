//! A mail of plain text, by SMTP (RFC 5321).
//!
//! The server is reached as every receiver is: its name is resolved once, all its addresses are vetted, one of those is dialled, and
//! TLS is agreed on with the name. One deadline is over all of it. The conversation is in [`smtp`].

mod mail;
mod smtp;

use async_trait::async_trait;
use cornjacket_domain::violation::{Reason, Violation, brief};
use cornjacket_proto::actions::{self, SmtpSecurity};
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use self::smtp::{Conversation, SmtpError};
use super::{Channel, Telling, secret};
use crate::classify::Outcome;
use crate::guard::Allow;
use crate::outside::{Attempted, Outside};
use crate::progress::Progress;
use crate::receiver_url::ReceiverUrl;

const HOST: &str = "email.host";
const SECURITY: &str = "email.security";
const MOST_RECIPIENTS: usize = 16;

/// An endpoint's mail.
#[derive(Debug)]
pub struct Email {
    /// Host and port of the server, as URLs have them.
    server: ReceiverUrl,
    security: SmtpSecurity,
    from: Mailbox,
    to: Vec<Mailbox>,
    login: Option<Login>,
}

/// Whom the server knows us as.
#[derive(Debug, Deserialize)]
struct Login {
    user: String,
    password: SecretString,
}

impl Email {
    /// As set, with user and password as the secret.
    pub fn new(settings: &actions::Email, secrets: &[SecretString]) -> Result<Self, Vec<Violation>> {
        let security = SmtpSecurity::try_from(settings.security).map_err(|_| {
            vec![Violation::new(SECURITY, Reason::Range, format!("{} is no security", settings.security))]
        });
        let server = server(settings, security.as_ref().copied().unwrap_or_default());
        let (from, to) = (mailbox("email.from", &settings.from), recipients(&settings.to));
        let login = secrets.first().map(login).transpose().and_then(|login| match (&login, &security) {
            (Some(_), Ok(SmtpSecurity::Plain)) => {
                let said = "sends passwords in the clear: there can be no user";
                Err(vec![Violation::new(SECURITY, Reason::Mismatch, said)])
            }
            _ => Ok(login),
        });
        match (server, security, from, to, login) {
            (Ok(server), Ok(security), Ok(from), Ok(to), Ok(login)) => {
                Ok(Self { server, security, from, to, login })
            }
            (server, security, from, to, login) => {
                let found = [server.err(), security.err(), from.err(), to.err(), login.err()];
                Err(found.into_iter().flatten().flatten().collect())
            }
        }
    }

    /// From the name to the last word.
    async fn talk(
        &self,
        telling: &Telling<'_>,
        outside: &Outside,
        (progress, heard): (&mut Progress, &mut Heard),
    ) -> Result<(), SmtpError> {
        let mail = mail::compose(telling, &self.from, &self.to)?;
        let is_plain = self.security == SmtpSecurity::Plain;
        let outside = if is_plain { outside.only_listed() } else { outside.clone() };
        let mut stream = outside.reach(&self.server, telling.deadline, progress).await?;
        if self.security == SmtpSecurity::Implicit {
            stream = outside.secure(&self.server, stream, progress).await?;
        }
        progress.step = crate::progress::Step::Asking;
        let mut conversation = Conversation::begin(stream, heard).await?;
        if matches!(self.security, SmtpSecurity::Unspecified | SmtpSecurity::Starttls) {
            let stream = conversation.leave_the_clear().await?;
            let stream = outside.secure(&self.server, stream, progress).await?;
            progress.step = crate::progress::Step::Asking;
            conversation = Conversation::go_on(stream, heard).await?;
        }
        if let Some(login) = &self.login {
            let password = login.password.expose_secret().to_owned();
            conversation.log_in(&Credentials::new(login.user.clone(), password)).await?;
        }
        let to: Vec<_> = self.to.iter().map(|mailbox| &mailbox.email).collect();
        conversation.hand_over(&self.from.email, &to, &mail).await
    }
}

/// What the server said last.
#[derive(Debug, Default)]
struct Heard {
    code: Option<u16>,
    text: String,
    /// It has the mail: nothing that comes behind that changes it.
    has_mail: bool,
}

#[async_trait]
impl Channel for Email {
    fn vet(&self, allow: &Allow) -> Result<(), Violation> {
        self.server.vet(allow).map_err(|error| error.of(HOST))
    }

    async fn send(&self, telling: Telling<'_>, outside: &Outside) -> Attempted {
        let (begun, deadline) = (Instant::now(), telling.deadline);
        let (mut progress, mut heard) = (Progress::default(), Heard::default());
        let talk = timeout(deadline, self.talk(&telling, outside, (&mut progress, &mut heard)));
        let ended = talk.await.unwrap_or(Err(SmtpError::Deadline(deadline, progress.step)));
        let (outcome, error) = match ended {
            _ if heard.has_mail => (Outcome::Delivered, String::new()),
            Ok(()) => (Outcome::Delivered, String::new()),
            Err(error) => (error.outcome(), brief(error.to_string()).into_owned()),
        };
        let attempted = Attempted {
            outcome,
            status: heard.code,
            error,
            response: heard.text.into(),
            address: progress.address,
            took: begun.elapsed(),
        };
        let Some(login) = &self.login else { return attempted };
        // As AUTH PLAIN has it (RFC 4616): in base64 that is another text.
        let plain = format!("\0{}\0{}", login.user, login.password.expose_secret());
        secret::redacted(attempted, &[login.password.expose_secret(), &plain])
    }
}

fn server(settings: &actions::Email, security: SmtpSecurity) -> Result<ReceiverUrl, Vec<Violation>> {
    let usual = match security {
        SmtpSecurity::Unspecified | SmtpSecurity::Starttls => 587,
        SmtpSecurity::Implicit => 465,
        SmtpSecurity::Plain => 25,
    };
    if settings.host.is_empty() {
        return Err(vec![Violation::new(HOST, Reason::Required, "must be set")]);
    }
    if settings.port > u32::from(u16::MAX) {
        return Err(vec![Violation::new("email.port", Reason::Range, "must be 1 to 65,535")]);
    }
    // Only that of an IPv6 address, which brackets hold, may have colons.
    let is_bracketed = settings.host.starts_with('[') && settings.host.ends_with(']');
    let is_part = |character: char| "/?#@\\".contains(character) || (character == ':' && !is_bracketed);
    if settings.host.contains(is_part) {
        return Err(vec![Violation::new(HOST, Reason::Grammar, "is no name and no address of a host")]);
    }
    let port = if settings.port == 0 { usual } else { settings.port };
    ReceiverUrl::parse(&format!("http://{}:{port}/", settings.host)).map_err(|error| vec![error.of(HOST)])
}

fn mailbox(field: &str, text: &str) -> Result<Mailbox, Vec<Violation>> {
    let wrong = |reason, said: &str| Err(vec![Violation::new(field, reason, said)]);
    if text.is_empty() {
        return wrong(Reason::Required, "must be set");
    }
    if text.chars().any(char::is_control) {
        return wrong(Reason::Grammar, "has control characters");
    }
    match text.parse::<Mailbox>() {
        Ok(mailbox) if mailbox.email.to_string().is_ascii() && text.len() <= 512 => Ok(mailbox),
        _ => wrong(Reason::Grammar, "is no address of ASCII: such as ops@example.com"),
    }
}

fn recipients(all: &[String]) -> Result<Vec<Mailbox>, Vec<Violation>> {
    if all.is_empty() || all.len() > MOST_RECIPIENTS {
        let reason = if all.is_empty() { Reason::Required } else { Reason::TooMany };
        let said = format!("must have 1 to {MOST_RECIPIENTS} addresses");
        return Err(vec![Violation::new("email.to", reason, said)]);
    }
    let read = all.iter().enumerate().map(|(index, text)| mailbox(&format!("email.to[{index}]"), text));
    let (good, bad): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
    let bad: Vec<Violation> = bad.into_iter().filter_map(Result::err).flatten().collect();
    if bad.is_empty() { Ok(good.into_iter().flatten().collect()) } else { Err(bad) }
}

fn login(secret: &SecretString) -> Result<Login, Vec<Violation>> {
    let wrong = |field: &str, reason, said: &str| vec![Violation::new(field, reason, said)];
    // The error would repeat what it does not understand.
    let login: Login = serde_json::from_str(secret.expose_secret())
        .map_err(|_| wrong("email.password", Reason::Grammar, "cannot be read"))?;
    let parts = [("email.user", login.user.as_str()), ("email.password", login.password.expose_secret())];
    for (field, text) in parts {
        if text.is_empty() {
            return Err(wrong(field, Reason::Required, "must be set: user and password go together"));
        }
        if text.contains('\0') {
            return Err(wrong(field, Reason::Grammar, "has the character 0"));
        }
    }
    Ok(login)
}

#[cfg(test)]
mod tests;
