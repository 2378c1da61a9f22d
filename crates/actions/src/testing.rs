//! What several tests of this crate begin with.

use cornjacket_domain::Timestamp;
use cornjacket_store::{Delivery, DeliveryState, NewDelivery};

/// When tests begin.
pub const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// A delivery that waits for its first attempt.
pub fn delivery(id: &str, endpoint: &str) -> Delivery {
    Delivery {
        number: 1,
        told: NewDelivery {
            id: id.into(),
            endpoint: endpoint.into(),
            decision: "decision".into(),
            rule: "hot".into(),
            rule_version: 1,
            source: "sensors".into(),
            event_id: "7".into(),
            order_key: "pump-7".into(),
            ordered: false,
            gathers: false,
            priority: 1,
            message: Vec::new(),
            now: NOW,
        },
        state: DeliveryState::Pending,
        due: NOW,
        attempts: 0,
        attempts_before: 0,
        steps: 0,
        fence: 0,
        reason: String::new(),
        settled: None,
        told_with: None,
    }
}
