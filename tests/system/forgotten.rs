//! A bus that has forgotten what a consumer has not read yet, or everything.

use std::time::Duration;

use cornjacket_domain::Topic;
use cornjacket_proto::events::system_event::Status;
use cornjacket_proto::ingest::AppendBatchRequest;
use cornjacket_testkit::{Kafka, fresh_database, wait};

use super::cornjacket::{Cornjacket, stop};
use super::events::{system_status, user_action};
use super::expected::{Expected, until_read};
use super::full_stack::{FullStack, PARTITIONS, open, read_log};
use super::load::{self, Acknowledged};
use super::takeover::metric;

const DEADLINE: Duration = Duration::from_mins(1);

/// What a projector logs when it takes to the log.
const READS_THE_LOG: &str = "the bus has forgotten what comes next";

/// Events of all topics are acknowledged, at least `more` of them readings.
async fn load(cornjacket: &Cornjacket, name: &str, more: usize) -> anyhow::Result<()> {
    let acknowledged = Acknowledged::default();
    let mut writers = load::start(cornjacket, name, &acknowledged);
    wait::until(DEADLINE, "events are acknowledged", async || acknowledged.count() > more).await?;
    writers.shutdown().await;
    append_others(cornjacket, name).await
}

/// What users and services do, in one batch: what writers left under way is stored before it.
async fn append_others(cornjacket: &Cornjacket, name: &str) -> anyhow::Result<()> {
    let actions = (0..200).map(|number| {
        user_action(&format!("user-{}", number % 11), &format!("{name}-action-{number}"), "login")
    });
    let statuses = (0..200).map(|number| {
        let status = [Status::Ok, Status::Degraded, Status::Down][number % 3];
        let (service, id) = (format!("service-{}", number % 7), format!("{name}-status-{number}"));
        system_status(&service, &id, status, &id)
    });
    let events = actions.chain(statuses).collect();
    cornjacket.ingest().await?.append_batch(AppendBatchRequest { events }).await?;
    Ok(())
}

/// Every state and every series is the fold of the log.
async fn check_fold(full_stack: &FullStack) -> anyhow::Result<()> {
    let log = read_log(&full_stack.database).await?;
    let store = open(&full_stack.database).await?;
    until_read(&store, &log, DEADLINE).await?;
    Expected::of(&log, |_| true)?.check(&store).await
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
async fn consumers_that_were_away_for_too_long_read_the_log() -> anyhow::Result<()> {
    let kafka = Kafka::start().await?;
    let full_stack = FullStack::on(fresh_database().await?, kafka.bootstrap());
    let rest = full_stack.cornjacket(&[])?.roles("ingest,relay,query");
    let process = rest.start().await?;
    let consumers = full_stack.cornjacket(&[])?.roles("projector,inference");
    for (round, drop_records) in [true, false].into_iter().enumerate() {
        let before = consumers.start().await?;
        load(&rest, &format!("{round}-read"), 300).await?;
        check_fold(&full_stack).await?;
        stop(before).await?;

        load(&rest, &format!("{round}-forgotten"), 3_000).await?;
        published(&full_stack, &rest).await?;
        if drop_records {
            for topic in Topic::ALL {
                kafka.drop_records(&full_stack.topic(topic.name()), PARTITIONS).await?;
            }
        } else {
            delete_topics(&full_stack, &kafka).await?;
        }
        // On top of it; a topic that was made anew has everything again.
        load(&rest, &format!("{round}-after"), 300).await?;
        if !drop_records {
            full_stack.check_topics(&read_log(&full_stack.database).await?).await?;
        }
        let after = consumers.start().await?;
        check_fold(&full_stack).await?;
        // What comes next comes over the bus.
        load(&rest, &format!("{round}-bus"), 300).await?;
        check_fold(&full_stack).await?;
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
    append_others(&cornjacket, "topics").await?;
    let log = read_log(&full_stack.database).await?;
    acknowledged.check(&log)?;
    full_stack.check_topics(&log).await?;
    check_fold(&full_stack).await?;
    stop(process).await
}
