//! Endpoints: what may be one, and what is needed to tell it something.

use std::time::Duration;

use cornjacket_domain::Violation;
use cornjacket_domain::violation::Reason;
use cornjacket_proto::actions::{Endpoint, RateLimit, RetrySchedule};
use secrecy::SecretString;

use crate::channels::{self, Channel};
use crate::limits::{self, Rate};
use crate::names;
use crate::outside::Outside;
use crate::secrets::Secrets;
use crate::span::span;

/// Deliveries under way at once, when nothing is said and at the most.
const SLOTS: (u32, u32) = (4, 64);
/// How long an attempt may take, when nothing is said and at the most; and at the least.
const TIMEOUT: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(1));
/// Bounds of a limit.
const MOST_ATTEMPTS: u32 = 10_000;
const SPANS: (Duration, Duration) = (Duration::from_secs(1), limits::LONGEST);

/// How an endpoint is sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Deliveries under way at once.
    pub slots: u32,
    /// Whether those of one key keep their order.
    pub ordered: bool,
    /// Attempts, at the most: what is stated, else what the channel's service is known to take ([`channels::usual_rate`]).
    pub rate: Option<Rate>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// When something is tried again.
    pub schedule: RetrySchedule,
    /// Whether nothing is sent for now.
    pub disabled: bool,
}

impl Terms {
    /// What an endpoint says; everything that is wrong with it, by field.
    pub fn try_new(endpoint: &Endpoint) -> Result<Self, Vec<Violation>> {
        let mut problems = Vec::new();
        problems.extend(names::check("name", &endpoint.name));
        let schedule = RetrySchedule::try_from(endpoint.retry).unwrap_or_else(|_| {
            problems.push(Violation::new(
                "retry",
                Reason::Range,
                format!("{} is no schedule", endpoint.retry),
            ));
            RetrySchedule::Unspecified
        });
        let slots = if endpoint.slots == 0 { SLOTS.0 } else { endpoint.slots };
        if slots > SLOTS.1 {
            problems.push(Violation::new("slots", Reason::Range, format!("must be 1 to {}", SLOTS.1)));
        }
        let timeout = span(endpoint.timeout.as_ref(), "timeout", (TIMEOUT.1, TIMEOUT.0), &mut problems);
        let rate = endpoint.rate_limit.as_ref().and_then(|limit| rate(limit, &mut problems));
        let terms = Self {
            slots,
            ordered: endpoint.ordered,
            rate: rate.or_else(|| channels::usual_rate(endpoint)),
            timeout: timeout.unwrap_or(TIMEOUT.0),
            schedule,
            disabled: endpoint.disabled,
        };
        if problems.is_empty() { Ok(terms) } else { Err(problems) }
    }
}

fn rate(limit: &RateLimit, problems: &mut Vec<Violation>) -> Option<Rate> {
    if !(1..=MOST_ATTEMPTS).contains(&limit.count) {
        let description = format!("must be 1 to {MOST_ATTEMPTS}");
        problems.push(Violation::new("rate_limit.count", Reason::Range, description));
    }
    if limit.per.is_none() {
        problems.push(Violation::new("rate_limit.per", Reason::Required, "must be set"));
    }
    let per = span(limit.per.as_ref(), "rate_limit.per", SPANS, problems)?;
    Some(Rate { count: limit.count, per })
}

/// What endpoints are made with.
#[derive(Debug)]
pub struct Makers {
    /// Seals their secrets; nothing where the settings have no key.
    pub secrets: Option<Secrets>,
    /// The way to them.
    pub outside: Outside,
}

impl Makers {
    /// Everything that is wrong with an endpoint, in as far as that can be seen without asking anybody.
    pub fn check(&self, endpoint: &Endpoint, secrets: &[SecretString]) -> Result<(), Vec<Violation>> {
        let terms = Terms::try_new(endpoint).map(drop);
        let channel = channels::open(endpoint, secrets);
        let channel = channel.and_then(|channel| channel.vet(self.outside.allow()).map_err(|one| vec![one]));
        match (terms, channel) {
            (Ok(()), Ok(())) => Ok(()),
            (terms, channel) => Err([terms.err(), channel.err()].into_iter().flatten().flatten().collect()),
        }
    }

    /// The channel of an endpoint that is kept, with its secrets as they are kept, the newest first.
    pub fn open(&self, endpoint: &Endpoint, sealed: &[Vec<u8>]) -> Result<Box<dyn Channel>, String> {
        let secrets = self.opened(&endpoint.name, sealed)?;
        channels::open(endpoint, &secrets).map_err(|problems| {
            let told = problems.iter().map(|one| format!("{} {}", one.field, one.description));
            told.collect::<Vec<_>>().join("; ")
        })
    }

    fn opened(&self, name: &str, sealed: &[Vec<u8>]) -> Result<Vec<SecretString>, String> {
        let Some((last, former)) = sealed.split_first() else { return Ok(Vec::new()) };
        let secrets = self.secrets.as_ref();
        let secrets = secrets.ok_or("actions.secret_key is not set: its secret cannot be opened")?;
        let mut opened = vec![secrets.open(name, last).map_err(|error| error.to_string())?];
        // One that is lost helps nobody who waits: who has changed over is told with the last one.
        opened.extend(former.iter().filter_map(|sealed| {
            let former = secrets.open(name, sealed);
            former.inspect_err(|error| tracing::warn!(%error, name, "a former secret cannot be opened")).ok()
        }));
        Ok(opened)
    }
}

#[cfg(test)]
mod tests {
    use cornjacket_proto::actions::{Slack, endpoint};

    use super::*;

    fn fields(endpoint: &Endpoint) -> Vec<String> {
        Terms::try_new(endpoint)
            .map_or_else(|all| all.into_iter().map(|one| one.field).collect(), |_| Vec::new())
    }

    #[test]
    fn who_states_no_limit_has_that_of_the_service() {
        let slack = Endpoint {
            name: "ops".into(),
            channel: Some(endpoint::Channel::Slack(Slack::default())),
            ..Endpoint::default()
        };
        let rate = |endpoint: &Endpoint| Terms::try_new(endpoint).expect("an endpoint").rate;
        assert_eq!(rate(&slack), Some(Rate { count: 1, per: Duration::from_secs(1) }));
        let per = Some(prost_types::Duration { seconds: 60, nanos: 0 });
        let stated = Endpoint { rate_limit: Some(RateLimit { count: 7, per }), ..slack };
        assert_eq!(rate(&stated), Some(Rate { count: 7, per: Duration::from_mins(1) }));
    }

    #[test]
    fn what_is_not_said_has_a_default_and_what_is_wrong_is_named() {
        let endpoint = Endpoint { name: "pager".into(), ..Endpoint::default() };
        let terms = Terms::try_new(&endpoint).expect("all defaults");
        assert_eq!((terms.slots, terms.timeout, terms.rate), (4, Duration::from_secs(30), None));
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let wrong = Endpoint {
            name: "Pager".into(),
            retry: 9,
            slots: 65,
            timeout: seconds(31),
            rate_limit: Some(RateLimit { count: 0, per: seconds(3_601) }),
            ..Endpoint::default()
        };
        let wanted = ["name", "retry", "slots", "timeout", "rate_limit.count", "rate_limit.per"];
        assert_eq!(fields(&wrong), wanted);
        let endless = Endpoint { rate_limit: Some(RateLimit { count: 1, per: None }), ..endpoint };
        assert_eq!(fields(&endless), ["rate_limit.per"]);
    }
}
