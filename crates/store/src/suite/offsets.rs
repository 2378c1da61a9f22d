//! The laws of [`Offsets`](crate::Offsets) and of the states that move with them.

use super::fixtures::{clock, noon, snapshot};
use super::{Backend, laws};
use crate::{Build, ConsumerPartition, Progress, ProjectionId, State, Store};

const PROJECTION: ProjectionId = ProjectionId { name: "law", version: 1 };

laws!(
    an_effect_and_its_offset_are_one,
    who_has_been_overtaken_has_no_effect,
    of_two_owners_at_once_one_gets_through,
    states_are_overwritten_by_subject_and_build,
    two_topics_of_one_subject_lose_nothing_of_each_other,
);

fn at() -> ConsumerPartition {
    ConsumerPartition { consumer: "law".into(), topic: "sensor-events", partition: 0 }
}

fn progress(count: u64) -> Progress {
    Progress { next_offset: count, last_position: 10 * count }
}

fn state(subject: &str, json: &str, last_position: u64) -> State {
    State { subject: subject.into(), json: json.into(), last_position, event_time: noon() }
}

/// Moves the progress and saves a state; `commit` says whether to go through with it.
async fn effect(store: &Store, from: u64, to: u64, commit: bool) -> anyhow::Result<bool> {
    let Some(mut tx) = store.offsets.begin(&at(), progress(from), progress(to)).await? else {
        return Ok(false);
    };
    let json = format!("{{\"to\": {to}}}");
    tx.save_states(PROJECTION, Build::Live, &[state("pump", &json, 10 * to)]).await?;
    if commit {
        tx.commit().await?;
    }
    Ok(true)
}

async fn an_effect_and_its_offset_are_one(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    store.rebuilds.declare(PROJECTION).await?;
    assert_eq!(store.offsets.load(&at()).await?, progress(0));
    assert!(effect(&store, 0, 1, false).await?);
    assert_eq!(store.offsets.load(&at()).await?, progress(0), "dropped: neither");
    assert_eq!(snapshot(&store).await?.state(PROJECTION, "pump").await?, None);
    assert!(effect(&store, 0, 2, true).await?);
    assert_eq!(store.offsets.load(&at()).await?, progress(2), "committed: both");
    let mut now = snapshot(&store).await?;
    assert_eq!(now.state(PROJECTION, "pump").await?, Some(state("pump", "{\"to\": 2}", 20)));
    assert_eq!(now.included(&at()).await?, 20);
    Ok(())
}

async fn who_has_been_overtaken_has_no_effect(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    store.rebuilds.declare(PROJECTION).await?;
    assert!(effect(&store, 0, 1, true).await?);
    assert!(effect(&store, 1, 2, true).await?);
    assert!(!effect(&store, 1, 3, true).await?, "still believes in 1");
    assert!(!effect(&store, 0, 3, true).await?, "still believes in the beginning");
    assert_eq!(store.offsets.load(&at()).await?, progress(2));
    Ok(())
}

async fn of_two_owners_at_once_one_gets_through(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    store.rebuilds.declare(PROJECTION).await?;
    for from in 0..10 {
        let (one, other) =
            tokio::join!(effect(&store, from, from + 1, true), effect(&store, from, from + 1, true));
        assert!(one? ^ other?, "from {from}");
    }
    Ok(())
}

async fn states_are_overwritten_by_subject_and_build(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    store.rebuilds.declare(PROJECTION).await?;
    let mut tx = store.offsets.begin(&at(), progress(0), progress(1)).await?.expect("at the beginning");
    tx.save_states(PROJECTION, Build::Live, &[state("a", "{}", 1), state("b", "{}", 2)]).await?;
    tx.save_states(PROJECTION, Build::Number(2), &[state("a", "[]", 3)]).await?;
    tx.save_states(PROJECTION, Build::Live, &[state("a", "{\"x\": 1}", 4)]).await?;
    let mut loaded = tx.load_states(PROJECTION, Build::Live, &["a", "b", "c"]).await?;
    loaded.sort_by(|one, other| one.subject.cmp(&other.subject));
    assert_eq!(loaded, [state("a", "{\"x\": 1}", 4), state("b", "{}", 2)]);
    assert_eq!(tx.load_states(PROJECTION, Build::Number(2), &["a", "b"]).await?, [state("a", "[]", 3)]);
    Ok(())
}

/// One more round into the state of a subject, by an event of one of the topics that the consumer reads.
async fn add_round(store: &Store, topic: &'static str, round: u64) -> anyhow::Result<()> {
    let at = ConsumerPartition { topic, ..at() };
    let (from, to) = (progress(round), progress(round + 1));
    let mut tx = store.offsets.begin(&at, from, to).await?.expect("nobody else has this topic");
    let subject = format!("pump-{round}");
    let known = tx.load_states(PROJECTION, Build::Live, &[&subject]).await?;
    let rounds = known.first().map_or(0, |state| state.last_position) + 1;
    tx.save_states(PROJECTION, Build::Live, &[state(&subject, "{}", rounds)]).await?;
    Ok(tx.commit().await?)
}

async fn two_topics_of_one_subject_lose_nothing_of_each_other(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    store.rebuilds.declare(PROJECTION).await?;
    for round in 0..20 {
        tokio::try_join!(
            add_round(&store, "sensor-events", round),
            add_round(&store, "user-actions", round)
        )?;
        let state = snapshot(&store).await?.state(PROJECTION, &format!("pump-{round}")).await?;
        assert_eq!(state.map(|state| state.last_position), Some(2), "round {round}");
    }
    Ok(())
}
