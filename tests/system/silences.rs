//! Who should have spoken and did not is found, and nobody is accused of what was an outage of ours.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cornjacket_proto::admin::ModelMode;
use cornjacket_proto::events::Event;
use cornjacket_proto::ingest::AppendBatchRequest;
use cornjacket_proto::query::ListAnomaliesRequest;
use cornjacket_testkit::{Kafka, Process, fresh_database, wait};
use tokio::task::AbortHandle;
use tokio::time::{Instant, interval};

use super::anomalies::{anomalies, detail, register};
use super::cornjacket::{Cornjacket, stop};
use super::events::reading;
use super::full_stack::FullStack;

/// Every device speaks so often, and is silent after so long.
const EVERY: Duration = Duration::from_secs(2);
const MODEL: (&str, &str, &str, ModelMode) =
    ("quiet", "silence", r#"{"after_seconds": 7}"#, ModelMode::Active);
/// What devices have for coming back.
const GRACE: (&str, &str) = ("inference.reconnect_seconds", "3");
/// By then every silence there is must have been found: the grace, the silence, and looks in between.
const FOUND: Duration = Duration::from_secs(15);
/// How long something of ours is away: longer than a silence.
const AWAY: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_mins(2);

/// Devices that speak for as long as it lives, whether anybody hears them or not.
struct Devices {
    /// Those of lower numbers have fallen silent.
    silent: Arc<AtomicU64>,
    speaking: AbortHandle,
}

impl Devices {
    fn speak(cornjacket: &Cornjacket, count: u64) -> Self {
        let (cornjacket, silent) = (cornjacket.clone(), Arc::new(AtomicU64::new(0)));
        let first = silent.clone();
        let speaking = tokio::spawn(async move {
            let mut ticks = interval(EVERY);
            for round in 0_u64.. {
                ticks.tick().await;
                let event = |device| reading(&name(device), &format!("{device}-{round}"), 20.0);
                let events = (first.load(Ordering::SeqCst)..count).map(event).collect();
                // A device that nobody hears does not know.
                if let Ok(mut ingest) = cornjacket.ingest().await {
                    drop(ingest.append_batch(AppendBatchRequest { events }).await);
                }
            }
        });
        Self { silent, speaking: speaking.abort_handle() }
    }

    fn fall_silent(&self, count: u64) {
        self.silent.store(count, Ordering::SeqCst);
    }
}

impl Drop for Devices {
    fn drop(&mut self) {
        self.speaking.abort();
    }
}

fn name(device: u64) -> String {
    format!("device-{device}")
}

async fn found(cornjacket: &Cornjacket) -> anyhow::Result<Vec<Event>> {
    anomalies(cornjacket, ListAnomaliesRequest { page_size: 1_000, ..ListAnomaliesRequest::default() }).await
}

/// Nothing is found for long enough that something would have been.
async fn nobody_is_accused(cornjacket: &Cornjacket, what: &str) -> anyhow::Result<()> {
    let until = Instant::now() + FOUND;
    wait::until(DEADLINE, what, async || Instant::now() > until).await?;
    let accused: BTreeSet<_> = found(cornjacket).await?.into_iter().map(|event| event.subject).collect();
    assert_eq!(accused, BTreeSet::new(), "{what}");
    Ok(())
}

async fn away(what: &str) -> anyhow::Result<()> {
    let until = Instant::now() + AWAY;
    wait::until(DEADLINE, what, async || Instant::now() > until).await
}

/// Some fall silent: each of them is found once, by its last word; and once more when it has spoken in between.
async fn those_who_are_silent_are_found(
    door: &Cornjacket,
    cornjacket: &Cornjacket,
    devices: &Devices,
    count: u64,
) -> anyhow::Result<()> {
    devices.fall_silent(count);
    let many = usize::try_from(count)?;
    wait::until(DEADLINE, "silences are found", async || {
        found(cornjacket).await.is_ok_and(|found| found.len() >= many)
    })
    .await?;
    let until = Instant::now() + FOUND;
    wait::until(DEADLINE, "no more are found", async || Instant::now() > until).await?;
    let silent = found(cornjacket).await?;
    let subjects: BTreeSet<_> = silent.iter().map(|event| event.subject.clone()).collect();
    assert_eq!(subjects, (0..count).map(name).collect());
    assert_eq!(silent.len(), many, "each is found once");
    for event in &silent {
        let anomaly = detail(event)?;
        assert_eq!((anomaly.model.as_str(), anomaly.contributions[0].feature.as_str()), ("quiet", "silence"));
        assert!(anomaly.cause_id.starts_with(&format!("{}-", event.subject.trim_start_matches("device-"))));
        let seconds = event.event_time.zip(anomaly.sample_time).map(|(now, last)| now.seconds - last.seconds);
        assert!(seconds >= Some(7), "{seconds:?} seconds");
    }
    door.append(reading(&name(0), "once more", 20.0)).await?;
    wait::until(DEADLINE, "who spoke and is silent again is found again", async || {
        found(cornjacket).await.is_ok_and(|found| found.len() == many + 1)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_of_a_thousand_fall_silent_and_no_outage_accuses_anybody() -> anyhow::Result<()> {
    let mut kafka = Kafka::start().await?;
    let full_stack = FullStack::on(fresh_database().await?, kafka.bootstrap());
    let door = full_stack.cornjacket(&[])?.roles("ingest");
    let others = full_stack.cornjacket(&[GRACE])?.roles("relay,inference,query");
    let (mut ingest, mut process) = (door.start().await?, others.start().await?);
    register(&others, MODEL).await?;
    let devices = Devices::speak(&door, 1_000);
    nobody_is_accused(&others, "all is well").await?;

    ingest.kill9().await?;
    away("ingest is away").await?;
    let ingest = door.start().await?;
    nobody_is_accused(&others, "ingest was away").await?;

    kafka.kill().await?;
    away("the bus is away").await?;
    assert_eq!(found(&others).await?.len(), 0, "while the bus is away");
    kafka.restart_on_same_port().await?;
    nobody_is_accused(&others, "the bus was away").await?;

    process.kill9().await?;
    away("the processor is away").await?;
    let process = others.start().await?;
    nobody_is_accused(&others, "the processor was away").await?;

    those_who_are_silent_are_found(&door, &others, &devices, 10).await?;
    stop(ingest).await?;
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded_silence_is_found_and_outages_accuse_nobody() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite://{}", folder.path().join("cornjacket.db").display());
    let cornjacket = Cornjacket::new(&[("store.url", &url), GRACE])?;
    let mut process: Process = cornjacket.start().await?;
    register(&cornjacket, MODEL).await?;
    let devices = Devices::speak(&cornjacket, 100);
    nobody_is_accused(&cornjacket, "all is well").await?;
    process.kill9().await?;
    away("everything is away").await?;
    let process = cornjacket.start().await?;
    nobody_is_accused(&cornjacket, "everything was away").await?;
    those_who_are_silent_are_found(&cornjacket, &cornjacket, &devices, 5).await?;
    stop(process).await
}
