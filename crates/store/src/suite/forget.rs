//! The laws of forgetting what detectors remember.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use cornjacket_domain::{Sample, SeriesKey, Timestamp};

use super::fixtures::{clock, noon};
use super::{Backend, laws};
use crate::{
    ConsumerPartition, DeadLetter, DetectorKey, Draft, Forgotten, Mode, ModelId, SavedState, SeriesId, Store,
};

laws!(
    states_go_that_nobody_comes_back_to,
    states_are_gone_over_part_by_part,
    what_is_parked_keeps_its_states,
);

const DAY: Duration = Duration::from_hours(24);

/// Makes series with a sample so many days ago, and a state of each for every model.
async fn remember(
    store: &Store,
    series: &[(&str, u32)],
    models: &[(ModelId, u64)],
) -> anyhow::Result<Vec<SeriesId>> {
    let mut tx = store.offsets.begin_apart().await?;
    let keys: Vec<_> = series
        .iter()
        .map(|(subject, _)| SeriesKey { subject: (*subject).into(), metric: "x".into() })
        .collect();
    let ids = tx.series(&keys.iter().map(|key| (key, "")).collect::<Vec<_>>()).await?;
    let last = |days: u32| noon() - DAY * days;
    let samples: Vec<_> = ids
        .iter()
        .zip(series)
        .map(|(id, (_, days))| (*id, Sample { time: last(*days), position: 7, value: 1.0 }))
        .collect();
    tx.add_samples(&samples).await?;
    let states: Vec<_> = ids
        .iter()
        .zip(series)
        .flat_map(|(id, (_, days))| {
            models.iter().map(move |(model, since)| {
                let saved = SavedState { since: *since, last: (last(*days), 7), state: vec![1] };
                ((*id, *model), saved)
            })
        })
        .collect();
    tx.save_detectors(&states).await?;
    tx.commit().await?;
    Ok(ids)
}

async fn left(store: &Store, keys: &[DetectorKey]) -> anyhow::Result<BTreeSet<DetectorKey>> {
    Ok(store.offsets.begin_apart().await?.load_detectors(keys).await?.into_keys().collect())
}

async fn forget(store: &Store, oldest: Timestamp) -> anyhow::Result<Forgotten> {
    Ok(store.series_retention.forget(oldest, None, 1_000).await?)
}

async fn model(store: &Store, name: &str) -> anyhow::Result<ModelId> {
    let draft = Draft {
        name: name.into(),
        detector: "threshold".into(),
        code: "1".into(),
        subjects: "*".into(),
        metrics: "*".into(),
        parameters: "{}".into(),
    };
    Ok(store.models.register(&draft, Mode::Active, None, noon() - DAY * 9).await?.id)
}

async fn states_go_that_nobody_comes_back_to(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    // Changes 1 and 2; each begins with its own.
    let (on, switched) = (model(&store, "on").await?, model(&store, "switched").await?);
    let series = [("speaks", 1), ("silent", 8), ("late", 8)];
    let ids = remember(&store, &series, &[(on, 1), (switched, 2)]).await?;
    let keys: Vec<_> = ids.iter().flat_map(|id| [(*id, on), (*id, switched)]).collect();
    // Its state was not saved since, and its samples are there.
    let mut tx = store.offsets.begin_apart().await?;
    tx.add_samples(&[(ids[2], Sample { time: noon() - DAY * 2, position: 9, value: 1.0 })]).await?;
    tx.commit().await?;
    let oldest = noon() - DAY * 7;
    let all = |with: &[usize], model| with.iter().map(|at| (ids[*at], model)).collect::<Vec<_>>();
    assert_eq!(forget(&store, oldest).await?, Forgotten { states: 2, next: None });
    let speaking: BTreeSet<_> = [all(&[0, 2], on), all(&[0, 2], switched)].concat().into_iter().collect();
    assert_eq!(left(&store, &keys).await?, speaking, "but of who is silent");
    let set = async |mode, days: u32| store.models.set_mode(switched, mode, None, noon() - DAY * days).await;
    set(Mode::Shadow, 8).await?;
    set(Mode::Off, 6).await?;
    assert_eq!(forget(&store, oldest).await?.states, 0, "who was rolled back yesterday may come tomorrow");
    assert_eq!(forget(&store, noon() - DAY * 5).await?.states, 2);
    let speaking: BTreeSet<_> = all(&[0, 2], on).into_iter().collect();
    assert_eq!(left(&store, &keys).await?, speaking, "but of who is off");
    // It begins anew, with change 5, and that it has been off before does not matter.
    set(Mode::Active, 5).await?;
    remember(&store, &[("another", 1)], &[(switched, 5)]).await?;
    assert_eq!(forget(&store, noon() - DAY * 3).await?.states, 0);
    Ok(())
}

async fn states_are_gone_over_part_by_part(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let (one, two) = (model(&store, "one").await?, model(&store, "two").await?);
    let subjects: Vec<_> = (0..7).map(|number| format!("pump-{number}")).collect();
    let series: Vec<_> = subjects.iter().map(|subject| (subject.as_str(), 8)).collect();
    let ids = remember(&store, &series, &[(one, 1), (two, 2)]).await?;
    let keys: Vec<_> = ids.iter().flat_map(|id| [(*id, one), (*id, two)]).collect();
    let (mut next, mut parts) = (None, Vec::new());
    loop {
        let forgotten = store.series_retention.forget(noon(), next, 4).await?;
        parts.push(forgotten.states);
        let gone: usize = parts.iter().map(|states| usize::try_from(*states).expect("few")).sum();
        assert_eq!(left(&store, &keys).await?.len(), keys.len() - gone, "no more than it says");
        next = forgotten.next;
        if next.is_none() {
            break;
        }
    }
    assert_eq!(parts, [4, 4, 4, 2]);
    Ok(())
}

async fn what_is_parked_keeps_its_states(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let on = model(&store, "on").await?;
    let ids = remember(&store, &[("waits", 30), ("silent", 30)], &[(on, 1)]).await?;
    let letter = DeadLetter {
        at: ConsumerPartition { consumer: "inference".into(), topic: "sensor-events", partition: 0 },
        offset: 3,
        key: Bytes::from_static(b"waits"),
        position: Some(30),
        ingest_time: Some(noon()),
        epoch: None,
        format: "application/protobuf".into(),
        value: Bytes::from_static(b"x"),
        error: Some("it could not be read".into()),
        attempts: 1,
        first_time: noon(),
        last_time: noon(),
        discarded: None,
    };
    let mut tx = store.offsets.begin_apart().await?;
    tx.park(&[letter]).await?;
    tx.commit().await?;
    assert_eq!(forget(&store, noon()).await?.states, 1);
    let keys = [(ids[0], on), (ids[1], on)];
    assert_eq!(left(&store, &keys).await?, BTreeSet::from([keys[0]]));
    Ok(())
}
