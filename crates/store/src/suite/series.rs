//! The laws of time series.

use std::collections::HashMap;
use std::time::Duration;

use cornjacket_domain::{RollupStep, Sample, SeriesKey, Summary, Timestamp};

use super::fixtures::{clock, noon, snapshot};
use super::{Backend, laws};
use crate::{
    ConsumerPartition, ModelId, Progress, RollupKey, Score, SeriesFilter, SeriesId, Store, TimeRange, Tx,
};

laws!(
    series_are_made_once_and_have_the_unit_of_their_last_event,
    samples_are_read_in_order_and_from_where_the_last_page_ended,
    rollups_are_overwritten_bucket_by_bucket,
    series_without_samples_of_late_are_not_listed,
    who_is_ahead_of_the_writer_makes_series_and_changes_no_unit,
    the_last_samples_before_a_place_are_in_the_order_of_positions,
    old_days_leave_and_come_back_with_what_is_late,
);

const DAY: Duration = Duration::from_hours(24);
const ALWAYS: TimeRange =
    TimeRange { start: Timestamp::from_micros(0), end: Timestamp::from_micros(4_000_000_000_000_000) };

fn key(subject: &str, metric: &str) -> SeriesKey {
    SeriesKey { subject: subject.into(), metric: metric.into() }
}

fn sample(time: Timestamp, position: u64, value: f64) -> Sample {
    Sample { time, position, value }
}

/// A transaction of the writer.
async fn begin(store: &Store) -> anyhow::Result<Box<dyn Tx>> {
    let at = ConsumerPartition { consumer: "law".into(), topic: "sensor-events", partition: 0 };
    let from = store.offsets.load(&at).await?;
    let to = Progress { next_offset: from.next_offset + 1, ..from };
    Ok(store.offsets.begin(&at, from, to).await?.expect("nobody else"))
}

async fn series(store: &Store, wanted: &[(&SeriesKey, &str)]) -> anyhow::Result<Vec<SeriesId>> {
    let mut tx = begin(store).await?;
    let ids = tx.series(wanted).await?;
    tx.commit().await?;
    Ok(ids)
}

async fn add(store: &Store, samples: &[(SeriesId, Sample)]) -> anyhow::Result<()> {
    let mut rollups: HashMap<RollupKey, Summary> = HashMap::new();
    for (series, sample) in samples {
        for step in RollupStep::ALL {
            let key = RollupKey { series: *series, step, bucket: step.bucket_of(sample.time) };
            let known = rollups.get(&key).map(|known| known.with(*sample));
            rollups.insert(key, known.unwrap_or_else(|| Summary::of(*sample)));
        }
    }
    let mut tx = begin(store).await?;
    tx.add_samples(samples).await?;
    tx.save_rollups(&rollups.into_iter().collect::<Vec<_>>()).await?;
    Ok(tx.commit().await?)
}

async fn series_are_made_once_and_have_the_unit_of_their_last_event(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let (one, other) = (key("pump-1", "temperature"), key("pump-1", "pressure"));
    let first = series(&store, &[(&one, "Cel"), (&other, "hPa")]).await?;
    let many: Vec<SeriesKey> = (0..700).map(|number| key(&format!("m{number}"), "x")).collect();
    series(&store, &many.iter().map(|key| (key, "")).collect::<Vec<_>>()).await?;
    let again = series(&store, &[(&other, "Pa"), (&many[699], ""), (&one, "Cel")]).await?;
    assert_eq!((again[2], again[0]), (first[0], first[1]));
    let mut now = snapshot(&store).await?;
    assert_eq!(now.find_series(&other).await?, Some((first[1], "Pa".into())));
    assert_eq!(now.find_series(&one).await?, Some((first[0], "Cel".into())));
    assert_eq!(now.find_series(&key("pump-1", "none")).await?, None);
    Ok(())
}

async fn who_is_ahead_of_the_writer_makes_series_and_changes_no_unit(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let (known, fresh) = (key("pump-1", "temperature"), key("pump-1", "pressure"));
    let id = series(&store, &[(&known, "Cel")]).await?[0];
    let mut tx = begin(&store).await?;
    // A day for which the writer has made nothing yet.
    let times = [noon() + DAY * 30, noon() + DAY * 30];
    let ahead = tx.series_ahead(&[(&fresh, "hPa"), (&known, "K")], &times).await?;
    assert_eq!(ahead[1], id);
    let said = Score {
        series: ahead[0],
        time: times[0],
        position: 1,
        model: ModelId(1),
        score: Some(0.5),
        expected: None,
        severity: None,
        unscored: None,
    };
    tx.add_scores(&[said]).await?;
    assert_eq!(tx.series_ahead(&[(&fresh, "Pa")], &[]).await?, ahead[..1]);
    tx.commit().await?;
    let mut now = snapshot(&store).await?;
    assert_eq!(now.find_series(&known).await?, Some((id, "Cel".into())));
    assert_eq!(now.find_series(&fresh).await?, Some((ahead[0], "hPa".into())));
    drop(now);
    assert_eq!(
        series(&store, &[(&fresh, "Pa")]).await?,
        ahead[..1],
        "its writer finds it, and has the last word"
    );
    assert_eq!(snapshot(&store).await?.find_series(&fresh).await?, Some((ahead[0], "Pa".into())));
    Ok(())
}

async fn the_last_samples_before_a_place_are_in_the_order_of_positions(
    backend: Backend,
) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let keys = [key("a", "x"), key("b", "x"), key("none", "x")];
    let ids = series(&store, &[(&keys[0], ""), (&keys[1], "")]).await?;
    let at = |seconds: u64, position| sample(noon() + Duration::from_secs(seconds), position, 0.5);
    // The fourth came late, the last but one is of the day before, the last of another month.
    let of = [at(1, 1), at(2, 2), at(5, 3), at(3, 4), at(6, 5)];
    let old = [sample(noon() - DAY, 6, 0.5), sample(noon() - DAY * 30, 7, 0.5)];
    add(&store, &of.map(|sample| (ids[0], sample))).await?;
    add(&store, &[(ids[0], old[0]), (ids[0], old[1]), (ids[1], at(9, 8))]).await?;
    let read = async |seconds: u64, position, most| {
        let place = (noon() + Duration::from_secs(seconds), position);
        let places = [(&keys[1], place), (&keys[2], place), (&keys[0], place)];
        let mut found = snapshot(&store).await?.samples_before(&places, noon() - DAY, most).await?;
        assert!(found[0].is_empty() && found[1].is_empty());
        anyhow::Ok(found.remove(2))
    };
    assert_eq!(read(5, 8, 10).await?, [of[0], of[1], of[2], of[3], old[0]]);
    assert_eq!(read(5, 8, 3).await?, [of[1], of[2], of[3]], "the last by time");
    assert_eq!(read(5, 3, 2).await?, [of[0], of[1]], "what came later was not there");
    assert_eq!(read(0, 8, 10).await?, [old[0]]);
    assert!(snapshot(&store).await?.samples_before(&[], noon(), 3).await?.is_empty());
    Ok(())
}

async fn samples_are_read_in_order_and_from_where_the_last_page_ended(
    backend: Backend,
) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let ids = series(&store, &[(&key("a", "x"), ""), (&key("b", "x"), "")]).await?;
    // Late ones, two at one time, and more than a statement holds.
    let times = (0..600_u64).map(|number| (number * 7_919) % 600);
    let mut samples: Vec<Sample> = times
        .zip(1..)
        .map(|(seconds, position)| sample(noon() + Duration::from_secs(seconds / 2), position, 0.5))
        .collect();
    let written: Vec<_> = samples.iter().map(|sample| (ids[0], *sample)).collect();
    add(&store, &written).await?;
    add(&store, &[(ids[1], sample(noon(), 601, 1.0))]).await?;
    samples.sort_by_key(|sample| (sample.time, sample.position));
    let mut now = snapshot(&store).await?;
    let (mut read, mut after) = (Vec::new(), None);
    loop {
        let page = now.samples(ids[0], ALWAYS, after, 77).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.time, last.position));
        read.extend(page);
    }
    assert_eq!(read, samples);
    let range = TimeRange { start: noon() + Duration::from_secs(1), end: noon() + Duration::from_secs(2) };
    assert_eq!(now.samples(ids[0], range, None, 10).await?, samples[2..4]);
    assert_eq!(now.latest(ids[0], noon()).await?.as_ref(), samples.last());
    assert_eq!(now.latest(ids[0], noon() + DAY).await?, None);
    assert_eq!(now.latest(SeriesId(-1), noon()).await?, None);
    Ok(())
}

async fn rollups_are_overwritten_bucket_by_bucket(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let id = series(&store, &[(&key("a", "x"), "")]).await?[0];
    let bucket = |minutes: u64| RollupKey {
        series: id,
        step: RollupStep::Minute,
        bucket: noon() + Duration::from_mins(minutes),
    };
    let one = Summary::of(sample(noon(), 1, -0.1));
    let two = one.with(sample(noon() + Duration::from_secs(1), 2, f64::MAX));
    let mut tx = begin(&store).await?;
    tx.add_samples(&[(id, one.first), (id, two.last)]).await?;
    tx.save_rollups(&(0..70).map(|minutes| (bucket(minutes), one)).collect::<Vec<_>>()).await?;
    tx.save_rollups(&[(bucket(1), two)]).await?;
    let keys: Vec<_> = (0..72).map(bucket).collect();
    let loaded = tx.load_rollups(&keys).await?;
    assert_eq!((loaded.len(), loaded[&bucket(0)], loaded[&bucket(1)]), (70, one, two));
    assert!(tx.load_rollups(&[]).await?.is_empty());
    tx.commit().await?;
    let range = TimeRange { start: bucket(1).bucket, end: bucket(3).bucket };
    let read = snapshot(&store).await?.rollups(id, RollupStep::Minute, range).await?;
    assert_eq!(read, [(bucket(1).bucket, two), (bucket(2).bucket, one)]);
    assert!(snapshot(&store).await?.rollups(id, RollupStep::Hour, range).await?.is_empty());
    Ok(())
}

async fn series_without_samples_of_late_are_not_listed(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let keys = [key("a", "x"), key("a", "y"), key("b", "x"), key("c", "x")];
    let wanted: Vec<_> = keys.iter().map(|key| (key, "m")).collect();
    let ids = series(&store, &wanted).await?;
    let late = sample(noon() - DAY, 1, 1.0);
    let now = sample(noon(), 2, 2.0);
    add(&store, &[(ids[0], late), (ids[0], now), (ids[1], late), (ids[2], now), (ids[3], now)]).await?;
    let list = async |subject, since, after, limit| {
        let filter = SeriesFilter { subject, since, after, limit };
        let listed = snapshot(&store).await?.list_series(&filter).await?;
        anyhow::Ok(listed.into_iter().map(|listed| (listed.key, listed.last)).collect::<Vec<_>>())
    };
    let listed = |which: &[usize]| which.iter().map(|at| (keys[*at].clone(), now)).collect::<Vec<_>>();
    assert_eq!(list(None, noon(), None, 10).await?, listed(&[0, 2, 3]));
    assert_eq!(list(None, noon(), Some(ids[0]), 1).await?, listed(&[2]));
    assert_eq!(list(Some("a"), noon(), None, 10).await?, listed(&[0]));
    assert_eq!(list(Some("a"), noon() - DAY, Some(ids[0]), 10).await?, [(keys[1].clone(), late)]);
    assert!(list(None, noon() + Duration::from_secs(1), None, 10).await?.is_empty());
    Ok(())
}

async fn old_days_leave_and_come_back_with_what_is_late(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let id = series(&store, &[(&key("a", "x"), "")]).await?[0];
    let days: Vec<_> = (0..4).map(|day| sample(noon() - DAY * day, 4 - u64::from(day), 1.0)).collect();
    add(&store, &days.iter().map(|sample| (id, *sample)).collect::<Vec<_>>()).await?;
    store.series_retention.age(noon() - DAY * 2, noon() - DAY).await?;
    let left = async || anyhow::Ok(snapshot(&store).await?.samples(id, ALWAYS, None, 10).await?);
    assert_eq!(left().await?, [days[2], days[1], days[0]]);
    let hours = snapshot(&store).await?.rollups(id, RollupStep::Hour, ALWAYS).await?;
    assert_eq!(hours.len(), 3);
    let late = sample(noon() - DAY * 9, 5, 2.0);
    add(&store, &[(id, late)]).await?;
    assert_eq!(left().await?[0], late, "its day is made again");
    Ok(())
}
