//! A bus that has forgotten what a consumer has not read yet, or everything.

use std::time::Duration;

use cornjacket_domain::Topic;
use cornjacket_testkit::{Kafka, fresh_database, wait};

use super::cornjacket::{Cornjacket, stop};
use super::full_stack::{FullStack, PARTITIONS, read_log};
use super::load::{self, Acknowledged};
use super::takeover::metric;

const DEADLINE: Duration = Duration::from_mins(1);

/// What a projector logs when it takes to the log.
const READS_THE_LOG: &str = "the bus has forgotten what comes next";

/// Events are acknowledged until there are `more`.
async fn load(cornjacket: &Cornjacket, name: &str, more: usize) -> anyhow::Result<()> {
    let acknowledged = Acknowledged::default();
    let _writers = load::start(cornjacket, name, &acknowledged);
    wait::until(DEADLINE, "events are acknowledged", async || acknowledged.count() > more).await
}

/// Waits until the relay has published all of the log.
async fn published(full_stack: &FullStack, cornjacket: &Cornjacket) -> anyhow::Result<()> {
    let last = u32::try_from(read_log(&full_stack.database).await?.len())?;
    wait::until(DEADLINE, "all is published", async || {
        metric(cornjacket.ops, "cornjacket_relay_position").await >= f64::from(last)
    })
    .await
}

/// Deletes all topics, and waits until the relay has made them anew.
async fn delete_topics(full_stack: &FullStack, kafka: &Kafka) -> anyhow::Result<()> {
    kafka.topics(&["--delete", "--topic", &full_stack.topic(".*")]).await?;
    wait::until(DEADLINE, "the topics are there again", async || {
        let topics = kafka.topics(&["--list"]).await.unwrap_or_default();
        Topic::ALL.iter().all(|topic| topics.contains(&full_stack.topic(topic.name())))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projector_that_was_away_for_too_long_reads_the_log() -> anyhow::Result<()> {
    let kafka = Kafka::start().await?;
    let full_stack = FullStack::on(fresh_database().await?, kafka.bootstrap());
    let rest = full_stack.cornjacket(&[])?.roles("ingest,relay,query");
    let process = rest.start().await?;
    let projector = full_stack.cornjacket(&[])?.roles("projector");
    for (round, drop_records) in [true, false].into_iter().enumerate() {
        let before = projector.start().await?;
        load(&rest, &format!("{round}-read"), 300).await?;
        full_stack.check_device_state(&read_log(&full_stack.database).await?).await?;
        stop(before).await?;

        load(&rest, &format!("{round}-forgotten"), 3_000).await?;
        published(&full_stack, &rest).await?;
        if drop_records {
            kafka.drop_records(&full_stack.topic("sensor-events"), PARTITIONS).await?;
        } else {
            delete_topics(&full_stack, &kafka).await?;
        }
        // On top of it; a topic that was made anew has everything again.
        load(&rest, &format!("{round}-after"), 300).await?;
        let log = read_log(&full_stack.database).await?;
        if !drop_records {
            full_stack.check_topics(&log).await?;
        }
        let after = projector.start().await?;
        full_stack.check_device_state(&log).await?;
        // What comes next comes over the bus.
        load(&rest, &format!("{round}-bus"), 300).await?;
        full_stack.check_device_state(&read_log(&full_stack.database).await?).await?;
        assert!(!drop_records || after.log().contains(READS_THE_LOG), "{}", after.log());
        stop(after).await?;
    }
    stop(process).await
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_deleted_under_load_are_made_and_filled_again() -> anyhow::Result<()> {
    let kafka = Kafka::start().await?;
    let full_stack = FullStack::on(fresh_database().await?, kafka.bootstrap());
    let cornjacket = full_stack.cornjacket(&[])?;
    let process = cornjacket.start().await?;
    let acknowledged = Acknowledged::default();
    let mut writers = load::start(&cornjacket, "topics", &acknowledged);
    for _ in 0..if load::long() { 10 } else { 2 } {
        let before = acknowledged.count();
        wait::until(DEADLINE, "events are acknowledged", async || acknowledged.count() > before + 1_000)
            .await?;
        delete_topics(&full_stack, &kafka).await?;
    }
    writers.abort_all();
    while writers.join_next().await.is_some() {}
    acknowledged.check(&read_log(&full_stack.database).await?)?;
    full_stack.check().await?;
    stop(process).await
}
