//! kill -9 at any instant loses nothing that was acknowledged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cornjacket_domain::{Partitions, SystemClock};
use cornjacket_proto::ingest::outcome::Result::Receipt;
use cornjacket_proto::ingest::{AppendBatchRequest, AppendRequest};
use cornjacket_store::{Range, Store};
use cornjacket_testkit::shared::from_environment;

use super::cornjacket::{Cornjacket, stop};
use super::events::reading;

const WRITERS: usize = 8;

/// Every id that was acknowledged, with its position.
type Acknowledged = Arc<Mutex<BTreeMap<String, u64>>>;

/// Rounds of killing: 10, or as many as `CORNJACKET_TEST_ROUNDS` says.
fn rounds() -> u64 {
    from_environment("CORNJACKET_TEST_ROUNDS").and_then(|text| text.parse().ok()).unwrap_or(10)
}

/// Fixed unless `CORNJACKET_TEST_SEED` says otherwise; printed, so that a failure can be run again.
fn seed() -> u64 {
    let seed =
        from_environment("CORNJACKET_TEST_SEED").and_then(|text| text.parse().ok()).unwrap_or(20_261_123);
    println!("CORNJACKET_TEST_SEED={seed}");
    seed
}

/// Sends events until the process is gone, alone and in batches, and notes what was acknowledged.
async fn write(cornjacket: Cornjacket, round: u64, writer: usize, acknowledged: Acknowledged) {
    let Ok(mut ingest) = cornjacket.ingest().await else { return };
    for number in 0.. {
        let id = |item: usize| format!("{round}-{writer}-{number}-{item}");
        let device = format!("pump-{writer}");
        let receipts: Vec<_> = if number % 2 == 0 {
            let event = Some(reading(&device, &id(0), 1.0));
            let Ok(response) = ingest.append(AppendRequest { event }).await else { return };
            response.into_inner().receipt.into_iter().collect()
        } else {
            let events = (0..20).map(|item| reading(&device, &id(item), 1.0)).collect();
            let Ok(response) = ingest.append_batch(AppendBatchRequest { events }).await else { return };
            let outcomes = response.into_inner().outcomes.into_iter();
            outcomes
                .filter_map(|outcome| match outcome.result {
                    Some(Receipt(receipt)) => Some(receipt),
                    _ => None,
                })
                .collect()
        };
        let mut acknowledged = acknowledged.lock().expect("no writer panics with it");
        acknowledged.extend(receipts.into_iter().map(|receipt| (receipt.id, receipt.position)));
    }
}

async fn kill_under_load(cornjacket: &Cornjacket) -> anyhow::Result<BTreeMap<String, u64>> {
    let acknowledged = Acknowledged::default();
    let mut random = seed();
    for round in 0..rounds() {
        let mut process = cornjacket.start().await?;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| tokio::spawn(write(cornjacket.clone(), round, writer, acknowledged.clone())))
            .collect();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // The instant is the point here, not that anything has happened by then.
        tokio::time::sleep(Duration::from_millis(20 + (random >> 33) % 300)).await;
        process.kill9().await?;
        for writer in writers {
            writer.await?;
        }
    }
    let acknowledged = acknowledged.lock().expect("no writer panics with it").clone();
    println!("{} events acknowledged over {} kills", acknowledged.len(), rounds());
    anyhow::ensure!(acknowledged.len() as u64 > 10 * rounds(), "too little load to show anything");
    Ok(acknowledged)
}

/// Every acknowledged event is in the log exactly once, where its receipt says, and positions have no hole.
async fn check_log(url: &str, acknowledged: &BTreeMap<String, u64>) -> anyhow::Result<()> {
    let store = Store::open(url, Arc::new(SystemClock), Partitions::ONE).await?;
    let mut found = BTreeMap::new();
    let mut last = 0;
    loop {
        let events = store.log.read(&Range::after(last, 5_000)).await?;
        let Some(end) = events.last().map(|event| event.position) else { break };
        for stored in events {
            assert_eq!(stored.position, last + 1, "positions have no hole");
            last = stored.position;
            let event = stored.decode()?;
            assert_eq!(found.insert(event.id.clone(), last), None, "{} is stored twice", event.id);
        }
        assert_eq!(last, end);
    }
    for (id, position) in acknowledged {
        assert_eq!(found.get(id), Some(position), "{id} was acknowledged");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_what_was_acknowledged() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let acknowledged = kill_under_load(&cornjacket).await?;
    check_log(&format!("sqlite://{}/cornjacket.db", folder.path().display()), &acknowledged).await?;
    let process = cornjacket.start().await?;
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_what_was_acknowledged() -> anyhow::Result<()> {
    let url = cornjacket_testkit::fresh_database().await?;
    let acknowledged = kill_under_load(&Cornjacket::new(&[("store.url", &url)])?).await?;
    check_log(&url, &acknowledged).await
}
