//! Choosing what is sent next: what is due, most urgent first, within slots, breakers, order and limits.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_store::{Delivery, StoreError, Tx, Wanted};

use crate::breaker;
use crate::limits::Rate;

/// What an endpoint says of how it is sent to.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Its name.
    pub endpoint: &'a str,
    /// Deliveries under way at once.
    pub slots: u32,
    /// Whether those of one key keep their order.
    pub ordered: bool,
    /// Attempts, at the most.
    pub rate: Option<Rate>,
}

/// How much may be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Attempts at all endpoints, at the most.
    pub rate: Option<Rate>,
    /// Deliveries that whoever asks can take on.
    pub most: u32,
    /// How long they are that process's own.
    pub lease: Duration,
}

/// What was chosen.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Deliveries as they were before: an attempt at each has begun.
    pub deliveries: Vec<Delivery>,
    /// When what is held now may go on by itself.
    pub next: Option<Timestamp>,
}

impl Claimed {
    fn wait_until(&mut self, time: Timestamp) {
        self.next = Some(self.next.map_or(time, |next| next.min(time)));
    }
}

/// Chooses among deliveries to these endpoints, none of which is disabled by an operator. Whoever calls has the turn.
pub async fn claim(
    tx: &mut dyn Tx,
    endpoints: &[Terms<'_>],
    bounds: &Bounds,
    now: Timestamp,
) -> Result<Claimed, StoreError> {
    let mut claimed = Claimed::default();
    let Some(most) = room(tx, None, bounds.rate, bounds.most, now, &mut claimed).await? else {
        return Ok(claimed);
    };
    let wanted = wanted(tx, endpoints, now, &mut claimed).await?;
    if most == 0 || wanted.is_empty() {
        return Ok(claimed);
    }
    claimed.deliveries = tx.deliverable(now, &wanted, most).await?;
    if !claimed.deliveries.is_empty() {
        tx.begin_attempts(&claimed.deliveries, now, bounds.lease).await?;
    }
    Ok(claimed)
}

async fn wanted<'a>(
    tx: &mut dyn Tx,
    endpoints: &[Terms<'a>],
    now: Timestamp,
    claimed: &mut Claimed,
) -> Result<Vec<Wanted<'a>>, StoreError> {
    let (health, under_way) = (tx.health().await?, tx.under_way().await?);
    let mut wanted = Vec::with_capacity(endpoints.len());
    for terms in endpoints {
        let health = health.get(terms.endpoint).cloned().unwrap_or_default();
        let slots = match breaker::slots(&health, terms.slots, now) {
            Ok(slots) => slots.saturating_sub(under_way.get(terms.endpoint).copied().unwrap_or_default()),
            Err(until) => {
                if let Some(until) = until {
                    claimed.wait_until(until);
                }
                continue;
            }
        };
        if slots == 0 {
            continue;
        }
        if let Some(most) = room(tx, Some(terms.endpoint), terms.rate, slots, now, claimed).await? {
            wanted.push(Wanted { endpoint: terms.endpoint, most, ordered: terms.ordered });
        }
    }
    Ok(wanted)
}

/// How many attempts may begin, `most` at the most; nothing when a limit leaves none.
async fn room(
    tx: &mut dyn Tx,
    endpoint: Option<&str>,
    rate: Option<Rate>,
    most: u32,
    now: Timestamp,
    claimed: &mut Claimed,
) -> Result<Option<u32>, StoreError> {
    let Some(rate) = rate else { return Ok(Some(most)) };
    let begun = tx.begun_after(endpoint, rate.forgotten_at(now), rate.count).await?;
    Ok(match rate.room(&begun) {
        Ok(room) => Some(room.min(most)),
        Err(until) => {
            claimed.wait_until(until);
            None
        }
    })
}
