//! A message in a channel of Slack, by an incoming webhook
//! (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>).
//!
//! The message is blocks (<https://docs.slack.dev/reference/block-kit/blocks>): the title with what it means, the text in as many
//! sections as it needs, and what it is about. Title and text come escaped ([`crate::rules::Escape::Slack`]): what the rule itself
//! says may be markup. All of it is verbatim, so that a name in a text is no link and calls nobody.

use std::fmt;

use async_trait::async_trait;
use cornjacket_domain::violation::{Violation, brief};
use cornjacket_proto::events::Event;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use super::{Channel, Telling, naming, request, secret};
use crate::classify::Outcome;
use crate::guard::Allow;
use crate::message::Message;
use crate::outside::{Attempted, Outside};
use crate::printable::printable;
use crate::receiver_url::ReceiverUrl;

const URL: &str = "slack.url";
/// Characters of a section's text.
const SECTION: usize = 3_000;
/// Characters of a line of context, of which Slack says no limit, and of the notification.
const CONTEXT: usize = 1_000;
/// What Slack says when it has a message.
const OK: &[u8] = b"ok";

/// An endpoint's channel of Slack.
pub struct Slack {
    url: ReceiverUrl,
    client_errors_are_final: bool,
}

/// Its URL is a secret.
impl fmt::Debug for Slack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Slack").finish_non_exhaustive()
    }
}

impl Slack {
    /// Of the URL, which is the secret.
    pub fn new(secrets: &[SecretString], client_errors_are_final: bool) -> Result<Self, Vec<Violation>> {
        let secret = secrets.first().ok_or_else(|| secret::missing(URL))?;
        let url = ReceiverUrl::parse(secret.expose_secret()).map_err(|error| vec![error.of(URL)])?;
        Ok(Self { url, client_errors_are_final })
    }
}

#[async_trait]
impl Channel for Slack {
    fn vet(&self, allow: &Allow) -> Result<(), Violation> {
        self.url.vet(allow).map_err(|error| error.of(URL))
    }

    async fn send(&self, telling: Telling<'_>, outside: &Outside) -> Attempted {
        let body = body(telling.message);
        match request::json(&self.url, &body, &telling, self.client_errors_are_final) {
            Ok(call) => {
                let attempted = outside.attempt(call, telling.deadline).await;
                secret::redacted(understood(attempted), &[self.url.path_and_query()])
            }
            Err(error) => Attempted::unsendable(error),
        }
    }
}

/// Whoever answers well and says something else is not Slack, but stands before it.
fn understood(attempted: Attempted) -> Attempted {
    if attempted.outcome != Outcome::Delivered || attempted.response.trim_ascii() == OK {
        return attempted;
    }
    let said = String::from_utf8_lossy(&attempted.response);
    let error = brief(format!("the answer is not Slack's `ok`: {said:?}")).into_owned();
    Attempted { outcome: Outcome::Failed, error, ..attempted }
}

fn body(message: &Message) -> Value {
    let title = format!("[{}] {}", naming::state(message), escaped_title(message));
    let bold = format!("*{}*", cut(&title, SECTION - 2));
    let mut blocks = vec![section(&bold)];
    blocks.extend(pieces(&message.text).into_iter().map(section));
    let about = about(message);
    blocks.push(json!({ "type": "context", "elements": [text(cut(&about, CONTEXT))] }));
    json!({
        "text": cut(&title, CONTEXT),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

fn section(said: &str) -> Value {
    json!({ "type": "section", "text": text(said) })
}

fn text(said: &str) -> Value {
    json!({ "type": "mrkdwn", "text": said, "verbatim": true })
}

/// A title's `*` would end its being bold.
fn escaped_title(message: &Message) -> String {
    naming::title(message).replace('*', "∗")
}

/// The rule, and what happened to whom, and what became of the alarm.
fn about(message: &Message) -> String {
    let mut parts = vec![format!("{} v{}", message.rule, message.rule_version)];
    if let Some(Event { r#type, subject, source, .. }) = &message.event {
        let whom = if subject.is_empty() { source } else { subject };
        parts.extend([r#type, whom].map(|part| escape(part)));
    }
    if let Some(change) = naming::change(message.alarm_change()) {
        parts.push(format!("alarm {change} ({})", crate::severity::name(message.severity())));
    }
    parts.join(" · ")
}

fn escape(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A text in pieces for sections, at ends of lines where that is not too early.
fn pieces(text: &str) -> Vec<&str> {
    let (mut rest, mut pieces) = (text, Vec::new());
    while !rest.is_empty() {
        let most = cut(rest, SECTION);
        let is_all = most.len() == rest.len();
        let line = most.rfind('\n').filter(|end| !is_all && 2 * end > most.len());
        let piece = &most[..line.map_or(most.len(), |end| end + 1)];
        pieces.push(piece);
        rest = &rest[piece.len()..];
    }
    pieces.retain(|piece| !piece.trim().is_empty());
    pieces
}

/// So many characters at the most, and no half of an escaped one.
fn cut(text: &str, most: usize) -> &str {
    let Some((end, _)) = text.char_indices().nth(most) else { return text };
    let kept = &text[..end];
    match kept.rfind('&') {
        Some(start) if start > 0 && end - start < "&amp;".len() && !kept[start..].contains(';') => {
            &kept[..start]
        }
        _ => kept,
    }
}

#[cfg(test)]
mod tests;
