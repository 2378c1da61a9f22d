//! The laws of [`GroupsTx`](crate::GroupsTx): a group is changed by one at a time, and what is due is found.

use std::time::Duration;

use super::fixtures::{clock, noon};
use super::{Backend, laws};
use crate::{Group, GroupKey, Store};

laws!(
    a_group_is_kept_as_it_is_and_found_when_it_is_due,
    of_many_who_add_to_one_at_once_each_sees_what_the_others_added,
    one_that_many_add_to_is_told,
);

fn key(key: &str) -> GroupKey {
    GroupKey { rule: "hot".into(), key: key.into() }
}

async fn put(store: &Store, group: &Group) -> anyhow::Result<()> {
    let mut tx = store.offsets.begin_apart().await?;
    tx.lock_groups(std::slice::from_ref(&group.id)).await?;
    tx.put_groups(std::slice::from_ref(group)).await?;
    Ok(tx.commit().await?)
}

async fn due(store: &Store, seconds: u64) -> anyhow::Result<Vec<Group>> {
    let now = noon() + Duration::from_secs(seconds);
    let mut tx = store.offsets.begin_apart().await?;
    let found = tx.due_groups(now, 9).await?;
    // Only then they are free for the next who looks.
    tx.commit().await?;
    Ok(found)
}

async fn a_group_is_kept_as_it_is_and_found_when_it_is_due(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let mut told = store.deliveries.watch();
    told.mark_unchanged();
    let soon = Group {
        id: key("b"),
        due: Some(noon() + Duration::from_secs(5)),
        told: Some(noon()),
        waiting: vec![0, 255],
    };
    let later = Group { due: Some(noon() + Duration::from_secs(9)), ..Group::new(key("a")) };
    let quiet = Group { told: Some(noon()), ..Group::new(key("")) };
    for group in [&soon, &later, &quiet] {
        put(&store, group).await?;
    }
    assert!(told.has_changed()?, "whoever sleeps until something is due thinks of another time");
    assert_eq!(store.deliveries.next_due(noon()).await?, soon.due);
    assert_eq!(due(&store, 4).await?, []);
    assert_eq!(due(&store, 5).await?, std::slice::from_ref(&soon));
    assert_eq!(due(&store, 9).await?, [later.clone(), soon.clone()]);
    let mut tx = store.offsets.begin_apart().await?;
    assert_eq!(tx.due_groups(noon() + Duration::from_secs(9), 1).await?, std::slice::from_ref(&soon));
    tx.commit().await?;
    let keys = [key(""), key("a"), key("c")];
    let found = store.offsets.begin_apart().await?.lock_groups(&keys).await?;
    assert_eq!((&found[&keys[0]], &found[&keys[1]]), (&quiet, &later));
    assert_eq!(found[&keys[2]], Group::new(key("c")), "nothing is known of it");
    put(&store, &Group { due: None, ..soon }).await?;
    assert_eq!(due(&store, 9).await?, [later]);
    Ok(())
}

async fn of_many_who_add_to_one_at_once_each_sees_what_the_others_added(
    backend: Backend,
) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let add = async |what: u8| {
        let mut tx = store.offsets.begin_apart().await?;
        let keys = [key("a"), key("b")];
        let found = tx.lock_groups(&keys).await?;
        let added = keys.map(|key| {
            let mut group = found[&key].clone();
            group.waiting.push(what);
            group
        });
        tx.put_groups(&added).await?;
        anyhow::Ok(tx.commit().await?)
    };
    tokio::try_join!(add(1), add(2), add(3), add(4))?;
    let found = store.offsets.begin_apart().await?.lock_groups(&[key("a"), key("b")]).await?;
    for group in found.values() {
        let mut added = group.waiting.clone();
        added.sort_unstable();
        assert_eq!(added, [1, 2, 3, 4]);
    }
    Ok(())
}

/// Whoever adds has the next one behind it; whoever tells has its turn all the same.
async fn one_that_many_add_to_is_told(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    put(&store, &Group { due: Some(noon()), ..Group::new(key("a")) }).await?;
    let add = async || -> anyhow::Result<std::convert::Infallible> {
        loop {
            let mut tx = store.offsets.begin_apart().await?;
            tx.lock_groups(&[key("a")]).await?;
            // Somebody else waits for it by now.
            tokio::time::sleep(Duration::from_millis(20)).await;
            tx.commit().await?;
        }
    };
    let tell = async {
        // Not the first: all of them are at it.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut tx = store.offsets.begin_apart().await?;
        let found = tx.due_groups(noon(), 9).await?;
        tx.commit().await?;
        anyhow::Ok(found.len())
    };
    tokio::select! {
        told = tell => assert_eq!(told?, 1),
        adding = async { tokio::try_join!(add(), add(), add()) } => match adding?.0 {},
    }
    Ok(())
}
