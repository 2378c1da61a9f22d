//! What a mail looks like.

use std::time::{Duration, UNIX_EPOCH};

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message as Mail};

use super::super::{Telling, naming};
use super::smtp::SmtpError;
use crate::printable::printable;

/// The mail, ready to be handed over: ASCII, its lines ending as SMTP's do.
pub fn compose(telling: &Telling<'_>, from: &Mailbox, to: &[Mailbox]) -> Result<Vec<u8>, SmtpError> {
    let message = telling.message;
    let micros = u64::try_from(telling.now.as_micros()).unwrap_or_default();
    // Answers of machines to a machine help nobody (RFC 3834).
    let automatic =
        HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let mail = Mail::builder()
        .from(from.clone())
        // Nothing in it may end the header.
        .subject(printable(format!("[{}] {}", naming::state(message), naming::title(message))))
        .date(UNIX_EPOCH + Duration::from_micros(micros))
        .message_id(Some(format!("<{}@{}>", telling.id, from.email.domain())))
        .raw_header(automatic)
        .header(ContentType::TEXT_PLAIN);
    let mail = to.iter().fold(mail, |mail, one| mail.to(one.clone()));
    let mail = mail.body(body(telling)).map_err(|error| SmtpError::Mail(error.to_string()))?;
    Ok(mail.formatted())
}

/// The text, and behind it what it is about.
fn body(telling: &Telling<'_>) -> String {
    let message = telling.message;
    let mut about = vec![format!(
        "Rule {} v{}, {}.",
        message.rule,
        message.rule_version,
        crate::severity::name(message.severity())
    )];
    if let Some(change) = naming::change(message.alarm_change()) {
        about.push(format!("Alarm {}: {change}.", printable(message.alarm_key.as_str())));
    }
    if let Some(event) = &message.event {
        let said = format!("Event {} of {}: {}, {}.", event.id, event.source, event.r#type, event.subject);
        about.push(printable(said));
    }
    let text = if message.text.is_empty() { naming::title(message) } else { &message.text };
    format!("{text}\n\n-- \n{}\n", about.join("\n"))
}
