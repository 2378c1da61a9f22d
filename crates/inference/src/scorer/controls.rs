//! Changes to what watches, taken between two transactions of a shard.
//!
//! Events that were parked and are tried again are older than what the shard has come to. They take no change: from which
//! position on it would be in force for all others, nobody could say. They are seen with those that the shard has, and that is
//! noted for their subject, whose later events are all parked with them.

use cornjacket_domain::Shard;
use cornjacket_proto::events::Event;
use cornjacket_store::{Change, Control, SeriesId, StoreError, Turn, Tx};

use super::load::resume;
use crate::detectors::Feedback;
use crate::memory::Memory;

/// Brings a shard up to the last change that `first`, the first of a transaction's events, is to be seen with. Changes that are new
/// to the shard are noted as effective from its position on.
pub(super) async fn take(
    tx: &mut dyn Tx,
    place: Shard,
    shard: &mut Memory,
    turn: Turn,
    first: &Event,
) -> Result<(), StoreError> {
    let head = if tx.reached() < first.position {
        turn.head
    } else {
        tx.took_late(place, &first.subject, turn.controls, first.position - 1).await?;
        turn.controls
    };
    if head == shard.controls {
        return Ok(());
    }
    // People's words are in the states that were saved since.
    let controls = tx.controls(place, shard.controls, turn.controls).await?;
    for control in controls.iter().take_while(|control| control.seq <= head) {
        shard.watching.take(control);
        if let (true, Some((series, feedback))) = (control.seq > turn.controls, word(control)) {
            learn(tx, shard, control, (series, feedback), first.position).await?;
        }
    }
    shard.controls = head;
    if head > turn.controls {
        tx.took_controls(place, head, first.position - 1).await?;
    }
    Ok(())
}

const fn word(control: &Control) -> Option<(SeriesId, Feedback)> {
    match control.change {
        Change::Mode(_) => None,
        Change::FalseAlarm(series) => Some((series, Feedback::FalseAlarm)),
        Change::Missed(series) => Some((series, Feedback::Missed)),
    }
}

/// Tells a detector, wherever it is, and saves it. There may be none any more.
async fn learn(
    tx: &mut dyn Tx,
    shard: &mut Memory,
    control: &Control,
    (series, feedback): (SeriesId, Feedback),
    position: u64,
) -> Result<(), StoreError> {
    let Some(model) = shard.watching.get(control.model.id) else { return Ok(()) };
    if let Some(mut watched) = shard.take(series) {
        let watcher = watched.watchers.iter_mut().find(|watcher| watcher.is_of(&model));
        let saved = watcher.and_then(|watcher| {
            watcher.learn(feedback);
            watcher.save(series)
        });
        shard.keep(series, watched);
        return tx.save_detectors(saved.as_slice()).await;
    }
    for (_, mut watcher) in resume(tx, &[(series, model)], position).await? {
        watcher.learn(feedback);
        tx.save_detectors(watcher.save(series).as_slice()).await?;
    }
    Ok(())
}
