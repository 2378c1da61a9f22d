//! Series that come back into memory.

use std::collections::HashMap;
use std::sync::Arc;

use cornjacket_domain::SeriesKey;
use cornjacket_store::{DetectorKey, SavedState, SeriesId, StoreError, Tx};

use super::pace::Pace;
use crate::watched::{Mark, Watched, Watcher};
use crate::watching::{InForce, Watching};

/// Hands out series, in the order given. Those that are not `warm` are as if they had been there all the time, up to
/// `position`, where the transaction begins.
pub(super) async fn load<'a>(
    tx: &mut dyn Tx,
    watching: &Watching,
    warm: &mut HashMap<SeriesId, Watched>,
    series: impl Iterator<Item = (SeriesId, &'a SeriesKey)> + Clone,
    position: u64,
) -> Result<Vec<Watched>, StoreError> {
    let cold = series.clone().filter(|(id, _)| !warm.contains_key(id));
    let wanted: Vec<_> =
        cold.flat_map(|(id, key)| watching.of(key).map(move |model| (id, model.clone()))).collect();
    let mut resumed = resume(tx, &wanted, position).await?.into_iter().peekable();
    let loaded = series.map(|(id, key)| {
        let mut watched = warm.remove(&id).unwrap_or_default();
        while let Some((_, watcher)) = resumed.next_if(|(of, _)| *of == id) {
            watched.watchers.push(watcher);
        }
        watched.keep_up_with(watching, key);
        watched
    });
    Ok(loaded.collect())
}

/// Those of the detectors that are in the store, in the order given. Of another life of their model they are not.
pub(crate) async fn resume(
    tx: &mut dyn Tx,
    wanted: &[(SeriesId, Arc<InForce>)],
    position: u64,
) -> Result<Vec<(SeriesId, Watcher)>, StoreError> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<DetectorKey> = wanted.iter().map(|(id, model)| (*id, model.model.id)).collect();
    let mut saved = tx.load_detectors(&keys).await?;
    saved.retain(|(_, id), state| wanted.iter().any(|(_, of)| of.model.id == *id && of.since == state.since));
    let mut marks: Vec<(SeriesId, Mark)> = Vec::new();
    for ((id, _), state) in &saved {
        match marks.iter_mut().find(|(of, _)| of == id) {
            Some((_, mark)) => *mark = state.last.min(*mark),
            None => marks.push((*id, state.last)),
        }
    }
    let since = tx.samples_since(&marks, position).await?;
    let samples = |id: &SeriesId| since.get(id).map(Vec::as_slice).unwrap_or_default();
    let (mut resumed, mut pace) = (Vec::with_capacity(saved.len()), Pace::begin());
    for (id, model) in wanted {
        let Some(state) = saved.get(&(*id, model.model.id)) else { continue };
        resumed.extend(one(*id, model, state, samples(id)).map(|watcher| (*id, watcher)));
        pace.keep(tx).await?;
    }
    Ok(resumed)
}

/// Nothing when its state cannot be read: it begins anew, and that is said.
fn one(
    series: SeriesId,
    model: &Arc<InForce>,
    state: &SavedState,
    since: &[cornjacket_domain::Sample],
) -> Option<Watcher> {
    Watcher::resume(model.clone(), state, since)
        .inspect_err(|error| {
            let name = &model.model.draft.name;
            tracing::error!(series = series.0, model = name, %error, "a detector begins anew");
            metrics::counter!("cornjacket_inference_states_lost_total").increment(1);
        })
        .ok()
}
