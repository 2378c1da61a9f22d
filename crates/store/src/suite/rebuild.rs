//! The laws of [`Rebuilds`](crate::Rebuilds).

use std::time::Duration;

use super::fixtures::{clock, noon, snapshot};
use super::{Backend, laws};
use crate::{Build, ConsumerPartition, Progress, ProjectionId, State, Store, StoreError, Tx};

const PROJECTION: ProjectionId = ProjectionId { name: "law", version: 1 };

laws!(
    a_build_answers_from_its_commit_on_and_not_before,
    of_two_builds_the_one_begun_last_goes_live,
    a_consumer_that_is_held_stands_still,
    another_versions_fold_changes_nothing_that_is_live,
    expired_states_leave,
);

fn state(subject: &str, json: &str, last_position: u64) -> State {
    State { subject: subject.into(), json: json.into(), last_position, event_time: noon() }
}

async fn begin(store: &Store) -> anyhow::Result<Box<dyn Tx>> {
    let at = ConsumerPartition { consumer: "law".into(), topic: "sensor-events", partition: 0 };
    let from = store.offsets.load(&at).await?;
    let to = Progress { next_offset: from.next_offset + 1, last_position: from.last_position + 1 };
    Ok(store.offsets.begin(&at, from, to).await?.expect("nobody else"))
}

async fn live(store: &Store, states: &[State]) -> anyhow::Result<()> {
    let mut tx = begin(store).await?;
    tx.save_states(PROJECTION, Build::Live, states).await?;
    Ok(tx.commit().await?)
}

async fn json(store: &Store, subject: &str) -> anyhow::Result<Option<String>> {
    Ok(snapshot(store).await?.state(PROJECTION, subject).await?.map(|state| state.json))
}

async fn a_build_answers_from_its_commit_on_and_not_before(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    store.rebuilds.declare(PROJECTION).await?;
    live(&store, &[state("a", "[1]", 5), state("old", "[1]", 1), state("b", "[1]", 1)]).await?;
    let build = store.rebuilds.begin(PROJECTION).await?;
    let mut tx = store.rebuilds.write().await?;
    let made = [state("a", "[2]", 5), state("b", "[2]", 5)];
    tx.save_states(PROJECTION, Build::Number(build), &made).await?;
    tx.commit().await?;
    assert_eq!(json(&store, "a").await?.as_deref(), Some("[1]"), "the old one serves");

    let mut tx = store.rebuilds.write().await?;
    tx.hold("law").await?;
    let partitions = tx.live("law").await?;
    assert_eq!((partitions.len(), partitions[0].last_position), (1, 1));
    tx.carry_over(PROJECTION, build, 2).await?;
    assert!(tx.go_live(PROJECTION, build).await?);
    assert_eq!(json(&store, "a").await?.as_deref(), Some("[1]"), "nobody sees half of it");
    tx.commit().await?;
    for (subject, expected) in [("a", "[2]"), ("b", "[2]"), ("old", "[1]")] {
        assert_eq!(json(&store, subject).await?.as_deref(), Some(expected), "{subject}");
    }
    live(&store, &[state("a", "[3]", 6)]).await?;
    assert_eq!(json(&store, "a").await?.as_deref(), Some("[3]"), "the consumer goes on with the new one");
    store.rebuilds.drop_unused(PROJECTION).await?;
    assert_eq!(json(&store, "old").await?.as_deref(), Some("[1]"));
    let listed = store.rebuilds.list().await?;
    assert_eq!((listed[0].build, listed[0].fold, listed[0].unfinished), (build, 1, None));
    Ok(())
}

async fn of_two_builds_the_one_begun_last_goes_live(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let one = store.rebuilds.begin(PROJECTION).await?;
    let other = store.rebuilds.begin(PROJECTION).await?;
    assert_eq!(store.rebuilds.list().await?[0].unfinished, Some(other));
    let mut tx = store.rebuilds.write().await?;
    assert!(!tx.go_live(PROJECTION, one).await?);
    assert!(tx.go_live(PROJECTION, other).await?);
    tx.commit().await?;
    Ok(())
}

async fn a_consumer_that_is_held_stands_still(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    store.rebuilds.declare(PROJECTION).await?;
    live(&store, &[state("a", "[1]", 1)]).await?;
    let mut tx = store.rebuilds.write().await?;
    tx.hold("law").await?;
    let other = store.clone();
    let going_on = tokio::spawn(async move { live(&other, &[state("a", "[2]", 2)]).await });
    // It cannot be done before the transaction ends: its first statement waits.
    assert_eq!(tx.live("law").await?[0].last_position, 1);
    assert!(!going_on.is_finished());
    tx.commit().await?;
    going_on.await??;
    assert_eq!(json(&store, "a").await?.as_deref(), Some("[2]"));
    Ok(())
}

async fn another_versions_fold_changes_nothing_that_is_live(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    store.rebuilds.declare(PROJECTION).await?;
    live(&store, &[state("a", "[1]", 1)]).await?;
    let next = ProjectionId { version: 2, ..PROJECTION };
    let mut tx = begin(&store).await?;
    let refused = tx.save_states(next, Build::Live, &[state("a", "[2]", 2)]).await;
    assert!(
        matches!(&refused, Err(StoreError::Refused(said)) if said.contains("rebuild law")),
        "{refused:?}"
    );
    drop(tx);
    let build = store.rebuilds.begin(next).await?;
    let mut tx = store.rebuilds.write().await?;
    tx.save_states(next, Build::Number(build), &[state("a", "[2]", 2)]).await?;
    assert!(tx.go_live(next, build).await?);
    tx.commit().await?;
    let mut tx = begin(&store).await?;
    tx.save_states(next, Build::Live, &[state("a", "[3]", 3)]).await?;
    tx.commit().await?;
    assert!(live(&store, &[state("a", "[4]", 4)]).await.is_err(), "now the old one is another's");
    assert_eq!(json(&store, "a").await?.as_deref(), Some("[3]"));
    Ok(())
}

async fn expired_states_leave(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    store.rebuilds.declare(PROJECTION).await?;
    let old = State { event_time: noon() - Duration::from_secs(1), ..state("old", "[1]", 1) };
    live(&store, &[old, state("new", "[1]", 2)]).await?;
    store.rebuilds.drop_expired(noon()).await?;
    assert_eq!(json(&store, "old").await?, None);
    assert_eq!(json(&store, "new").await?.as_deref(), Some("[1]"));
    Ok(())
}
