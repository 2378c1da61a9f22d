//! How far deliveries are, in words, and what holds up those that wait.

use std::collections::{BTreeSet, HashMap};

use cornjacket_domain::Timestamp;
use cornjacket_proto::actions::Endpoint;
use cornjacket_store::{DefinitionKind, Definitions, Delivery, DeliveryState, Health};
use prost::Message as _;

/// What holds up deliveries, by endpoint, at one time.
#[derive(Debug, Default)]
pub struct Holds {
    /// How endpoints are doing that are not well.
    health: HashMap<String, Health>,
    /// Those that somebody has disabled.
    disabled: BTreeSet<String>,
    now: Timestamp,
}

impl Holds {
    /// What holds them up that are told to what is defined.
    pub fn new(health: HashMap<String, Health>, definitions: &Definitions, now: Timestamp) -> Self {
        let is_disabled = |bytes: &[u8]| Endpoint::decode(bytes).is_ok_and(|endpoint| endpoint.disabled);
        let endpoints = definitions.of(DefinitionKind::Endpoint);
        let disabled = endpoints.filter(|one| is_disabled(&one.bytes)).map(|one| one.name.clone());
        Self { health, disabled: disabled.collect(), now }
    }

    /// Why a delivery that waits is not under way.
    fn on(&self, delivery: &Delivery) -> String {
        let endpoint = &delivery.told.endpoint;
        let health = self.health.get(endpoint).cloned().unwrap_or_default();
        let later = |until: Option<Timestamp>| until.filter(|until| *until > self.now);
        if let Some(reason) = health.disabled {
            format!("nothing is sent there any more: {reason}")
        } else if self.disabled.contains(endpoint) {
            "nothing is sent there while it is disabled".to_owned()
        } else if let Some(until) = later(health.open_until) {
            format!("after {} failures in a row it is left alone until {}", health.failures, until.to_proto())
        } else if let Some(until) = later(health.held_until) {
            format!("it asked to be left alone until {}", until.to_proto())
        } else if let Some(due) = later(Some(delivery.due)) {
            format!("not before {}", due.to_proto())
        } else {
            "held by a limit, or behind what goes before it".to_owned()
        }
    }
}

/// How far deliveries are.
pub fn fates(deliveries: &[Delivery], holds: &Holds) -> String {
    deliveries.iter().map(|delivery| fate(delivery, holds)).collect::<Vec<_>>().join("; ")
}

fn fate(delivery: &Delivery, holds: &Holds) -> String {
    let (endpoint, attempts, reason) = (&delivery.told.endpoint, delivery.attempts, &delivery.reason);
    match delivery.state {
        DeliveryState::Delivered => format!("it arrived at {endpoint} with attempt {attempts}"),
        DeliveryState::Dead => format!("it was given up for {endpoint} after {attempts} attempts: {reason}"),
        DeliveryState::Gathered => {
            let with = delivery.told_with.as_deref().unwrap_or_default();
            format!("it became a part of delivery {with} to {endpoint}")
        }
        DeliveryState::Sending => format!("it is on its way to {endpoint}, attempt {attempts}"),
        DeliveryState::Pending if attempts == 0 => {
            format!("it waits for its turn at {endpoint}: {}", holds.on(delivery))
        }
        DeliveryState::Pending => {
            format!("it waits for attempt {} at {endpoint} ({}): {reason}", attempts + 1, holds.on(delivery))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::{NOW, delivery};

    fn said(health: Health, delivery: &Delivery) -> String {
        let health = [("pager".to_owned(), health)].into();
        fate(delivery, &Holds { health, now: NOW, ..Holds::default() })
    }

    #[test]
    fn what_holds_something_up_is_said() {
        let waits = delivery("msg", "pager");
        let later = Some(NOW + Duration::from_secs(40));
        let begin = "it waits for its turn at pager: ";
        for (health, why) in [
            (Health::default(), "held by a limit, or behind what goes before it"),
            (
                Health { failures: 5, open_until: later, held_until: later, ..Health::default() },
                "after 5 failures in a row it is left alone until 2023-11-14T22:14:00Z",
            ),
            (
                Health { held_until: later, open_until: Some(NOW), ..Health::default() },
                "it asked to be left alone until 2023-11-14T22:14:00Z",
            ),
            (
                Health { disabled: Some("it is gone".into()), open_until: later, ..Health::default() },
                "nothing is sent there any more: it is gone",
            ),
        ] {
            assert_eq!(said(health, &waits), format!("{begin}{why}"));
        }
        let holds = Holds { disabled: ["pager".to_owned()].into(), now: NOW, ..Holds::default() };
        assert_eq!(fate(&waits, &holds), format!("{begin}nothing is sent there while it is disabled"));
        let failed =
            Delivery { attempts: 2, due: NOW + Duration::from_secs(4), reason: "busy".into(), ..waits };
        assert_eq!(
            said(Health::default(), &failed),
            "it waits for attempt 3 at pager (not before 2023-11-14T22:13:24Z): busy"
        );
    }
}
