//! How something is told. A channel is a file here and a line in [`open`].

mod email;
mod headers;
mod http_request;
pub(crate) mod naming;
mod pagerduty;
mod request;
pub mod secret;
mod slack;
#[cfg(test)]
pub(crate) mod testing;
mod webhook;

use std::fmt::Debug;
use std::time::Duration;

use async_trait::async_trait;
use cornjacket_domain::Timestamp;
use cornjacket_domain::violation::{Reason, Violation};
use cornjacket_proto::actions::{Endpoint, endpoint};
use secrecy::SecretString;

use self::email::Email;
use self::http_request::HttpRequest;
use self::pagerduty::PagerDuty;
use self::slack::Slack;
use self::webhook::Webhook;
use crate::guard::Allow;
use crate::limits::Rate;
use crate::message::Message;
use crate::outside::{Attempted, Outside};
use crate::rules::Escape;

/// One try to tell something.
#[derive(Clone, Copy, Debug)]
pub struct Telling<'a> {
    /// The delivery, the same over all of its attempts.
    pub id: &'a str,
    /// What is told.
    pub message: &'a Message,
    /// When this attempt is made.
    pub now: Timestamp,
    /// How long it may take in all.
    pub deadline: Duration,
    /// The span of the attempt (W3C Trace Context), where there is one.
    pub traceparent: Option<&'a str>,
}

/// A way to tell something to one endpoint, with all that is needed for it.
#[async_trait]
pub trait Channel: Debug + Send + Sync {
    /// What can be seen to be forbidden without asking anybody; attempts see the rest.
    fn vet(&self, allow: &Allow) -> Result<(), Violation>;

    /// Tries once, within the deadline.
    async fn send(&self, telling: Telling<'_>, outside: &Outside) -> Attempted;
}

/// The channel of an endpoint with its secrets, the newest first. Of what is wrong with the settings, everything is said,
/// with fields from the endpoint on.
pub fn open(endpoint: &Endpoint, secrets: &[SecretString]) -> Result<Box<dyn Channel>, Vec<Violation>> {
    let is_final = endpoint.client_errors_are_final;
    match &endpoint.channel {
        Some(endpoint::Channel::Webhook(settings)) => Webhook::new(settings, secrets, is_final).map(boxed),
        Some(endpoint::Channel::Http(settings)) => HttpRequest::new(settings, secrets, is_final).map(boxed),
        Some(endpoint::Channel::Slack(_)) => Slack::new(secrets, is_final).map(boxed),
        Some(endpoint::Channel::Pagerduty(settings)) => PagerDuty::new(settings, secrets).map(boxed),
        Some(endpoint::Channel::Email(settings)) => Email::new(settings, secrets).map(boxed),
        None => Err(vec![Violation::new("webhook", Reason::Required, "one channel must be set")]),
    }
}

/// What the channel of an endpoint is called.
pub const fn name(endpoint: &Endpoint) -> &'static str {
    match endpoint.channel {
        Some(endpoint::Channel::Webhook(_)) => "webhook",
        Some(endpoint::Channel::Http(_)) => "http",
        Some(endpoint::Channel::Slack(_)) => "slack",
        Some(endpoint::Channel::Pagerduty(_)) => "pagerduty",
        Some(endpoint::Channel::Email(_)) => "email",
        None => "",
    }
}

fn boxed(channel: impl Channel + 'static) -> Box<dyn Channel> {
    Box::new(channel)
}

/// How texts are written for an endpoint.
pub const fn escape(endpoint: &Endpoint) -> Escape {
    match endpoint.channel {
        // Neither JSON nor plain mails have markup; a request's own templates escape for where a text stands.
        Some(
            endpoint::Channel::Webhook(_)
            | endpoint::Channel::Http(_)
            | endpoint::Channel::Pagerduty(_)
            | endpoint::Channel::Email(_),
        )
        | None => Escape::Plain,
        Some(endpoint::Channel::Slack(_)) => Escape::Slack,
    }
}

/// What the service behind a channel takes, as it documents it: the limit of endpoints that state none.
pub const fn usual_rate(endpoint: &Endpoint) -> Option<Rate> {
    match endpoint.channel {
        Some(endpoint::Channel::Webhook(_) | endpoint::Channel::Http(_) | endpoint::Channel::Email(_))
        | None => None,
        // <https://docs.slack.dev/apis/web-api/rate-limits>: incoming webhooks.
        Some(endpoint::Channel::Slack(_)) => Some(Rate { count: 1, per: Duration::from_secs(1) }),
        // <https://developer.pagerduty.com/docs/events-api-v2-overview>: per integration key.
        Some(endpoint::Channel::Pagerduty(_)) => Some(Rate { count: 120, per: Duration::from_mins(1) }),
    }
}
