//! The laws of [`DeadLetters`](crate::DeadLetters).

use std::time::Duration;

use bytes::Bytes;

use super::fixtures::{clock, noon, snapshot};
use super::{Backend, laws};
use crate::{ConsumerPartition, DeadLetter, LetterFilter, LetterId, Progress, Settled, Settlement, Store};

laws!(
    letters_are_kept_as_they_were_and_park_their_keys,
    a_key_is_free_when_its_last_letter_is_settled,
    what_fails_again_stays_and_waits_for_the_next_redrive,
    who_has_been_overtaken_parks_nothing,
    letters_are_found_by_filter_page_by_page,
    what_is_given_up_leaves_with_the_next_redrive,
    letters_keep_their_order_when_offsets_begin_anew,
);

fn at(partition: u16) -> ConsumerPartition {
    ConsumerPartition { consumer: "law".into(), topic: "sensor-events", partition }
}

fn letter(partition: u16, offset: u64, key: &'static str, error: Option<&str>) -> DeadLetter {
    DeadLetter {
        at: at(partition),
        offset,
        key: Bytes::from_static(key.as_bytes()),
        position: Some(10 * offset),
        ingest_time: Some(noon()),
        epoch: None,
        format: "application/protobuf".into(),
        value: Bytes::from_static(b"\x00\xff"),
        error: error.map(str::to_owned),
        attempts: u32::from(error.is_some()),
        first_time: noon(),
        last_time: noon(),
        discarded: None,
    }
}

fn id(offset: u64) -> LetterId {
    LetterId { consumer: "law".into(), topic: "sensor-events".into(), partition: 0, offset }
}

fn key(key: &str) -> LetterFilter {
    LetterFilter { key: Some(Bytes::copy_from_slice(key.as_bytes())), ..LetterFilter::default() }
}

async fn park(store: &Store, letters: &[DeadLetter]) -> anyhow::Result<()> {
    for letter in letters {
        let from = store.offsets.load(&letter.at).await?;
        let to = Progress { next_offset: letter.offset + 1, ..from };
        let mut tx = store.offsets.begin(&letter.at, from, to).await?.expect("the only owner");
        tx.park(std::slice::from_ref(letter)).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn settle(
    store: &Store,
    name: &str,
    (below, letters): (u64, u64),
    failed: Option<(u64, &str)>,
) -> anyhow::Result<Settlement> {
    let from = store.offsets.load(&at(0)).await?;
    let mut tx = store.offsets.begin(&at(0), from, from).await?.expect("the only owner");
    let failed = failed.map(|(offset, error)| (offset, error.to_owned()));
    let (key, now) = (Bytes::copy_from_slice(name.as_bytes()), noon() + Duration::from_secs(1));
    let settlement = tx.settle(&Settled { at: at(0), key, below, letters, failed, now }).await?;
    if settlement != Settlement::Overtaken {
        tx.commit().await?;
    }
    Ok(settlement)
}

async fn letters_are_kept_as_they_were_and_park_their_keys(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let letters = [letter(0, 1, "a", Some("bad")), letter(0, 3, "a", None), letter(1, 2, "b", Some("worse"))];
    park(&store, &letters).await?;
    assert_eq!(store.dead_letters.list(&LetterFilter::default(), None, 10).await?, letters);
    assert_eq!(store.dead_letters.get(&id(3)).await?, Some(letters[1].clone()));
    assert_eq!(store.dead_letters.get(&id(2)).await?, None);
    assert_eq!(store.dead_letters.parked(&at(0)).await?, ["a"]);
    assert_eq!(store.dead_letters.parked(&at(1)).await?, ["b"]);
    assert_eq!(snapshot(&store).await?.parked(&at(0), "a").await?, Some(10));
    assert_eq!(snapshot(&store).await?.parked(&at(0), "b").await?, None);
    assert_eq!(store.dead_letters.size(&at(0)).await?, (2, 4), "letters, and bytes of their values");
    assert_eq!(store.dead_letters.size(&at(2)).await?, (0, 0));
    let listed = store.consumers.list().await?;
    let counts: Vec<_> = listed.iter().map(|status| (status.parked_keys, status.dead_letters)).collect();
    assert_eq!(counts, [(1, 2), (1, 1)]);
    Ok(())
}

async fn a_key_is_free_when_its_last_letter_is_settled(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    park(&store, &[letter(0, 1, "a", Some("bad")), letter(0, 2, "b", Some("bad")), letter(0, 3, "a", None)])
        .await?;
    assert_eq!(store.dead_letters.to_redrive(&at(0), 10).await?, None, "nobody asked for it");
    assert_eq!(store.dead_letters.mark_redrive(&key("a")).await?, 1);
    assert_eq!(store.dead_letters.mark_redrive(&key("a")).await?, 1, "again is the same");
    let queue = store.dead_letters.to_redrive(&at(0), 1).await?.expect("marked");
    assert_eq!((queue.key, queue.letters.len(), queue.letters[0].offset), (Bytes::from("a"), 1, 1));
    assert_eq!(store.consumers.report("law", &[]).await?.redrive, [("sensor-events".to_owned(), 0)]);
    assert_eq!(settle(&store, "a", (2, 1), None).await?, Settlement::Parked);
    assert_eq!(settle(&store, "a", (2, 1), None).await?, Settlement::Overtaken, "they are gone already");
    let queue = store.dead_letters.to_redrive(&at(0), 10).await?.expect("still marked");
    assert_eq!(queue.letters.iter().map(|letter| letter.offset).collect::<Vec<_>>(), [3]);
    assert_eq!(settle(&store, "a", (4, 1), None).await?, Settlement::Free);
    assert_eq!(store.dead_letters.parked(&at(0)).await?, ["b"]);
    assert_eq!(store.dead_letters.to_redrive(&at(0), 10).await?, None);
    Ok(())
}

async fn what_fails_again_stays_and_waits_for_the_next_redrive(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    park(&store, &[letter(0, 1, "a", Some("bad")), letter(0, 2, "a", None)]).await?;
    store.dead_letters.mark_redrive(&LetterFilter::default()).await?;
    assert_eq!(settle(&store, "a", (1, 0), Some((1, "still bad"))).await?, Settlement::Parked);
    let failed = store.dead_letters.get(&id(1)).await?.expect("it stays");
    assert_eq!((failed.attempts, failed.error.as_deref()), (2, Some("still bad")));
    assert_eq!((failed.first_time, failed.last_time), (noon(), noon() + Duration::from_secs(1)));
    assert_eq!(store.dead_letters.to_redrive(&at(0), 10).await?, None);
    Ok(())
}

async fn who_has_been_overtaken_parks_nothing(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let (from, to) = (Progress::default(), Progress { next_offset: 2, last_position: 0 });
    let mut tx = store.offsets.begin(&at(0), from, to).await?.expect("the only owner");
    tx.park(&[letter(0, 1, "a", Some("bad"))]).await?;
    drop(tx);
    assert!(store.dead_letters.parked(&at(0)).await?.is_empty());
    assert_eq!(store.dead_letters.list(&LetterFilter::default(), None, 10).await?, []);
    Ok(())
}

async fn letters_are_found_by_filter_page_by_page(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let keys = ["a", "b", "a", "b", "a"];
    let letters: Vec<_> = (0..).zip(keys).map(|(offset, key)| letter(0, offset, key, None)).collect();
    park(&store, &letters).await?;
    let offsets = |page: Vec<DeadLetter>| page.into_iter().map(|letter| letter.offset).collect::<Vec<_>>();
    let list = async |filter: &LetterFilter, after: Option<&LetterId>| {
        store.dead_letters.list(filter, after, 2).await.map(offsets)
    };
    assert_eq!(list(&key("a"), None).await?, [0, 2]);
    assert_eq!(list(&key("a"), Some(&id(2))).await?, [4]);
    let other = LetterFilter { consumer: Some("other".into()), ..LetterFilter::default() };
    assert_eq!(list(&other, None).await?, [0; 0]);
    let topic = LetterFilter { topic: Some("sensor-events".into()), ..LetterFilter::default() };
    assert_eq!(list(&topic, Some(&id(3))).await?, [4]);
    Ok(())
}

async fn what_is_given_up_leaves_with_the_next_redrive(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    park(&store, &[letter(0, 1, "a", Some("bad")), letter(0, 2, "a", None)]).await?;
    assert!(store.dead_letters.discard(&id(1), "garbage").await?);
    assert!(!store.dead_letters.discard(&id(9), "garbage").await?);
    let queue = store.dead_letters.to_redrive(&at(0), 10).await?.expect("marked");
    assert_eq!(queue.letters[0].discarded.as_deref(), Some("garbage"));
    assert_eq!(queue.letters[1].discarded, None);
    // An attempt that read the letter before it was given up does not undo what the operator was promised.
    assert_eq!(settle(&store, "a", (1, 0), Some((1, "bad"))).await?, Settlement::Parked);
    assert!(store.dead_letters.to_redrive(&at(0), 10).await?.is_some());
    assert_eq!(store.dead_letters.expire(noon()).await?, 0);
    assert_eq!(
        store.dead_letters.expire(noon() + Duration::from_secs(1)).await?,
        1,
        "the other is given up already"
    );
    Ok(())
}

async fn letters_keep_their_order_when_offsets_begin_anew(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    park(&store, &[letter(0, 7, "a", Some("bad")), letter(0, 7, "a", None), letter(0, 2, "a", None)]).await?;
    park(&store, &[letter(1, 2, "b", None), letter(0, 20, "a", None)]).await?;
    let listed = store.dead_letters.list(&key("a"), None, 10).await?;
    let listed: Vec<_> = listed.iter().map(|letter| (letter.offset, letter.position)).collect();
    assert_eq!(listed, [(7, Some(70)), (8, Some(70)), (9, Some(20)), (20, Some(200))]);
    assert!(store.dead_letters.get(&LetterId { partition: 1, ..id(2) }).await?.is_some());
    Ok(())
}
