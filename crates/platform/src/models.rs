//! Models: those of the settings, brought into the store, and what others can be made of.

use cornjacket_domain::Clock;
use cornjacket_inference::detectors;
use cornjacket_query::Detectors;
use cornjacket_store::{Draft, ListedModel, Mode, Model, Store};

use crate::config::Inference;

/// What a model may do since a start, because the settings say so.
#[derive(Debug, PartialEq, Eq)]
struct Changed {
    name: String,
    version: u32,
    before: Mode,
    now: Mode,
}

/// Brings the models of the settings into the store, where they are the truth for the names that they use: whatever an operator
/// made of them since, they may again do what the settings say. Whatever that changes is said.
pub async fn register(store: &Store, settings: &Inference, clock: &dyn Clock) -> anyhow::Result<()> {
    for Changed { name, version, before, now } in assert(store, settings, clock).await? {
        let (before, now) = (before.name(), now.name());
        tracing::warn!(name, version, before, now, "the settings change what a model may do");
    }
    Ok(())
}

async fn assert(store: &Store, settings: &Inference, clock: &dyn Clock) -> anyhow::Result<Vec<Changed>> {
    let (drafts, before) = (settings.drafts()?, store.models.list().await?);
    let mut named = Vec::with_capacity(drafts.len());
    for (draft, mode) in drafts {
        let model = store.models.register(&draft, mode, None, clock.now()).await?;
        store.models.set_mode(model.id, mode, None, clock.now()).await?;
        named.push((model, mode));
    }
    for listed in store.models.list().await?.iter().filter(|listed| listed.made_by.is_none()) {
        let mode = left_to(listed, &named);
        if mode != listed.mode {
            store.models.set_mode(listed.model.id, mode, None, clock.now()).await?;
        }
    }
    let after = store.models.list().await?;
    Ok(after.into_iter().filter_map(|listed| changed(listed, &before)).collect())
}

/// What a model may do that the settings made, now or once: nothing when they no longer name it, and as a former version of one
/// that they name no more than that one.
fn left_to(listed: &ListedModel, named: &[(Model, Mode)]) -> Mode {
    let of_name = named.iter().find(|(model, _)| model.draft.name == listed.model.draft.name);
    match of_name {
        None | Some((_, Mode::Off)) => Mode::Off,
        Some((_, Mode::Shadow)) if listed.mode == Mode::Active => Mode::Shadow,
        Some(_) => listed.mode,
    }
}

fn changed(listed: ListedModel, before: &[ListedModel]) -> Option<Changed> {
    let known = before.iter().find(|known| known.model.id == listed.model.id);
    let (before, now) = (known.map_or(Mode::Off, |known| known.mode), listed.mode);
    let Model { version, draft, .. } = listed.model;
    (before != now).then_some(Changed { name: draft.name, version, before, now })
}

/// What models can be made of, for those who do not see where they are.
#[derive(Clone, Copy, Debug)]
pub struct KnownDetectors;

impl Detectors for KnownDetectors {
    fn draft(
        &self,
        name: &str,
        detector: &str,
        series: (&str, &str),
        parameters: &serde_json::Value,
    ) -> Result<Draft, (String, String)> {
        detectors::draft(name, detector, series, parameters).map_err(|error| (error.field, error.problem))
    }

    fn all(&self) -> Vec<(&'static str, &'static str, serde_json::Value)> {
        detectors::offered().into_iter().map(|kind| (kind.name, kind.version, kind.example)).collect()
    }
}

#[cfg(test)]
mod tests;
