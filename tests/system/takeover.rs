//! Processes that die, stall and wake up, while others go on.

use std::time::Duration;

use cornjacket_testkit::wait;

use super::cornjacket::{http_get, stop};
use super::full_stack::{FullStack, read_log};
use super::load::{self, Acknowledged, Random};

const TAKEOVER: Duration = Duration::from_secs(30);

/// The value of a metric without labels; zero when it is not there.
pub async fn metric(ops: u16, name: &str) -> f64 {
    let metrics = http_get(ops, "/metrics").await.unwrap_or_default();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_relay_takes_over_from_one_that_is_killed_and_from_one_that_stalls() -> anyhow::Result<()> {
    let full_stack = FullStack::shared().await?;
    let ingest = full_stack.cornjacket(&[])?.roles("ingest,projector,query");
    let process = ingest.start().await?;
    let acknowledged = Acknowledged::default();
    let mut writers = load::start(&ingest, "relays", &acknowledged);
    let relays = [full_stack.cornjacket(&[])?.roles("relay"), full_stack.cornjacket(&[])?.roles("relay")];
    let published = async |relay: usize| metric(relays[relay].ops, "cornjacket_relay_position").await;
    let works = async |relay: usize, beyond: f64| {
        let what = format!("relay {relay} publishes beyond {beyond}");
        wait::until(TAKEOVER, &what, async || published(relay).await > beyond).await?;
        anyhow::Ok(published(relay).await)
    };

    let mut first = relays[0].start().await?;
    works(0, 0.0).await?;
    let second = relays[1].start().await?;
    let position = published(0).await;
    first.kill9().await?;
    let position = works(1, position).await?;

    let first = relays[0].start().await?;
    second.pause()?;
    let position = works(0, position).await?;
    second.resume()?;
    // The one that woke up finds that it was overtaken, and both go on.
    works(0, position).await?;

    writers.abort_all();
    while writers.join_next().await.is_some() {}
    acknowledged.check(&read_log(&full_stack.database).await?)?;
    full_stack.check().await?;
    for process in [first, second, process] {
        stop(process).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_killed_again_and_again_leaves_the_fold_of_the_log() -> anyhow::Result<()> {
    const KILLS: u32 = 20;
    let full_stack = FullStack::shared().await?;
    let rest = full_stack.cornjacket(&[])?.roles("ingest,relay,query");
    let process = rest.start().await?;
    let acknowledged = Acknowledged::default();
    let mut writers = load::start(&rest, "projector", &acknowledged);
    let projector = full_stack.cornjacket(&[("bus.instance_id", "projector-1")])?.roles("projector");
    let mut random = Random::seeded();
    for kill in 0..KILLS {
        let mut process = projector.start().await?;
        // Half of them in the middle of work, half wherever they are.
        if kill % 2 == 0 {
            let handled = r#"cornjacket_consumer_events_total{consumer="device_state"}"#;
            wait::until(TAKEOVER, "it gets on", async || metric(projector.ops, handled).await > 0.0).await?;
        }
        tokio::time::sleep(Duration::from_millis(random.within(0..300))).await;
        process.kill9().await?;
    }
    writers.abort_all();
    while writers.join_next().await.is_some() {}
    let last = projector.start().await?;
    full_stack.check().await?;
    stop(last).await?;
    stop(process).await
}
