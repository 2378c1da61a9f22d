//! Models: those of the settings, brought into the store, and what others can be made of.

use cornjacket_domain::Clock;
use cornjacket_inference::detectors;
use cornjacket_query::Detectors;
use cornjacket_store::{Draft, Mode, Store};

use crate::config::Inference;

/// Registers what is new. What an operator has done to a model since it was registered stays; one that the settings no longer
/// name is off.
pub async fn register(store: &Store, settings: &Inference, clock: &dyn Clock) -> anyhow::Result<()> {
    let drafts = settings.drafts()?;
    for (draft, mode) in &drafts {
        store.models.register(draft, *mode, None, clock.now()).await?;
    }
    for listed in store.models.list().await? {
        let named = drafts.iter().any(|(draft, _)| draft.name == listed.model.draft.name);
        if !named && listed.made_by.is_none() && listed.mode != Mode::Off {
            let (name, version) = (&listed.model.draft.name, listed.model.version);
            tracing::info!(name, version, "the settings no longer name this model: it is off");
            store.models.set_mode(listed.model.id, Mode::Off, None, clock.now()).await?;
        }
    }
    Ok(())
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
