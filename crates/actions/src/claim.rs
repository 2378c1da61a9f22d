//! Choosing what is sent next: what is due, most urgent first, within slots, breakers, order and limits.

use std::collections::HashMap;
use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_store::{Delivery, StoreError, Tx, Wanted};

use crate::limits::Rate;
use crate::{breaker, digest};

/// What a delivery is a process's own for beyond the endpoint's timeout: to begin the attempt, and to note what came of it. That is
/// longer than a round waits for the store, so that a store that is slow has nothing sent twice.
const MARGIN: Duration = Duration::from_secs(15);

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
    /// How long one attempt may take.
    pub timeout: Duration,
}

/// How much may be chosen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Attempts at all endpoints, at the most.
    pub rate: Option<Rate>,
    /// Deliveries that whoever asks can take on.
    pub most: u32,
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
    let open = open(tx, endpoints, most, now, &mut claimed).await?;
    let free: Vec<Wanted<'_>> = open.iter().filter_map(Open::within_slots).collect();
    if most == 0 || free.is_empty() {
        return Ok(claimed);
    }
    claimed.deliveries = tx.deliverable(now, &free, most).await?;
    if bounds.rate.is_some() {
        leave_to_the_urgent(tx, &open, &mut claimed.deliveries, most, now).await?;
    }
    digest::gather(tx, &mut claimed.deliveries, now).await?;
    begin(tx, endpoints, &mut claimed.deliveries, now).await?;
    Ok(claimed)
}

/// Begins attempts, each under a lease as long as its endpoint may take: one that is slow keeps nobody from taking over what was
/// for another.
async fn begin(
    tx: &mut dyn Tx,
    endpoints: &[Terms<'_>],
    deliveries: &mut [Delivery],
    now: Timestamp,
) -> Result<(), StoreError> {
    let timeouts: HashMap<&str, Duration> =
        endpoints.iter().map(|terms| (terms.endpoint, terms.timeout)).collect();
    let timeout =
        |delivery: &Delivery| timeouts.get(delivery.told.endpoint.as_str()).copied().unwrap_or_default();
    deliveries.sort_by_key(timeout);
    for alike in deliveries.chunk_by(|one, next| timeout(one) == timeout(next)) {
        tx.begin_attempts(alike, now, timeout(&alike[0]) + MARGIN).await?;
    }
    deliveries.sort_by_key(|delivery| (delivery.told.priority, delivery.number));
    Ok(())
}

/// An endpoint that may be sent to.
struct Open<'a> {
    /// Within its own limit, whether it has slots for them or not.
    wanted: Wanted<'a>,
    /// Slots that are free.
    free: u32,
}

impl<'a> Open<'a> {
    fn within_slots(&self) -> Option<Wanted<'a>> {
        let most = self.free.min(self.wanted.most);
        (most > 0).then_some(Wanted { most, ..self.wanted })
    }
}

/// What waits for a slot alone keeps its place within the limit of all endpoints: of what is less urgent, only so many are left
/// as have room beside it. So pages to one endpoint are not overtaken by digests to another; of the same urgency nobody waits for
/// another endpoint.
async fn leave_to_the_urgent(
    tx: &mut dyn Tx,
    endpoints: &[Open<'_>],
    chosen: &mut Vec<Delivery>,
    room: u32,
    now: Timestamp,
) -> Result<(), StoreError> {
    let alike = |one: &Delivery, other: &Delivery| one.told.priority == other.told.priority;
    if endpoints.iter().all(|one| one.free >= one.wanted.most) {
        return Ok(());
    }
    let all: Vec<Wanted<'_>> = endpoints.iter().map(|one| one.wanted).collect();
    let waiting = tx.deliverable(now, &all, room).await?;
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    let mut left = Vec::with_capacity(chosen.len());
    for same in chosen.chunk_by(alike) {
        let before = waiting.iter().filter(|one| one.told.priority < same[0].told.priority).count();
        left.extend_from_slice(&same[..same.len().min(room - before)]);
    }
    *chosen = left;
    Ok(())
}

/// Endpoints that may be sent to, each with what it may have of `most`.
async fn open<'a>(
    tx: &mut dyn Tx,
    endpoints: &[Terms<'a>],
    most: u32,
    now: Timestamp,
    claimed: &mut Claimed,
) -> Result<Vec<Open<'a>>, StoreError> {
    let (health, under_way) = (tx.health().await?, tx.under_way().await?);
    let mut open = Vec::with_capacity(endpoints.len());
    for terms in endpoints {
        let health = health.get(terms.endpoint).cloned().unwrap_or_default();
        let slots = match breaker::slots(&health, terms.slots, now) {
            Ok(slots) => slots,
            Err(until) => {
                if let Some(until) = until {
                    claimed.wait_until(until);
                }
                continue;
            }
        };
        let free = slots.saturating_sub(under_way.get(terms.endpoint).copied().unwrap_or_default());
        // Behind a probe nothing waits for a slot: it waits for what comes of the probe.
        let most = if slots < terms.slots { free } else { most };
        if most == 0 {
            continue;
        }
        if let Some(most) = room(tx, Some(terms.endpoint), terms.rate, most, now, claimed).await? {
            open.push(Open {
                wanted: Wanted { endpoint: terms.endpoint, most, ordered: terms.ordered },
                free,
            });
        }
    }
    Ok(open)
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
