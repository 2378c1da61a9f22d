//! A bus that has forgotten, and a log that has not.

use cornjacket_domain::{Partitions, StoredEvent, Timestamp};
use prost::Message;
use tokio::time::timeout;

use super::bed::*;
use super::{handled, offsets, until};
use crate::consumer::*;
use crate::log::{LogSource, SourceError};
use crate::{Progress, Record};

/// Readings at the positions up to this one, all of one device.
#[derive(Debug)]
struct Log(u64);

#[async_trait]
impl LogSource for Log {
    async fn read(&self, after: u64, limit: u32) -> Result<Vec<StoredEvent>, SourceError> {
        let event = |position: u64| StoredEvent {
            position,
            ingest_time: Timestamp::default(),
            event_type: "sensor.reading".into(),
            subject: "a".into(),
            encoded: cornjacket_proto::events::Event { id: position.to_string(), ..Default::default() }
                .encode_to_vec()
                .into(),
        };
        Ok((after + 1..=self.0).take(limit as usize).map(event).collect())
    }

    fn watch(&self) -> watch::Receiver<u64> {
        watch::Sender::new(self.0).subscribe()
    }
}

/// The record of a position, at another offset; the event before it was at the position before.
fn at_offset(offset: u64, position: u64) -> Record {
    let mut record = Record { offset, ..record(0, position) };
    record.envelope.previous = Some(position - 1);
    record
}

fn consumer(bus: ScriptedBus, shared: &Shared, handler: &Noting, log: u64) -> Consumer<Shared, Noting> {
    let log = PartitionedLog { source: Arc::new(Log(log)), partitions: Partitions::ONE, epoch: EPOCH };
    Consumer::new(Arc::new(bus), shared.clone(), handler.clone(), EPOCH).with_log(log)
}

/// Was at offset 100 and position 2, before the bus forgot.
fn was_there() -> Shared {
    let shared = Shared::default();
    let was = Progress { next_offset: 100, last_position: 2 };
    shared.with(|table| table.progress.insert(partition(0), was));
    shared
}

fn until_position(position: u64) -> impl Fn(&Table) -> bool {
    move |table| table.progress[&partition(0)].last_position >= position
}

#[tokio::test(start_paused = true)]
async fn what_the_bus_has_forgotten_is_read_from_the_log_and_the_rest_from_the_bus() {
    // Longer than what is read at once; the bus has its end, at offsets that mean nothing any more, and goes on.
    let (log, last) = (2_500, 2_503);
    let records: Vec<_> = (log - 9..=last).map(|position| at_offset(position - 2_400, position)).collect();
    for offsets in [0..=95, 90..=99, 101..=101] {
        let shared = was_there();
        let bus = ScriptedBus { offsets: offsets.clone(), ..ScriptedBus::new(records.clone()) };
        let running =
            tokio::spawn(consumer(bus, &shared, &Noting::default(), log).run(std::future::pending()));
        until(&shared, until_position(last)).await;
        assert_eq!(handled(&shared), (3..=last).collect::<Vec<_>>(), "{offsets:?}");
        assert_eq!(shared.with(|table| table.progress[&partition(0)].next_offset), last - 2_400 + 1);
        running.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_topic_made_anew_that_has_grown_beyond_is_seen_through() {
    // The offset is in range, but the record there says that something came before it.
    let shared = was_there();
    let bus =
        ScriptedBus { offsets: 0..=102, ..ScriptedBus::new(vec![at_offset(100, 7), at_offset(101, 8)]) };
    let running = tokio::spawn(consumer(bus, &shared, &Noting::default(), 8).run(std::future::pending()));
    until(&shared, until_position(8)).await;
    assert_eq!(handled(&shared), [3, 4, 5, 6, 7, 8]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn poison_on_the_way_back_parks_its_key_and_keeps_its_place() {
    let shared = was_there();
    let bus = ScriptedBus { offsets: 0..=5, ..ScriptedBus::new(vec![at_offset(5, 6)]) };
    let handler = Noting::refusing(&[4]);
    let running = tokio::spawn(consumer(bus, &shared, &handler, 5).run(std::future::pending()));
    until(&shared, until_position(6)).await;
    assert_eq!(handled(&shared), [3]);
    let positions = |table: &Table| {
        table.letters.iter().map(|letter| letter.record.envelope.position).collect::<Vec<_>>()
    };
    assert_eq!(shared.with(|table| positions(table)), [Some(4), Some(5), Some(6)]);
    assert_eq!(offsets(&shared).iter().map(|(_, poison)| *poison).collect::<Vec<_>>(), [true, false, false]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn who_reads_the_log_says_so() {
    let shared = was_there();
    shared.with(|table| table.paused = true);
    let bus = ScriptedBus { offsets: 0..=0, ..ScriptedBus::new(vec![]) };
    let running = tokio::spawn(consumer(bus, &shared, &Noting::default(), 3).run(std::future::pending()));
    let reasons =
        |table: &Table| -> Vec<String> { table.reports.iter().map(|report| report.reason.clone()).collect() };
    until(&shared, |table| reasons(table).iter().any(|reason| reason.contains("reads the log"))).await;
    shared.with(|table| table.paused = false);
    until(&shared, until_position(3)).await;
    let bus_again = async {
        while shared.with(|table| reasons(table).iter().any(|reason| reason.contains("reads the log"))) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, bus_again).await.expect("it says that it is over");
    running.abort();
}
