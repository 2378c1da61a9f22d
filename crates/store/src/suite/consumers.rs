//! The laws of [`Consumers`](crate::Consumers): gaps, and what makes up for them.

use super::fixtures::clock;
use super::{Backend, laws};
use crate::{ConsumerPartition, Gap, Progress, ProjectionId, Store};

const PROJECTION: ProjectionId = ProjectionId { name: "law", version: 1 };

laws!(a_gap_is_kept_until_states_made_anew_go_live, who_makes_no_states_reads_on_and_is_resumed);

fn gap(consumer: &str, partition: u16, last: u64) -> Gap {
    let at = ConsumerPartition { consumer: consumer.into(), topic: "sensor-events", partition };
    Gap { at, first: 1, last }
}

async fn lost(store: &Store) -> anyhow::Result<Vec<Option<u64>>> {
    Ok(store.consumers.list().await?.iter().map(|status| status.lost_until).collect())
}

async fn move_to(store: &Store, at: &ConsumerPartition, last_position: u64) -> anyhow::Result<()> {
    let from = store.offsets.load(at).await?;
    let to = Progress { next_offset: from.next_offset + 1, last_position };
    Ok(store.offsets.begin(at, from, to).await?.expect("nobody else").commit().await?)
}

async fn a_gap_is_kept_until_states_made_anew_go_live(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    store.rebuilds.declare(PROJECTION).await?;
    move_to(&store, &gap("law", 0, 0).at, 3).await?;
    for marked in [gap("law", 0, 10), gap("law", 1, 12), gap("law", 0, 8)] {
        store.consumers.mark_gap(&marked).await?;
    }
    assert_eq!(lost(&store).await?, [Some(10), Some(12)], "also where it never read");
    // A partition that is listed may still be begun.
    move_to(&store, &gap("law", 1, 0).at, 20).await?;
    store.consumers.set_paused("law", false).await?;
    assert_eq!(lost(&store).await?, [Some(10), Some(12)], "its states still lack something");
    let (one, other) = (store.rebuilds.begin(PROJECTION).await?, store.rebuilds.begin(PROJECTION).await?);
    for (build, left) in [(one, [Some(10), Some(12)]), (other, [None, None])] {
        let mut tx = store.rebuilds.write().await?;
        assert_eq!(tx.go_live(PROJECTION, build).await?, build == other);
        tx.commit().await?;
        assert_eq!(lost(&store).await?, left);
    }
    Ok(())
}

async fn who_makes_no_states_reads_on_and_is_resumed(backend: Backend) -> anyhow::Result<()> {
    let store = backend.open(clock()).await?;
    let marked = gap("inference", 0, 10);
    store.consumers.mark_gap(&marked).await?;
    store.consumers.set_paused("inference", false).await?;
    assert_eq!(lost(&store).await?, [Some(10)], "it has not read on");
    move_to(&store, &marked.at, 11).await?;
    store.consumers.set_paused("inference", true).await?;
    assert_eq!(lost(&store).await?, [Some(10)], "nobody has seen to it");
    store.consumers.set_paused("inference", false).await?;
    assert_eq!(lost(&store).await?, [None]);
    Ok(())
}
