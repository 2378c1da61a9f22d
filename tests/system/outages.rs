//! What Cornjacket stands on goes away and comes back.

use std::time::Duration;

use cornjacket_proto::admin::ListDeadLettersRequest;
use cornjacket_proto::google::rpc;
use cornjacket_proto::ingest::AppendRequest;
use cornjacket_testkit::{Kafka, Postgres, fresh_database, shared_kafka, wait};
use prost::Message;
use tokio::time::{Instant, timeout};
use tonic::{Code, Status};

use super::cornjacket::{Cornjacket, http_get, is_ready, stop};
use super::events::reading;
use super::full_stack::{FullStack, read_log};
use super::load::{self, Acknowledged};

const BACK: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn kafka_may_be_away_while_ingest_goes_on() -> anyhow::Result<()> {
    const MEMORY: u64 = 512 << 20;
    let mut kafka = Kafka::start().await?;
    let full_stack = FullStack::on(fresh_database().await?, kafka.bootstrap());
    let cornjacket = full_stack.cornjacket(&[("watchdog.stuck_after_ms", "25000")])?;
    let process = cornjacket.start().await?;
    let acknowledged = Acknowledged::default();
    let mut writers = load::start(&cornjacket, "kafka", &acknowledged);
    wait::until(BACK, "events are acknowledged", async || acknowledged.count() > 1_000).await?;

    kafka.kill().await?;
    let (until, mut largest, mut before) = (Instant::now() + away(12), 0, acknowledged.count());
    while Instant::now() < until {
        wait::until(BACK, "ingest goes on", async || acknowledged.count() > before + 100).await?;
        before = acknowledged.count();
        largest = process.memory()?.max(largest);
    }
    kafka.restart_on_same_port().await?;
    writers.abort_all();
    while writers.join_next().await.is_some() {}
    println!("{} events, at most {} MiB resident", acknowledged.count(), largest >> 20);
    assert!(largest < MEMORY, "{largest} bytes resident");
    acknowledged.check(&read_log(&full_stack.database).await?)?;
    full_stack.check().await?;
    assert_unharmed(&cornjacket).await?;
    // It stops in time while it cannot take leave of its groups.
    kafka.kill().await?;
    stop(process).await
}

/// An outage is neither the fault of an event nor a stage that is stuck.
async fn assert_unharmed(cornjacket: &Cornjacket) -> anyhow::Result<()> {
    // The watchdog says once a second how stages are.
    wait::until(BACK, "the relay is said to run", async || {
        let metrics = http_get(cornjacket.ops, "/metrics").await.unwrap_or_default();
        metrics.contains(r#"cornjacket_stage_state{stage="relay",state="running"} 1"#)
    })
    .await?;
    let metrics = http_get(cornjacket.ops, "/metrics").await?;
    assert!(!metrics.contains("cornjacket_stage_restarts_total"), "{metrics}");
    let dead = cornjacket.admin().await?.list_dead_letters(ListDeadLettersRequest::default()).await?;
    assert_eq!(dead.into_inner().dead_letters, []);
    Ok(())
}

/// For how long a server is away.
fn away(seconds: u64) -> Duration {
    Duration::from_secs(if load::long() { 60 } else { seconds })
}

/// UNAVAILABLE, with the time after which to try again.
fn is_retryable(status: &Status) -> bool {
    let details = rpc::Status::decode(status.details()).unwrap_or_default().details;
    status.code() == Code::Unavailable
        && details.iter().any(|detail| detail.type_url.ends_with("google.rpc.RetryInfo"))
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_may_be_away_and_callers_are_told() -> anyhow::Result<()> {
    let mut postgres = Postgres::start().await?;
    let full_stack = FullStack::on(postgres.url("postgres"), shared_kafka().await?);
    let cornjacket = full_stack.cornjacket(&[])?;
    let process = cornjacket.start().await?;
    let acknowledged = Acknowledged::default();
    for (round, stalled) in [false, true].into_iter().enumerate() {
        let writers = load::start(&cornjacket, &format!("before-{round}"), &acknowledged);
        let before = acknowledged.count();
        wait::until(BACK, "events are acknowledged", async || acknowledged.count() > before + 200).await?;
        if stalled {
            postgres.pause()?;
        } else {
            postgres.kill().await?;
        }
        // Each writer ends at its first error, within the time that a commit may take.
        for status in timeout(Duration::from_secs(10), writers.join_all()).await? {
            assert!(is_retryable(&status), "{status:?}");
        }
        wait::until(BACK, "readiness says so", async || !is_ready(cornjacket.ops).await).await?;
        let until = Instant::now() + away(1);
        while Instant::now() < until {
            let mut ingest = cornjacket.ingest().await?;
            let refused = ingest.append(AppendRequest { event: Some(reading("pump", "while-away", 1.0)) });
            let refused = timeout(Duration::from_secs(10), refused).await?.expect_err("refused");
            assert!(is_retryable(&refused), "{refused:?}");
        }
        if stalled {
            postgres.resume()?;
        } else {
            postgres.restart_on_same_port().await?;
        }
        wait::until(BACK, "it is ready again", async || is_ready(cornjacket.ops).await).await?;
    }
    let writers = load::start(&cornjacket, "after", &acknowledged);
    let before = acknowledged.count();
    wait::until(BACK, "events are acknowledged", async || acknowledged.count() > before + 200).await?;
    drop(writers);
    acknowledged.check(&read_log(&full_stack.database).await?)?;
    full_stack.check().await?;
    assert_unharmed(&cornjacket).await?;
    stop(process).await
}
