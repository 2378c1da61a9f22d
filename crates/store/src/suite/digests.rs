//! The laws of digests: what waits becomes part of one delivery that goes, and shares its fate.

use std::time::Duration;

use super::deliveries::{LEASE, claim, deliver, due, ids, settle, told, wanted};
use super::fixtures::{clock, noon};
use super::{Backend, laws};
use crate::{Delivery, DeliveryState, NewDelivery, Revived, Store};

laws!(what_waits_becomes_part_of_one_that_goes, a_digest_is_missed_as_long_as_a_part_of_it_is);

async fn what_waits_becomes_part_of_one_that_goes(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let gathers = |id: &str, key: &str| NewDelivery { gathers: true, ..told(id, "a", key, 1) };
    let tried = claim_after_failing(&store, gathers("tried", "w")).await?;
    let all = [
        gathers("head", "x"),
        gathers("part", "y"),
        gathers("behind", "w"),
        told("alone", "a", "z", 1),
        gathers("behind too", "z"),
        NewDelivery { endpoint: "b".into(), ..gathers("elsewhere", "x") },
        NewDelivery { rule: "cold".into(), ..gathers("of another rule", "x") },
        gathers("last", "y"),
    ];
    deliver(&store, &all).await?;
    let mut tx = store.offsets.begin_apart().await?;
    let waiting = tx.deliverable(noon(), &[wanted("a", 9, false)], 9).await?;
    let by_id = |id: &str| waiting.iter().find(|one| one.told.id == id).expect("it is due");
    let head = by_id("head");
    let parts = tx.gatherable(head, 9).await?;
    assert_eq!(ids(&parts), ["part", "last"], "what waits behind what is told apart waits on");
    assert_eq!(ids(&tx.gatherable(head, 1).await?), ["part"]);
    assert_eq!(tx.gatherable(by_id("alone"), 9).await?, []);
    assert_eq!(tx.gatherable(&tried, 9).await?, [], "its receiver may have heard it");
    tx.gather(&parts, "head", b"all of it", noon()).await?;
    tx.commit().await?;
    let get = async |id: &str| anyhow::Ok(store.deliveries.get(id).await?.expect("it is told").0);
    assert_eq!(
        (get("head").await?.told.message, get("head").await?.told_with),
        (b"all of it".to_vec(), None)
    );
    let part = get("part").await?;
    assert_eq!((part.state, part.told_with.as_deref()), (DeliveryState::Gathered, Some("head")));
    assert_eq!(part.settled, Some(noon()));
    let left = due(&store, noon(), &[wanted("a", 9, false)], 9).await?;
    assert!(!ids(&left).contains(&"part") && ids(&left).contains(&"head"), "{left:?}");
    Ok(())
}

async fn a_digest_is_missed_as_long_as_a_part_of_it_is(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let later = noon() + Duration::from_mins(1);
    let head = NewDelivery { gathers: true, ..told("head", "a", "x", 1) };
    deliver(&store, &[head, NewDelivery { gathers: true, now: later, ..told("part", "a", "y", 1) }]).await?;
    let part = store.deliveries.get("part").await?.expect("it is told").0;
    let mut tx = store.offsets.begin_apart().await?;
    tx.gather(&[part], "head", b"both", later).await?;
    tx.commit().await?;
    let claimed = claim(&store, "a", later, LEASE).await?;
    assert!(settle(&store, &claimed, DeliveryState::Dead, later).await?);
    let missed = async |since| {
        let mut tx = store.offsets.begin_apart().await?;
        let revived = tx.revive(&Revived::Missed("a", since), later).await?;
        anyhow::Ok(revived)
    };
    assert_eq!(missed(later + Duration::from_secs(1)).await?, 0);
    assert_eq!(missed(later).await?, 1, "its part was decided then");
    Ok(())
}

/// One that was tried once, and is to be tried again.
async fn claim_after_failing(store: &Store, delivery: NewDelivery) -> anyhow::Result<Delivery> {
    deliver(store, std::slice::from_ref(&delivery)).await?;
    let claimed = claim(store, &delivery.endpoint, noon(), LEASE).await?;
    settle(store, &claimed, DeliveryState::Pending, noon() + Duration::from_mins(1)).await?;
    Ok(store.deliveries.get(&delivery.id).await?.expect("it is told").0)
}
