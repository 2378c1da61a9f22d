//! Changes to what watches, taken between two transactions of a shard.

use cornjacket_domain::Shard;
use cornjacket_store::{Change, Control, SeriesId, StoreError, Turn, Tx};

use super::load::resume;
use crate::detectors::Feedback;
use crate::memory::Memory;

/// Brings a shard up to the last change. Those that are new to the shard are noted as effective from `position` on.
pub(super) async fn take(
    tx: &mut dyn Tx,
    place: Shard,
    shard: &mut Memory,
    turn: Turn,
    position: u64,
) -> Result<(), StoreError> {
    if turn.head == shard.controls {
        return Ok(());
    }
    // People's words are in the states that were saved since.
    let controls = tx.controls(place, shard.controls, turn.controls).await?;
    for control in controls.iter().take_while(|control| control.seq <= turn.head) {
        shard.watching.take(control);
        if let (true, Some((series, feedback))) = (control.seq > turn.controls, word(control)) {
            learn(tx, shard, control, (series, feedback), position).await?;
        }
    }
    shard.controls = turn.head;
    if turn.head > turn.controls {
        tx.took_controls(place, turn.head, position - 1).await?;
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
