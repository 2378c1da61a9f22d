//! `AppendStream`, and one event over several doors at once.

use cornjacket_proto::ingest::outcome::Result::{Error, Receipt as Accepted};
use cornjacket_proto::ingest::{AppendRequest, AppendStreamRequest, Receipt};
use futures::StreamExt;
use tokio::task::JoinSet;
use tonic::Code;

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::full_stack::{FullStack, read_log};
use super::load::Random;

/// A client that was cut off sends again from its first event without an outcome, and every event is stored once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_goes_on_where_its_outcomes_ended() -> anyhow::Result<()> {
    const EVENTS: usize = 3_000;
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let mut random = Random::seeded();
    let (mut answered, mut cuts) = (0, 0);
    while answered < EVENTS {
        let mut process = cornjacket.start().await?;
        let mut ingest = cornjacket.ingest().await?;
        let request = |number: usize| AppendStreamRequest {
            event: Some(reading(&format!("pump-{}", number % 7), &number.to_string(), 1.0)),
        };
        let requests = futures::stream::iter((answered..EVENTS).map(request));
        let mut outcomes = ingest.append_stream(requests).await?.into_inner();
        let until = answered + usize::try_from(random.within(1..800))?;
        while answered < until.min(EVENTS) {
            let outcome =
                outcomes.next().await.expect("more outcomes")?.outcome.and_then(|outcome| outcome.result);
            let Some(Accepted(receipt)) = outcome else { panic!("{outcome:?}") };
            assert_eq!(receipt.id, answered.to_string(), "outcomes come in the order sent");
            answered += 1;
        }
        // Half of the cuts are the client's, half are the end of the process.
        cuts += 1;
        if cuts % 2 == 0 {
            process.kill9().await?;
        } else {
            drop(outcomes);
            stop(process).await?;
        }
    }
    let url = format!("sqlite://{}/cornjacket.db", folder.path().display());
    let ids: Vec<String> =
        read_log(&url).await?.iter().map(|stored| Ok(stored.decode()?.id)).collect::<anyhow::Result<_>>()?;
    println!("{cuts} cuts");
    assert_eq!(ids, (0..EVENTS).map(|number| number.to_string()).collect::<Vec<_>>());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_event_does_not_end_its_stream() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let process = cornjacket.start().await?;
    let events = [
        Some(reading("pump", "1", 1.0)),
        Some(reading("", "2", 1.0)),
        None,
        Some(reading("pump", "1", 2.0)),
        Some(reading("pump", "3", 1.0)),
    ];
    let requests = futures::stream::iter(events.map(|event| AppendStreamRequest { event }));
    let mut outcomes = cornjacket.ingest().await?.append_stream(requests).await?.into_inner();
    let mut told = Vec::new();
    while let Some(response) = outcomes.next().await {
        told.push(match response?.outcome.and_then(|outcome| outcome.result) {
            Some(Accepted(receipt)) => Ok(receipt.position),
            Some(Error(status)) => Err(Code::from_i32(status.code)),
            None => panic!("an outcome is a receipt or an error"),
        });
    }
    let (invalid, taken) = (Err(Code::InvalidArgument), Err(Code::AlreadyExists));
    assert_eq!(told, [Ok(1), invalid, invalid, taken, Ok(2)]);
    stop(process).await
}

/// Over two processes and one PostgreSQL: one event, and receipts that are equal in all but `duplicate`.
#[tokio::test(flavor = "multi_thread")]
async fn one_event_sent_64_times_at_once_has_one_place() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let doors = [full_stack.cornjacket(&[])?.roles("ingest"), full_stack.cornjacket(&[])?.roles("ingest")];
    let processes = [doors[0].start().await?, doors[1].start().await?];
    let mut calls = JoinSet::new();
    for number in 0..64 {
        let mut ingest = doors[number % 2].ingest().await?;
        calls.spawn(async move {
            ingest.append(AppendRequest { event: Some(reading("pump", "same", 1.0)) }).await
        });
    }
    let mut receipts: Vec<Receipt> = Vec::new();
    while let Some(response) = calls.join_next().await {
        receipts.extend(response??.into_inner().receipt);
    }
    assert_eq!(receipts.len(), 64);
    assert_eq!(receipts.iter().filter(|receipt| !receipt.duplicate).count(), 1);
    let first = Receipt { duplicate: true, ..receipts[0].clone() };
    assert!(receipts.into_iter().all(|receipt| Receipt { duplicate: true, ..receipt } == first));

    let other = AppendRequest { event: Some(reading("pump", "same", 2.0)) };
    let refused = doors[1].ingest().await?.append(other).await.expect_err("taken");
    assert_eq!(refused.code(), Code::AlreadyExists);
    assert_eq!(read_log(&full_stack.database).await?.len(), 1);
    for process in processes {
        stop(process).await?;
    }
    Ok(())
}
