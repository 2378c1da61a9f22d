//! The laws of [`Deliveries`](crate::Deliveries): nothing is sent twice at once, and only who claimed last says what came of it.

use std::time::Duration;

use cornjacket_domain::Timestamp;

use super::fixtures::{clock, noon};
use super::{Backend, laws};
use crate::{
    AttemptResult, DefinitionKind, Delivery, DeliveryFilter, DeliveryState, Health, NewDelivery,
    Redefinition, Revived, Settling, Store, Wanted,
};

laws!(
    what_is_due_comes_by_priority_and_order_within_what_is_wanted,
    only_who_claimed_last_says_what_came_of_it,
    attempts_are_counted_by_time_and_endpoint,
    health_is_known_once_it_is_told,
    what_is_told_wakes_and_is_told_once,
    what_waits_for_nobody_is_given_up,
    what_is_over_is_sent_again_when_that_is_wanted,
    who_ends_leaves_nothing_to_who_comes_after,
    what_nobody_else_can_have_under_way_is_free_at_once,
);

pub(super) const LEASE: Duration = Duration::from_mins(1);

pub(super) fn told(id: &str, endpoint: &str, order_key: &str, priority: i16) -> NewDelivery {
    NewDelivery {
        id: id.into(),
        endpoint: endpoint.into(),
        decision: format!("decision of {id}"),
        rule: "hot".into(),
        rule_version: 2,
        source: "sensors".into(),
        event_id: "7".into(),
        order_key: order_key.into(),
        ordered: false,
        gathers: false,
        priority,
        message: vec![0, 1, 255],
        now: noon(),
    }
}

pub(super) async fn deliver(store: &Store, deliveries: &[NewDelivery]) -> anyhow::Result<()> {
    let mut tx = store.offsets.begin_apart().await?;
    tx.deliver(deliveries).await?;
    Ok(tx.commit().await?)
}

pub(super) const fn wanted(endpoint: &str, most: u32, ordered: bool) -> Wanted<'_> {
    Wanted { endpoint, most, ordered }
}

pub(super) async fn due(
    store: &Store,
    now: Timestamp,
    wanted: &[Wanted<'_>],
    most: u32,
) -> anyhow::Result<Vec<Delivery>> {
    Ok(store.offsets.begin_apart().await?.deliverable(now, wanted, most).await?)
}

pub(super) fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|one| one.told.id.as_str()).collect()
}

/// Claims what is due to an endpoint, one at the most.
pub(super) async fn claim(
    store: &Store,
    endpoint: &str,
    now: Timestamp,
    lease: Duration,
) -> anyhow::Result<Delivery> {
    let mut tx = store.offsets.begin_apart().await?;
    tx.take_turn().await?;
    let due = tx.deliverable(now, &[wanted(endpoint, 1, false)], 1).await?;
    tx.begin_attempts(&due, now, lease).await?;
    tx.commit().await?;
    Ok(due.into_iter().next().expect("one is due"))
}

/// Says what came of the attempt that was begun on a delivery as it was then.
pub(super) async fn settle(
    store: &Store,
    claimed: &Delivery,
    state: DeliveryState,
    due: Timestamp,
) -> anyhow::Result<bool> {
    let result = AttemptResult {
        outcome: 2,
        took: Some(Duration::from_millis(7)),
        status: 503,
        error: "busy".into(),
        response: b"later".to_vec(),
        address: "192.0.2.1:443".into(),
    };
    let settling = Settling {
        id: &claimed.told.id,
        fence: claimed.fence + 1,
        attempt: claimed.attempts + 1,
        result: &result,
        state,
        due,
        steps: claimed.steps + 1,
        now: noon(),
    };
    let mut tx = store.offsets.begin_apart().await?;
    let settled = tx.settle_delivery(&settling).await?;
    tx.commit().await?;
    Ok(settled)
}

async fn what_is_due_comes_by_priority_and_order_within_what_is_wanted(
    backend: Backend,
) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let all = [
        told("a1", "a", "x", 2),
        told("a2", "a", "y", 2),
        told("a3", "a", "x", 1),
        told("b1", "b", "x", 2),
        told("c1", "c", "x", 0),
    ];
    deliver(&store, &all).await?;
    let both = [wanted("a", 9, false), wanted("b", 9, false)];
    assert_eq!(ids(&due(&store, noon(), &both, 9).await?), ["a3", "a1", "a2", "b1"]);
    assert_eq!(ids(&due(&store, noon(), &both, 2).await?), ["a3", "a1"]);
    let few = [wanted("a", 1, false), wanted("b", 9, false), wanted("d", 9, false)];
    assert_eq!(ids(&due(&store, noon(), &few, 9).await?), ["a3", "b1"]);
    let ordered = [wanted("a", 9, true)];
    assert_eq!(ids(&due(&store, noon(), &ordered, 9).await?), ["a1", "a2"], "the first of each key");
    assert!(due(&store, noon() + Duration::from_secs(0), &[], 9).await?.is_empty());
    let before = Timestamp::from_micros(noon().as_micros() - 1);
    assert!(due(&store, before, &both, 9).await?.is_empty());
    assert_eq!(store.deliveries.next_due(before).await?, Some(noon()));
    assert_eq!(store.deliveries.next_due(noon()).await?, None);
    // One that is under way or waits for another try holds up its key; one that is settled does not.
    let first = claim(&store, "a", noon(), LEASE).await?;
    assert_eq!(ids(std::slice::from_ref(&first)), ["a3"]);
    let first = claim(&store, "a", noon(), LEASE).await?;
    assert_eq!(ids(&due(&store, noon(), &ordered, 9).await?), ["a2"]);
    let later = noon() + Duration::from_secs(1);
    assert!(settle(&store, &first, DeliveryState::Pending, later).await?);
    assert_eq!(ids(&due(&store, noon(), &ordered, 9).await?), ["a2"]);
    assert_eq!(store.deliveries.next_due(noon()).await?, Some(later));
    assert_eq!(ids(&due(&store, later, &ordered, 9).await?), ["a1", "a2"]);
    Ok(())
}

async fn only_who_claimed_last_says_what_came_of_it(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    deliver(&store, &[told("a1", "a", "x", 2)]).await?;
    let first = claim(&store, "a", noon(), Duration::ZERO).await?;
    assert!(due(&store, noon(), &[wanted("a", 9, false)], 9).await?.is_empty(), "it is under way");
    let mut tx = store.offsets.begin_apart().await?;
    assert_eq!(tx.under_way().await?["a"], 1);
    let abandoned = tx.abandoned(9).await?;
    assert_eq!(ids(&abandoned), ["a1"]);
    drop(tx);
    assert!(settle(&store, &first, DeliveryState::Pending, noon()).await?, "by whoever takes it over");
    let second = claim(&store, "a", noon(), LEASE).await?;
    assert_eq!((second.fence, second.attempts, second.steps), (1, 1, 1));
    assert!(store.offsets.begin_apart().await?.abandoned(9).await?.is_empty());
    assert!(!settle(&store, &first, DeliveryState::Delivered, noon()).await?, "too late");
    assert!(settle(&store, &second, DeliveryState::Delivered, noon()).await?);
    assert!(!settle(&store, &second, DeliveryState::Dead, noon()).await?, "once");
    let (delivery, attempts) = store.deliveries.get("a1").await?.expect("it is there");
    assert_eq!((delivery.state, delivery.settled), (DeliveryState::Delivered, Some(noon())));
    assert_eq!((delivery.attempts, delivery.steps, delivery.reason.as_str()), (2, 2, "busy"));
    assert_eq!(delivery.told, told("a1", "a", "x", 2));
    let results: Vec<_> = attempts.iter().map(|one| (one.number, one.began, one.result.status)).collect();
    assert_eq!(results, [(1, noon(), 503), (2, noon(), 503)]);
    assert_eq!(attempts[1].result.response, b"later");
    assert_eq!(attempts[1].result.took, Some(Duration::from_millis(7)));
    assert_eq!(store.deliveries.get("a2").await?, None);
    let filter =
        DeliveryFilter { endpoint: Some("a".into()), state: Some(delivery.state), ..Default::default() };
    assert_eq!(store.deliveries.list(&filter, None, 9).await?, std::slice::from_ref(&delivery));
    assert!(store.deliveries.list(&filter, Some(delivery.number), 9).await?.is_empty());
    let others = DeliveryFilter { rule: Some("cold".into()), ..Default::default() };
    assert!(store.deliveries.list(&others, None, 9).await?.is_empty());
    Ok(())
}

async fn attempts_are_counted_by_time_and_endpoint(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    deliver(&store, &[told("a1", "a", "x", 2), told("a2", "a", "x", 2), told("b1", "b", "x", 2)]).await?;
    let at = |second| noon() + Duration::from_secs(second);
    for (endpoint, second) in [("a", 1), ("b", 2), ("a", 3)] {
        claim(&store, endpoint, at(second), LEASE).await?;
    }
    let mut tx = store.offsets.begin_apart().await?;
    assert_eq!(tx.begun_after(None, noon(), 9).await?, [at(3), at(2), at(1)]);
    assert_eq!(tx.begun_after(None, noon(), 2).await?, [at(3), at(2)]);
    assert_eq!(tx.begun_after(Some("a"), at(1), 9).await?, [at(3)]);
    assert_eq!(tx.begun_after(Some("c"), noon(), 9).await?, []);
    Ok(())
}

async fn health_is_known_once_it_is_told(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let mut tx = store.offsets.begin_apart().await?;
    assert!(tx.health().await?.is_empty());
    assert_eq!(tx.lock_health("a").await?, Health::default());
    let health = Health {
        failures: 5,
        open_until: Some(noon()),
        held_until: None,
        failing_since: Some(noon()),
        disabled: Some("410".into()),
    };
    tx.set_health("a", &health).await?;
    assert_eq!(tx.lock_health("a").await?, health);
    assert_eq!(tx.health().await?["a"], health);
    tx.commit().await?;
    assert_eq!(store.deliveries.health().await?["a"], health);
    Ok(())
}

async fn what_is_told_wakes_and_is_told_once(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let mut watch = store.deliveries.watch();
    deliver(&store, &[told("a1", "a", "x", 2)]).await?;
    assert!(watch.has_changed()?);
    watch.mark_unchanged();
    deliver(&store, &[told("a1", "b", "y", 1), told("a2", "a", "x", 2)]).await?;
    let all = store.deliveries.list(&DeliveryFilter::default(), None, 9).await?;
    assert_eq!(ids(&all), ["a2", "a1"]);
    assert_eq!(all[1].told, told("a1", "a", "x", 2));
    let mut tx = store.offsets.begin_apart().await?;
    tx.deliver(&[told("a3", "a", "x", 2)]).await?;
    watch.mark_unchanged();
    drop(tx);
    assert!(!watch.has_changed()?, "it never was");
    Ok(())
}

async fn what_waits_for_nobody_is_given_up(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    deliver(&store, &[told("a1", "a", "x", 2), told("b1", "b", "x", 2), told("b2", "b", "x", 2)]).await?;
    let door = Redefinition {
        revision: 0,
        kind: DefinitionKind::Endpoint,
        name: "a",
        bytes: Some(b"door"),
        secret: None,
        forgives: false,
        by: None,
        now: noon(),
    };
    store.defining.redefine(&door).await?;
    claim(&store, "b", noon(), LEASE).await?;
    let mut tx = store.offsets.begin_apart().await?;
    assert_eq!(tx.give_up_orphans(noon()).await?, 1, "one of them is under way");
    tx.commit().await?;
    let of = async |id: &str| anyhow::Ok(store.deliveries.get(id).await?.expect("it is there").0);
    let given_up = of("b2").await?;
    assert_eq!((given_up.state, given_up.settled), (DeliveryState::Dead, Some(noon())));
    assert!(given_up.reason.contains("no more"), "{}", given_up.reason);
    assert_eq!(of("b1").await?.state, DeliveryState::Sending);
    assert_eq!(of("a1").await?.state, DeliveryState::Pending);
    Ok(())
}

async fn what_is_over_is_sent_again_when_that_is_wanted(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let later = noon() + Duration::from_secs(9);
    let second = NewDelivery { now: later, ..told("a2", "a", "x", 2) };
    deliver(&store, &[told("a1", "a", "x", 2), second, told("b1", "b", "x", 2)]).await?;
    for (endpoint, state) in
        [("a", DeliveryState::Dead), ("a", DeliveryState::Dead), ("b", DeliveryState::Delivered)]
    {
        let claimed = claim(&store, endpoint, later, LEASE).await?;
        assert!(settle(&store, &claimed, state, later).await?);
    }
    let revive = async |which: Revived<'_>| {
        let mut tx = store.offsets.begin_apart().await?;
        let revived = tx.revive(&which, later).await?;
        tx.commit().await?;
        anyhow::Ok(revived)
    };
    assert_eq!(revive(Revived::Missed("b", noon())).await?, 0, "it has arrived");
    assert_eq!(revive(Revived::Missed("a", later)).await?, 1);
    assert_eq!(revive(Revived::Missed("a", noon())).await?, 1, "the other waits already");
    assert_eq!(revive(Revived::One("b1")).await?, 1);
    assert_eq!(revive(Revived::One("b1")).await?, 0, "it waits");
    let (again, attempts) = store.deliveries.get("a2").await?.expect("it is there");
    assert_eq!(
        (again.state, again.due, again.steps, again.settled),
        (DeliveryState::Pending, later, 0, None)
    );
    assert_eq!((again.attempts, attempts.len()), (1, 1), "what was is kept");
    assert_eq!(again.attempts_before, 1, "and no longer counts");
    Ok(())
}

async fn who_ends_leaves_nothing_to_who_comes_after(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    deliver(&store, &[told("a1", "a", "x", 1), told("b1", "b", "x", 1)]).await?;
    for (revision, bytes) in [(0, Some(b"one".as_slice())), (1, None), (2, Some(b"another".as_slice()))] {
        let change = Redefinition {
            revision,
            kind: DefinitionKind::Endpoint,
            name: "a",
            bytes,
            secret: None,
            forgives: true,
            by: None,
            now: noon(),
        };
        store.defining.redefine(&change).await?;
    }
    let due = due(&store, noon(), &[wanted("a", 9, false), wanted("b", 9, false)], 9).await?;
    assert_eq!(ids(&due), ["b1"]);
    let (given_up, _) = store.deliveries.get("a1").await?.expect("it is kept");
    assert_eq!((given_up.state, given_up.reason.as_str()), (DeliveryState::Dead, "its endpoint is no more"));
    Ok(())
}

async fn what_nobody_else_can_have_under_way_is_free_at_once(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    deliver(&store, &[told("a1", "a", "x", 1)]).await?;
    claim(&store, "a", noon(), LEASE).await?;
    drop(store);
    let store = backend.open(clock()).await?;
    let abandoned = store.offsets.begin_apart().await?.abandoned(9).await?;
    // On PostgreSQL it may be another process that has it, and its lease goes on.
    let is_alone = backend.url.starts_with("sqlite");
    assert_eq!(ids(&abandoned).is_empty(), !is_alone, "{abandoned:?}");
    Ok(())
}
