//! Taking records off topics: what the consume loop sees of the thread that polls (`poller.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as commands;

use async_trait::async_trait;
use cornjacket_domain::Topic;
use tokio::sync::mpsc;

use super::KafkaBus;
use super::poller::{Batch, Poller};
use crate::{Assignment, BusError, Delivery, Records, Subscription, TopicPartition};

/// Batches that wait for the consumer.
const WAITING: usize = 4;

pub(super) struct KafkaSubscription {
    news: mpsc::Receiver<Result<Assignment, BusError>>,
    records: mpsc::Receiver<Batch>,
    /// How many assignments there were. Records of those before mean nothing any more.
    assignments: u64,
    flow: commands::Sender<TopicPartition>,
    stop: Arc<AtomicBool>,
}

impl KafkaSubscription {
    pub(super) fn new(bus: &KafkaBus, group: &str, topics: &[Topic]) -> Result<Self, BusError> {
        let (tell, news) = mpsc::channel(1);
        let (hand_on, records) = mpsc::channel(WAITING);
        let (flow, flows) = commands::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let named: Vec<_> = topics.iter().map(|topic| (bus.topic_name(*topic), *topic)).collect();
        let poller = Poller::new(&config(bus, group), named, tell, hand_on, flows, stop.clone())?;
        // The runtime waits for it at the end, so that a member takes leave of its group: its partitions are free at once.
        tokio::task::spawn_blocking(move || poller.run());
        Ok(Self { news, records, assignments: 0, flow, stop })
    }

    /// Its records, when they came with the last assignment.
    fn current(&self, batch: Batch) -> Records {
        if batch.assignment == self.assignments { batch.records } else { Records::new() }
    }

    fn hear(&mut self, news: Option<Result<Assignment, BusError>>) -> Result<Assignment, BusError> {
        let assignment = news.ok_or_else(ended)??;
        self.assignments += 1;
        Ok(assignment)
    }
}

fn config(bus: &KafkaBus, group: &str) -> rdkafka::ClientConfig {
    let options = &bus.options;
    let mut config = bus.client();
    config
        .set("group.id", format!("{}{group}", options.prefix))
        .set("session.timeout.ms", options.session_timeout.as_millis().to_string())
        .set("heartbeat.interval.ms", (options.session_timeout / 4).as_millis().to_string())
        .set("partition.assignment.strategy", "range")
        // Offsets are kept beside the effects; one that is gone is said, not guessed.
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        // See publisher.rs.
        .set("isolation.level", "read_uncommitted");
    if let Some(instance) = &options.instance_id {
        config.set("group.instance.id", format!("{instance}-{group}"));
    }
    config
}

#[async_trait]
impl Subscription for KafkaSubscription {
    async fn next(&mut self) -> Result<Delivery, BusError> {
        loop {
            tokio::select! {
                biased;
                news = self.news.recv() => return self.hear(news).map(Delivery::Assigned),
                batch = self.records.recv() => {
                    let mut records = self.current(batch.ok_or_else(ended)?);
                    // What waits behind it goes with it: one transaction for all of it, instead of one after the other.
                    while let Ok(batch) = self.records.try_recv() {
                        for (at, more) in self.current(batch) {
                            records.entry(at).or_default().extend(more);
                        }
                    }
                    if !records.is_empty() {
                        return Ok(Delivery::Records(records));
                    }
                }
            }
        }
    }

    async fn assigned(&mut self) -> Result<Assignment, BusError> {
        let news = self.news.recv().await;
        self.hear(news)
    }

    async fn let_flow(&mut self, at: TopicPartition) -> Result<(), BusError> {
        self.flow.send(at).map_err(|_| ended())
    }
}

fn ended() -> BusError {
    BusError::Outage("the consumer's thread has ended".into())
}

impl Drop for KafkaSubscription {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
