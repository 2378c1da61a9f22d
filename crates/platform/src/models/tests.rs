//! The settings are the truth for what they name, at every start, on both stores.

use cornjacket_domain::{Partitions, SystemClock, Timestamp};
use cornjacket_store::Options;

use super::*;

/// Settings with these models: name, upper limit, mode.
fn settings(models: &[(&str, f64, &str)]) -> anyhow::Result<Inference> {
    let model = |(name, upper, mode): &(&str, f64, &str)| {
        let parameters = serde_json::json!({ "upper": upper });
        serde_json::json!({ "name": name, "detector": "threshold", "mode": mode, "parameters": parameters })
    };
    let models: Vec<_> = models.iter().map(model).collect();
    let all = serde_json::json!(
        { "state_mib": 1, "reconnect_seconds": 1, "count_events": [], "models": models, "forecasts": [] });
    Ok(serde_json::from_value(all)?)
}

/// Starts with such settings, and sees that just what has changed is said, and once.
async fn start(store: &Store, models: &[(&str, f64, &str)]) -> anyhow::Result<Vec<(String, u32, Mode)>> {
    let (settings, before) = (settings(models)?, store.models.list().await?);
    let said = assert(store, &settings, &SystemClock).await?;
    let after = store.models.list().await?;
    let mode =
        |of: &[ListedModel], id| of.iter().find(|one| one.model.id == id).map_or(Mode::Off, |one| one.mode);
    let differ = after.iter().filter(|one| mode(&before, one.model.id) != one.mode);
    let differ: Vec<_> = differ.map(|one| (one.model.draft.name.clone(), one.model.version)).collect();
    let said: Vec<_> = said.into_iter().map(|one| (one.name, one.version)).collect();
    assert_eq!(said, differ);
    assert_eq!(assert(store, &settings, &SystemClock).await?, [], "the same once more changes nothing");
    Ok(after.into_iter().map(|one| (one.model.draft.name, one.model.version, one.mode)).collect())
}

fn are(listed: &[(String, u32, Mode)], expected: &[(&str, u32, Mode)]) {
    let expected: Vec<_> =
        expected.iter().map(|(name, version, mode)| ((*name).to_owned(), *version, *mode)).collect();
    assert_eq!(listed, expected);
}

async fn law(url: String) -> anyhow::Result<()> {
    let store = Store::open(&Options::new(url, Partitions::ONE), std::sync::Arc::new(SystemClock)).await?;
    let (active, shadow, off) = (Mode::Active, Mode::Shadow, Mode::Off);
    let both = [("cold", 5.0, "shadow"), ("hot", 80.0, "active")];
    are(&start(&store, &both).await?, &[("cold", 1, shadow), ("hot", 1, active)]);
    // One is removed, and put back.
    are(&start(&store, &both[..1]).await?, &[("cold", 1, shadow), ("hot", 1, off)]);
    are(&start(&store, &both).await?, &[("cold", 1, shadow), ("hot", 1, active)]);
    // What it may do is written otherwise, and nothing else is.
    let other = [("cold", 5.0, "active"), ("hot", 80.0, "shadow")];
    are(&start(&store, &other).await?, &[("cold", 1, active), ("hot", 1, shadow)]);
    are(&start(&store, &both).await?, &[("cold", 1, shadow), ("hot", 1, active)]);
    // An operator's version takes over until the next start, and models that the settings never named are not their business.
    let now = Timestamp::from_micros(0);
    let draft = |name: &str| {
        let parameters = serde_json::json!({ "upper": 90.0 });
        detectors::draft(name, "threshold", ("*", "*"), &parameters).expect("a draft")
    };
    store.models.register(&draft("hot"), active, Some("ann"), now).await?;
    store.models.register(&draft("mine"), active, Some("ann"), now).await?;
    let expected = [("cold", 1, shadow), ("hot", 1, active), ("hot", 2, shadow), ("mine", 1, active)];
    are(&start(&store, &both).await?, &expected);
    // A former version does no more than the settings let its name do.
    let changed = [("cold", 5.0, "shadow"), ("hot", 70.0, "shadow")];
    let expected = [
        ("cold", 1, shadow),
        ("hot", 1, shadow),
        ("hot", 2, shadow),
        ("hot", 3, shadow),
        ("mine", 1, active),
    ];
    are(&start(&store, &changed).await?, &expected);
    let none = [("cold", 5.0, "shadow"), ("hot", 70.0, "off")];
    let expected =
        [("cold", 1, shadow), ("hot", 1, off), ("hot", 2, shadow), ("hot", 3, off), ("mine", 1, active)];
    are(&start(&store, &none).await?, &expected);
    Ok(())
}

#[tokio::test]
async fn settings_are_the_truth_at_every_start_on_sqlite() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    law(format!("sqlite://{}/cornjacket.db", folder.path().display())).await
}

#[tokio::test]
async fn settings_are_the_truth_at_every_start_on_postgres() -> anyhow::Result<()> {
    law(cornjacket_testkit::fresh_database().await?).await
}
