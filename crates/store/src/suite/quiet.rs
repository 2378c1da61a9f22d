//! The laws of doors, and of waiting for samples.

use std::time::Duration;

use cornjacket_domain::{RollupStep, Sample, SeriesKey, Summary};

use super::fixtures::{clock, noon};
use super::{Backend, laws};
use crate::{Heard, ModelId, RollupKey, SeriesId, Store, Vigil};

laws!(
    a_door_is_there_from_its_first_word_until_it_is_forgotten,
    a_vigil_is_kept_and_what_never_was_is_not,
    series_are_due_in_order_with_their_last_sample,
    who_waits_already_is_looked_at_next,
);

const SECOND: Duration = Duration::from_secs(1);

async fn a_door_is_there_from_its_first_word_until_it_is_forgotten(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    assert!(store.doors.list().await?.is_empty());
    for (kind, name) in [("mqtt", "b"), ("ingest", "a"), ("mqtt", "a")] {
        store.doors.open(kind, name).await?;
    }
    let doors = store.doors.list().await?;
    let named: Vec<_> = doors.iter().map(|door| (door.kind.as_str(), door.name.as_str())).collect();
    assert_eq!(named, [("mqtt", "a"), ("mqtt", "b")], "each has the kind that it last said");
    assert!(doors.iter().all(|door| door.silent_for < Duration::from_secs(30)));
    store.doors.forget("a").await?;
    store.doors.forget("a").await?;
    assert_eq!(store.doors.list().await?.len(), 1);
    store.doors.open("mqtt", "a").await?;
    assert_eq!(store.doors.list().await?.len(), 2);
    Ok(())
}

async fn a_vigil_is_kept_and_what_never_was_is_not(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let mut vigil =
        Vigil { open: SECOND, until: noon(), since: noon() - SECOND, open_before: Duration::ZERO };
    let mut tx = store.offsets.begin_apart().await?;
    assert_eq!(tx.vigil().await?, None);
    tx.keep_vigil(&vigil).await?;
    tx.commit().await?;
    let mut tx = store.offsets.begin_apart().await?;
    assert_eq!(tx.vigil().await?, Some(vigil));
    vigil.open += SECOND;
    tx.keep_vigil(&vigil).await?;
    drop(tx);
    let mut tx = store.offsets.begin_apart().await?;
    assert_eq!(tx.vigil().await?.expect("kept").open, SECOND);
    Ok(())
}

/// A series of that subject, with a sample at noon where it has a position.
async fn series(store: &Store, subject: &str, position: Option<u64>) -> anyhow::Result<SeriesId> {
    let mut tx = store.offsets.begin_apart().await?;
    let key = SeriesKey { subject: subject.into(), metric: "x".into() };
    let id = tx.series(&[(&key, "")]).await?[0];
    if let Some(position) = position {
        let sample = Sample { time: noon(), position, value: 0.5 };
        let bucket = RollupStep::Hour.bucket_of(noon());
        tx.add_samples(&[(id, sample)]).await?;
        tx.save_rollups(&[(RollupKey { series: id, step: RollupStep::Hour, bucket }, Summary::of(sample))])
            .await?;
    }
    tx.commit().await?;
    Ok(id)
}

async fn series_are_due_in_order_with_their_last_sample(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let (one, other) = (series(&store, "one", Some(7)).await?, series(&store, "other", None).await?);
    let keys = [(one, ModelId(1)), (one, ModelId(2)), (other, ModelId(1))];
    let mut tx = store.offsets.begin_apart().await?;
    tx.wait_for(&keys).await?;
    assert_eq!(tx.due(Duration::ZERO, 10).await?.len(), 3, "what is new is to be looked at");
    let heard = |due: u32| Heard { noted: 7, at: SECOND, due: SECOND * due, told: due == 3 };
    tx.note(&[(keys[0], heard(3)), (keys[1], heard(2)), (keys[2], heard(9))]).await?;
    let due = tx.due(SECOND * 3, 10).await?;
    assert_eq!(
        due.iter().map(|quiet| (quiet.key, quiet.heard)).collect::<Vec<_>>(),
        [(keys[1], heard(2)), (keys[0], heard(3))]
    );
    assert_eq!((due[0].series.subject.as_str(), due[0].last.map(|last| last.position)), ("one", Some(7)));
    assert_eq!(tx.due(SECOND * 3, 1).await?.len(), 1);
    assert_eq!(tx.due(SECOND * 9, 10).await?[2].last, None);
    tx.leave(&[(keys[0], SECOND * 3), (keys[1], SECOND * 2)]).await?;
    assert_eq!(tx.due(SECOND * 9, 10).await?.len(), 1);
    Ok(())
}

async fn who_waits_already_is_looked_at_next(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let key = (series(&store, "one", Some(7)).await?, ModelId(1));
    let mut tx = store.offsets.begin_apart().await?;
    tx.wait_for(&[key]).await?;
    let heard = Heard { noted: 7, at: SECOND, due: SECOND, told: true };
    tx.note(&[(key, heard)]).await?;
    tx.wait_for(&[key]).await?;
    assert_eq!(tx.due(Duration::ZERO, 10).await?[0].heard, Heard { due: Duration::ZERO, ..heard });
    tx.leave(&[(key, SECOND)]).await?;
    assert_eq!(tx.due(SECOND, 10).await?.len(), 1, "it is due at another time since");
    Ok(())
}
