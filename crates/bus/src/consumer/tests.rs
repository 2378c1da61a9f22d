use std::collections::VecDeque;
use std::sync::Mutex;

use cornjacket_domain::Timestamp;
use cornjacket_proto::events::Event;
use prost::Message;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::*;
use crate::codec::Envelope;
use crate::{Publisher, Subscription};

const DEADLINE: Duration = Duration::from_mins(2);
const EPOCH: u32 = 1;

fn partition(partition: u16) -> TopicPartition {
    TopicPartition { topic: Topic::SensorEvents, partition }
}

/// The record of the event at `position`, at the offset of the same number.
fn record(at: u16, position: u64) -> Record {
    let event = Event { id: position.to_string(), ..Event::default() };
    Record {
        at: partition(at),
        offset: position,
        key: None,
        value: event.encode_to_vec().into(),
        envelope: Envelope {
            position: Some(position),
            ingest_time: Some(Timestamp::default()),
            epoch: Some(EPOCH),
            ..Envelope::default()
        },
    }
}

/// A bus that hands every subscriber the records it was made with, from where the subscriber wants to begin.
#[derive(Debug)]
struct ScriptedBus(Vec<Record>);

struct ScriptedSubscription {
    script: VecDeque<Record>,
    answer: Option<oneshot::Receiver<Vec<u64>>>,
    asked: bool,
}

#[async_trait]
impl Bus for ScriptedBus {
    async fn prepare(&self) -> Result<(), BusError> {
        Ok(())
    }
    async fn publisher(&self, _: &str) -> Result<Option<Box<dyn Publisher>>, BusError> {
        Ok(None)
    }
    async fn subscribe(&self, _: &str, _: &[Topic]) -> Result<Box<dyn Subscription>, BusError> {
        Ok(Box::new(ScriptedSubscription { script: self.0.clone().into(), answer: None, asked: false }))
    }
}

#[async_trait]
impl Subscription for ScriptedSubscription {
    async fn next(&mut self) -> Result<Delivery, BusError> {
        if !self.asked {
            let (begin_at, answer) = oneshot::channel();
            (self.asked, self.answer) = (true, Some(answer));
            return Ok(Delivery::Assigned(Assignment {
                partitions: vec![partition(0), partition(1)],
                begin_at,
            }));
        }
        if let Some(answer) = self.answer.take() {
            let begin = answer.await.expect("the consumer answers");
            self.script.retain(|record| record.offset >= begin[usize::from(record.at.partition)]);
        }
        match self.script.pop_front() {
            Some(record) => Ok(Delivery::Records(record.at, vec![record])),
            None => std::future::pending().await,
        }
    }
}

/// Progress and effects, and the trouble that the test wants.
#[derive(Debug, Default)]
struct Table {
    progress: BTreeMap<TopicPartition, Progress>,
    handled: Vec<u64>,
    outages: usize,
    /// Commits that go through and are reported as failed.
    lost_answers: usize,
    steal: bool,
}

#[derive(Clone, Debug, Default)]
struct Shared(Arc<Mutex<Table>>);

struct Tx {
    at: TopicPartition,
    to: Progress,
    handled: Vec<u64>,
}

impl Shared {
    fn with<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        act(&mut self.0.lock().expect("no test panics with it"))
    }
}

#[async_trait]
impl Checkpoint for Shared {
    type Tx = Tx;

    async fn load(&self, _: &str, at: TopicPartition) -> Result<Progress, CheckpointError> {
        Ok(self.with(|table| table.progress.get(&at).copied().unwrap_or_default()))
    }

    async fn begin(
        &self,
        _: &str,
        at: TopicPartition,
        from: Progress,
        to: Progress,
    ) -> Result<Tx, CheckpointError> {
        self.with(|table| {
            if std::mem::take(&mut table.steal) {
                table.progress.insert(at, to);
            }
            if table.outages > 0 {
                table.outages -= 1;
                return Err(CheckpointError::Outage("down".into()));
            }
            if table.progress.get(&at).copied().unwrap_or_default() != from {
                return Err(CheckpointError::Fenced);
            }
            Ok(Tx { at, to, handled: vec![] })
        })
    }

    async fn commit(&self, tx: Tx) -> Result<(), CheckpointError> {
        self.with(|table| {
            table.progress.insert(tx.at, tx.to);
            table.handled.extend(tx.handled);
            if table.lost_answers > 0 {
                table.lost_answers -= 1;
                return Err(CheckpointError::Outage("the answer was lost".into()));
            }
            Ok(())
        })
    }
}

/// Notes what it is handed; refuses one position.
struct Noting {
    refuses: Option<u64>,
}

#[async_trait]
impl Handler<Tx> for Noting {
    fn name(&self) -> &'static str {
        "noting"
    }
    fn topics(&self) -> &[Topic] {
        &[Topic::SensorEvents]
    }
    async fn handle(&self, tx: &mut Tx, events: &[Delivered]) -> Result<(), HandlerError> {
        for event in events {
            let position = event.event.position;
            if self.refuses == Some(position) {
                return Err(HandlerError::Reject { position, source: "poison".into() });
            }
            tx.handled.push(position);
        }
        Ok(())
    }
}

/// Consumes `records` until `done` says so.
async fn consume(shared: &Shared, records: Vec<Record>, refuses: Option<u64>, done: impl Fn(&Table) -> bool) {
    let consumer = Consumer::new(Arc::new(ScriptedBus(records)), shared.clone(), Noting { refuses }, EPOCH);
    let running = tokio::spawn(consumer.run(std::future::pending()));
    let finished = async {
        while !shared.with(|table| done(table)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, finished).await.expect("it gets there in time");
    running.abort();
}

fn handled(shared: &Shared) -> Vec<u64> {
    shared.with(|table| table.handled.clone())
}

fn three() -> Vec<Record> {
    (1..=3).map(|position| record(0, position)).collect()
}

#[tokio::test(start_paused = true)]
async fn repeats_and_replays_move_the_offset_and_nothing_else() {
    let shared = Shared::default();
    let mut records = three();
    records.push(Record { offset: 4, ..record(0, 2) });
    let mut replay = record(0, 5);
    replay.envelope.replay = true;
    records.push(replay);
    consume(&shared, records, None, |table| {
        table.progress.get(&partition(0)).is_some_and(|p| p.next_offset == 6)
    })
    .await;
    assert_eq!(handled(&shared), [1, 2, 3]);
    assert_eq!(shared.with(|table| table.progress[&partition(0)].last_position), 3);
}

#[tokio::test(start_paused = true)]
async fn outages_are_waited_for_and_skip_nothing() {
    let shared = Shared::default();
    shared.with(|table| table.outages = 7);
    consume(&shared, three(), None, |table| table.handled.len() >= 3).await;
    assert_eq!(handled(&shared), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_was_lost_has_its_effect_once() {
    let shared = Shared::default();
    shared.with(|table| table.lost_answers = 2);
    consume(&shared, three(), None, |table| table.handled.len() >= 3).await;
    assert_eq!(handled(&shared), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn who_is_overtaken_goes_on_from_where_the_other_came() {
    let shared = Shared::default();
    shared.with(|table| table.steal = true);
    consume(&shared, three(), None, |table| table.handled.contains(&3)).await;
    assert_eq!(handled(&shared), [2, 3], "the thief had the first");
}

#[tokio::test(start_paused = true)]
async fn poison_stops_its_partition_and_no_other() {
    let shared = Shared::default();
    let mut records = three();
    records[1].value = vec![0xff; 3].into();
    records.extend((10..=12).map(|position| record(1, position)));
    consume(&shared, records, None, |table| table.handled.contains(&12)).await;
    assert_eq!(handled(&shared), [1, 10, 11, 12]);
    assert_eq!(shared.with(|table| table.progress[&partition(0)].next_offset), 2, "nothing is skipped");
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_a_rejected_event_is_kept() {
    let records: Vec<_> = (1..=5).map(|position| record(0, position)).collect();
    let mut batch = Batch::new(Progress::default(), &records, EPOCH);
    assert!(batch.cut_before(3, "poison".into()));
    assert_eq!(batch.events.len(), 2);
    assert_eq!(batch.to, Progress { next_offset: 3, last_position: 2 });
    assert_eq!(batch.poison, Some(Poison { offset: 3, error: "poison".into() }));
    let shared = Shared::default();
    consume(&shared, records, Some(3), |table| table.handled.len() >= 2).await;
    assert_eq!(handled(&shared), [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn another_epoch_is_poison() {
    let mut records = three();
    records[2].envelope.epoch = Some(EPOCH + 1);
    let batch = Batch::new(Progress::default(), &records, EPOCH);
    assert_eq!(batch.events.len(), 2);
    assert_eq!(batch.poison.expect("the third").offset, 3);
}
