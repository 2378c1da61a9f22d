//! Services that refuse what is more than they document: real requests to one, on a clock that it shares with the desk. Nothing is
//! lost, and pages go first, whether their limits are kept to or have to be learned.

use cornjacket_proto::actions::{Endpoint, PagerDuty, RateLimit, Slack, endpoint::Channel};
use cornjacket_store::{DefinitionKind, DeliveryFilter, DeliveryState, NewDelivery, NewSecret, Redefinition};
use prost::Message as _;
use secrecy::SecretString;
use serde_json::Value;

use super::bed::{Bed, MINUTE, SECOND};
use super::laws;
use crate::channels::testing::{Service, alarm};
use crate::deliverer::sending::send;
use crate::deliverer::{Desk, Options, Ports};
use crate::limits::Rate;
use crate::{AlarmChange, Message, testing};

laws!(slack_takes_one_a_second, pagerduty_takes_a_hundred_and_twenty_a_minute);

const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
/// More than any service takes.
const NO_LIMIT: RateLimit =
    RateLimit { count: 10_000, per: Some(prost_types::Duration { seconds: 1, nanos: 0 }) };

async fn slack_takes_one_a_second(bed: Bed) -> anyhow::Result<()> {
    let limit = Rate { count: 1, per: SECOND };
    let slack = Service::new(limit, |_, _| ("200 OK", "ok".to_owned())).await?;
    let told =
        flood(&bed, &slack, Channel::Slack(Slack::default()), &slack.receiver.url().to_string(), 24).await?;
    assert!(told.iter().all(|one| one["text"].as_str().is_some_and(|text| text.contains("is too hot"))));
    Ok(())
}

async fn pagerduty_takes_a_hundred_and_twenty_a_minute(bed: Bed) -> anyhow::Result<()> {
    let limit = Rate { count: 120, per: MINUTE };
    let service = Service::new(limit, |_, _| ("202 Accepted", "{}".to_owned())).await?;
    let settings = PagerDuty { url: service.receiver.url().to_string(), ..PagerDuty::default() };
    let told = flood(&bed, &service, Channel::Pagerduty(settings), ROUTING_KEY, 280).await?;
    assert!(told.iter().all(|one| one["event_action"] == "trigger"));
    Ok(())
}

/// Has so many told, a third of them pages that come last, first within the limit that is documented, and then as if there were none.
/// What the service has taken.
async fn flood(
    bed: &Bed,
    service: &Service,
    channel: Channel,
    secret: &str,
    count: usize,
) -> anyhow::Result<Vec<Value>> {
    let ports = bed.ports()?;
    let sealing = ports.makers.secrets.as_ref().expect("a key");
    let sealed = sealing.seal("service", &SecretString::from(secret.to_owned()))?;
    let pages = count / 3;
    for (round, rate_limit) in [None, Some(NO_LIMIT)].into_iter().enumerate() {
        let endpoint = Endpoint {
            name: "service".into(),
            channel: Some(channel.clone()),
            rate_limit,
            ..Endpoint::default()
        };
        define(bed, &endpoint, &sealed).await?;
        tell(bed, &format!("less-{round}"), count - pages, 2).await?;
        tell(bed, &format!("page-{round}"), pages, 0).await?;
        let before = service.heard();
        let began = deliver(bed, &ports, service).await?;
        let urgent = began.iter().take_while(|priority| **priority == 0).count();
        assert!(urgent >= pages && began[urgent..].iter().all(|priority| *priority > 0), "pages first");
        let heard = service.heard();
        assert_eq!(heard.taken.len() - before.taken.len(), count, "each once");
        assert_eq!(
            heard.too_many > before.too_many,
            rate_limit.is_some(),
            "who keeps to it is never refused"
        );
    }
    let filter = DeliveryFilter { state: Some(DeliveryState::Delivered), ..DeliveryFilter::default() };
    assert_eq!(bed.store.deliveries.list(&filter, None, 1_000).await?.len(), 2 * count, "none is lost");
    Ok(service.heard().taken)
}

/// Real attempts, one after the other, until nothing waits: the priorities of those that began, in order.
async fn deliver(bed: &Bed, ports: &Ports, service: &Service) -> anyhow::Result<Vec<i16>> {
    let mut desk = Desk::new(ports.clone(), Options { rate: None, in_flight: 1 });
    let mut began = Vec::new();
    loop {
        let chosen = desk.round(0).await?;
        let (is_quiet, next) = (chosen.deliveries.is_empty(), chosen.next);
        for (receiver, delivery) in chosen.deliveries {
            began.push(delivery.told.priority);
            desk.put(send(ports.clone(), receiver, delivery).await);
        }
        match next {
            None if is_quiet => return Ok(began),
            Some(next) if is_quiet => {
                bed.clock.set(next);
                service.set(next);
            }
            _ => {}
        }
    }
}

async fn define(bed: &Bed, endpoint: &Endpoint, sealed: &[u8]) -> anyhow::Result<()> {
    let change = Redefinition {
        revision: bed.store.defining.read().await?.revision,
        kind: DefinitionKind::Endpoint,
        name: &endpoint.name,
        bytes: Some(&endpoint.encode_to_vec()),
        secret: Some(NewSecret { sealed, former_until: bed.now() }),
        forgives: true,
        by: None,
        now: bed.now(),
    };
    bed.store.defining.redefine(&change).await?;
    Ok(())
}

/// Alarms that are raised, each of another key.
async fn tell(bed: &Bed, prefix: &str, count: usize, priority: i16) -> anyhow::Result<()> {
    let told = |number: usize| {
        let id = format!("{prefix}-{number}");
        let message = Message { alarm_key: id.clone(), ..alarm(AlarmChange::Raised) }.encode_to_vec();
        let told = testing::delivery(&id, "service").told;
        NewDelivery { order_key: id.clone(), priority, message, now: bed.now(), ..told }
    };
    let mut tx = bed.store.offsets.begin_apart().await?;
    tx.deliver(&(0..count).map(told).collect::<Vec<_>>()).await?;
    Ok(tx.commit().await?)
}
