//! Large batches over a Unix socket are copied: the same laws hold.

use cornjacket_testkit::Postgres;

use super::Backend;
use super::fixtures::{clock, event, events, noon, positions, snapshot};
use crate::{Appended, Range};

#[tokio::test(flavor = "multi_thread")]
async fn a_copied_batch_is_numbered_and_deduplicated_like_any_other() -> anyhow::Result<()> {
    let server = Postgres::start().await?;
    let backend = Backend { url: server.socket_url("postgres"), _folder: None };
    let store = backend.open(clock()).await?;
    let log = store.log.clone();
    let known = event("a-3", "a", "x");
    log.append(&[known.clone(), event("a-5", "a", "other")]).await?;

    // One that is known, one whose id is taken, and one that comes twice.
    let mut batch = events("a", 1_000);
    batch.push(batch[7].clone());
    let outcomes = log.append(&batch).await?;
    assert_eq!(outcomes[3], Appended::Duplicate { position: 1, ingest_time: noon() });
    assert_eq!(outcomes[5], Appended::Conflict);
    assert_eq!(outcomes[7], Appended::Stored { position: 8, ingest_time: noon() });
    assert_eq!(outcomes[1_000], Appended::Duplicate { position: 8, ingest_time: noon() });
    assert_eq!(outcomes[999], Appended::Stored { position: 1_000, ingest_time: noon() });

    let read = log.read(&Range::after(0, 2_000)).await?;
    assert_eq!(positions(&read), (1..=1_000).collect::<Vec<_>>());
    assert_eq!((&read[7].encoded, read[7].subject.as_str()), (batch[7].encoded(), "a"));
    assert_eq!(read[7].ingest_time, noon());
    assert_eq!(*log.watch().borrow(), 1_000);
    assert_eq!(
        snapshot(&store).await?.find(batch[999].key()).await?.map(|found| found.position),
        Some(1_000)
    );
    let again = log.append(&batch).await?;
    let duplicate = |outcome: &&Appended| matches!(outcome, Appended::Duplicate { .. });
    assert_eq!(again.iter().filter(duplicate).count(), 1_000);
    assert_eq!(log.head().await?.position, 1_000);
    Ok(())
}
