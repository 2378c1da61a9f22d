//! What an endpoint has that nobody may see: where it comes from, and where it goes.
//!
//! Some secrets are made here ([`made`]), others are given by whoever makes the endpoint. Those are taken out of the settings before
//! anything else is done with them ([`take`]), sealed as one text, and read again by the channel alone. A secret that is sent
//! somewhere is tied to that place ([`destination`]): who may change an endpoint does not learn its secret by having it sent
//! to himself.

use std::mem;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cornjacket_domain::violation::{Reason, Violation};
use cornjacket_proto::actions::{Endpoint, Signing, endpoint};
use secrecy::SecretString;
use serde_json::json;

use super::http_request;
use crate::outside::Attempted;
use crate::signing::{Key, SigningError};

/// Stands for a secret in what strangers said.
const REDACTED: &str = "[secret]";
/// Bytes of a word of a secret that is one by itself.
const LONG_WORD: usize = 8;
/// Characters at the end of a secret that are shown, where they are a small part of it.
const SHOWN: usize = 4;

/// A secret that somebody gave.
#[derive(Debug)]
pub struct Given {
    /// As the channel reads it.
    pub text: SecretString,
    /// What may be shown of it.
    pub hint: String,
}

/// Takes the secret out of an endpoint's settings; nothing where none was given.
pub fn take(endpoint: &mut Endpoint) -> Option<Given> {
    match endpoint.channel.as_mut()? {
        endpoint::Channel::Webhook(_) => None,
        endpoint::Channel::Http(http) => {
            let headers = mem::take(&mut http.secret_headers);
            let hint = headers.keys().cloned().collect::<Vec<_>>().join(", ");
            (!headers.is_empty()).then(|| Given { text: json!(headers).to_string().into(), hint })
        }
        endpoint::Channel::Email(email) => {
            let (user, password) = (mem::take(&mut email.user), mem::take(&mut email.password));
            let text = json!({ "user": user, "password": password }).to_string().into();
            (!user.is_empty() || !password.is_empty()).then_some(Given { text, hint: user })
        }
        endpoint::Channel::Slack(slack) => given(mem::take(&mut slack.url)),
        endpoint::Channel::Pagerduty(pagerduty) => given(mem::take(&mut pagerduty.routing_key)),
    }
}

/// The key that an endpoint signs with, made anew, where it does.
pub fn made(endpoint: &Endpoint) -> Result<Option<Key>, SigningError> {
    match &endpoint.channel {
        // What is no signing is refused when the channel is opened.
        Some(endpoint::Channel::Webhook(webhook)) => {
            Key::generate(Signing::try_from(webhook.signing).unwrap_or_default()).map(Some)
        }
        Some(
            endpoint::Channel::Http(_)
            | endpoint::Channel::Slack(_)
            | endpoint::Channel::Pagerduty(_)
            | endpoint::Channel::Email(_),
        )
        | None => Ok(None),
    }
}

/// Where the secret that was given is sent; nothing where it says that itself, or is never sent.
pub fn destination(endpoint: &Endpoint) -> Option<(&'static str, String)> {
    match &endpoint.channel {
        Some(endpoint::Channel::Http(http)) => {
            Some(("http.url", http_request::server(&http.url).to_lowercase()))
        }
        Some(endpoint::Channel::Email(email)) => {
            let place = format!("{}:{}, {}", email.host.to_lowercase(), email.port, email.security);
            Some(("email.host", place))
        }
        Some(endpoint::Channel::Pagerduty(pagerduty)) => Some(("pagerduty.url", pagerduty.url.clone())),
        Some(endpoint::Channel::Webhook(_) | endpoint::Channel::Slack(_)) | None => None,
    }
}

/// The violation of a secret that has to be there.
pub fn missing(field: &str) -> Vec<Violation> {
    vec![Violation::new(field, Reason::Required, "must be set: it is a secret, which is kept")]
}

fn given(text: String) -> Option<Given> {
    (!text.is_empty()).then(|| Given { hint: hint(&text), text: text.into() })
}

/// The end of a long secret; of a short one nothing.
fn hint(text: &str) -> String {
    let end = text.char_indices().rev().nth(SHOWN - 1).map_or("", |(at, _)| &text[at..]);
    if text.len() >= 6 * SHOWN { format!("…{end}") } else { "…".to_owned() }
}

/// What came of an attempt, without the secrets that the receiver repeats, as they are or as they were sent: it is kept for people to
/// see.
pub fn redacted(attempted: Attempted, secrets: &[&str]) -> Attempted {
    let mut forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
    // A part of one that is longer would leave the rest of it.
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    let hide = |said: String| forms.iter().fold(said, |said, form| said.replace(form, REDACTED));
    let said = String::from_utf8_lossy(&attempted.response).into_owned();
    let hidden = hide(said.clone());
    let response = if hidden == said { attempted.response } else { hidden.into() };
    Attempted { response, error: hide(attempted.error), ..attempted }
}

/// A secret, and its words without those before them such as `Bearer`; each also in base64, and as JSON has it between quotes.
fn forms(secret: &str) -> Vec<String> {
    let words = secret.split_whitespace().filter(|word| word.len() >= LONG_WORD);
    let known = std::iter::once(secret).chain(words).filter(|known| known.len() >= SHOWN);
    let forms = known.flat_map(|known| {
        let quoted = json!(known).to_string();
        [known.to_owned(), BASE64_STANDARD.encode(known), quoted[1..quoted.len() - 1].to_owned()]
    });
    forms.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_hidden_in_every_form_that_a_receiver_knows_it_in() {
        let secret = "Bearer tok\"en-xyzzy";
        for said in [
            "no: Bearer tok\"en-xyzzy".to_owned(),
            "no: tok\"en-xyzzy".to_owned(),
            json!({ "no": "tok\"en-xyzzy" }).to_string(),
            format!("no: {}", BASE64_STANDARD.encode("tok\"en-xyzzy")),
        ] {
            let attempted =
                Attempted { response: said.clone().into(), ..Attempted::unsendable(said.clone()) };
            let shown = redacted(attempted, &[secret, "b"]);
            let kept = String::from_utf8_lossy(&shown.response).into_owned();
            assert!(kept.contains(REDACTED) && !kept.contains("xyzzy"), "{kept}");
            assert_eq!(shown.error, kept);
            assert!(!kept.contains(&BASE64_STANDARD.encode("tok\"en-xyzzy")));
        }
    }
}
