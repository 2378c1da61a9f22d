//! kill -9 at any instant loses nothing that was acknowledged.

use std::time::Duration;

use super::cornjacket::{Cornjacket, stop};
use super::full_stack::{FullStack, read_log};
use super::load::{self, Acknowledged, Random};

/// Kills the process again and again at random instants under load.
async fn kill_under_load(
    cornjacket: &Cornjacket,
    instant_ms: std::ops::Range<u64>,
) -> anyhow::Result<Acknowledged> {
    let rounds = if load::long() { 50 } else { 10 };
    let acknowledged = Acknowledged::default();
    let mut random = Random::seeded();
    for round in 0..rounds {
        let mut process = cornjacket.start().await?;
        let writers = load::start(cornjacket, &round.to_string(), &acknowledged);
        // The instant is the point here, not that anything has happened by then.
        tokio::time::sleep(Duration::from_millis(random.within(instant_ms.clone()))).await;
        process.kill9().await?;
        writers.join_all().await;
    }
    anyhow::ensure!(acknowledged.count() > 10 * rounds, "too little load to show anything");
    Ok(acknowledged)
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_what_was_acknowledged() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let cornjacket = Cornjacket::embedded(folder.path())?;
    let acknowledged = kill_under_load(&cornjacket, 20..300).await?;
    let url = format!("sqlite://{}/cornjacket.db", folder.path().display());
    acknowledged.check(&read_log(&url).await?)?;
    let process = cornjacket.start().await?;
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_what_was_acknowledged_and_kafka_has_all_of_it() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let cornjacket = full_stack.cornjacket(&[])?;
    // Long enough for a relay to take over, publish and commit, and for none of it.
    let acknowledged = kill_under_load(&cornjacket, 20..1_500).await?;
    let process = cornjacket.start().await?;
    acknowledged.check(&read_log(&full_stack.database).await?)?;
    full_stack.check().await?;
    stop(process).await
}
