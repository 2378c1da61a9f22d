//! The laws of [`Outlooks`](crate::Outlooks).

use std::time::Duration;

use super::fixtures::{clock, noon};
use super::{Backend, laws};
use crate::{Episode, Next, Outlook, SeriesId, Store};

laws!(
    an_outlook_is_kept_with_its_events_or_not_at_all,
    outlooks_are_by_rule_and_series,
    of_two_that_follow_the_same_one_is_kept,
);

const SERIES: SeriesId = SeriesId(7);

fn outlook(position: u64) -> Outlook {
    let last = (noon() + Duration::from_secs(position), position);
    let up = Episode { since: position, limit: 80.5 };
    let down = Episode { since: u64::MAX >> 1, limit: -1e300 };
    Outlook { last, up: Some(up), down: position.is_multiple_of(2).then_some(down) }
}

async fn follow(
    store: &Store,
    before: Option<Outlook>,
    outlook: Outlook,
    events: &[Vec<u8>],
) -> anyhow::Result<bool> {
    let next = Next { rule: "hot", series: SERIES, before, outlook, events };
    Ok(store.outlooks.follow(&next).await?)
}

async fn known(store: &Store, rule: &str, series: SeriesId) -> anyhow::Result<Option<Outlook>> {
    Ok(store.outlooks.load(rule, &[series]).await?.remove(&series))
}

async fn waiting(store: &Store) -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(store.outbox.waiting(99).await?.into_iter().map(|(_, event)| event).collect())
}

async fn an_outlook_is_kept_with_its_events_or_not_at_all(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let mut watch = store.outbox.watch();
    assert!(follow(&store, None, outlook(1), &[]).await?);
    assert!(!watch.has_changed()?, "nothing was sent");
    assert!(follow(&store, Some(outlook(1)), outlook(2), &[vec![1], vec![2, 3]]).await?);
    assert!(watch.has_changed()?, "the forwarder is woken");
    watch.mark_unchanged();
    assert_eq!(known(&store, "hot", SERIES).await?, Some(outlook(2)));
    assert!(!follow(&store, Some(outlook(1)), outlook(3), &[vec![4]]).await?, "another one is there");
    assert!(!follow(&store, None, outlook(3), &[vec![5]]).await?, "it is not the first");
    assert!(!watch.has_changed()?);
    assert_eq!(waiting(&store).await?, [vec![1], vec![2, 3]]);
    assert_eq!(known(&store, "hot", SERIES).await?, Some(outlook(2)));
    let over = Outlook { up: None, down: None, ..outlook(4) };
    assert!(follow(&store, Some(outlook(2)), over, &[]).await?);
    assert_eq!(known(&store, "hot", SERIES).await?, Some(over));
    Ok(())
}

async fn outlooks_are_by_rule_and_series(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let ids: Vec<SeriesId> = (1..=300).map(SeriesId).collect();
    for id in &ids[..290] {
        let next = Next { rule: "hot", series: *id, before: None, outlook: outlook(3), events: &[] };
        assert!(store.outlooks.follow(&next).await?);
    }
    assert_eq!(store.outlooks.load("hot", &ids).await?.len(), 290);
    assert_eq!(store.outlooks.load("hot", &ids[280..]).await?.len(), 10);
    assert!(store.outlooks.load("hot", &[]).await?.is_empty());
    assert!(store.outlooks.load("cold", &ids).await?.is_empty());
    Ok(())
}

async fn of_two_that_follow_the_same_one_is_kept(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    assert!(follow(&store, None, outlook(1), &[]).await?);
    let events = [[vec![2]], [vec![3]]];
    let (one, other) = tokio::join!(
        follow(&store, Some(outlook(1)), outlook(2), &events[0]),
        follow(&store, Some(outlook(1)), outlook(3), &events[1]),
    );
    assert!(one? != other?, "one of them");
    assert_eq!(waiting(&store).await?.len(), 1);
    Ok(())
}
