mod bed;
mod limits;
mod milestones;
mod prepared;
mod way_back;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::time::timeout;

use self::bed::*;
use super::*;
use crate::{Letter, Milestone, Parked, Progress, Record};

fn owned() -> Owned {
    Owned {
        progress: Progress::default(),
        parked: Parked::default(),
        reads: Reads::Bus,
        limits: ParkLimits::NONE,
        is_full: false,
        untold: None,
    }
}

/// Consumes `records` until `done` says so.
async fn consume(shared: &Shared, records: Vec<Record>, handler: Noting, done: impl Fn(&Table) -> bool) {
    let consumer = Consumer::new(Arc::new(ScriptedBus::new(records)), shared.clone(), handler, EPOCH);
    let running = tokio::spawn(consumer.run(std::future::pending()));
    until(shared, done).await;
    running.abort();
}

async fn until(shared: &Shared, done: impl Fn(&Table) -> bool) {
    let finished = async {
        while !shared.with(|table| done(table)) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(DEADLINE, finished).await.expect("it gets there in time");
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
    replay.envelope.replay = Some("r-1".into());
    records.push(replay);
    consume(&shared, records, Noting::default(), |table| {
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
    consume(&shared, three(), Noting::default(), |table| table.handled.len() >= 3).await;
    assert_eq!(handled(&shared), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_was_lost_has_its_effect_once() {
    let shared = Shared::default();
    shared.with(|table| table.lost_answers = 2);
    consume(&shared, three(), Noting::default(), |table| table.handled.len() >= 3).await;
    assert_eq!(handled(&shared), [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn who_is_overtaken_goes_on_from_where_the_other_came() {
    let shared = Shared::default();
    shared.with(|table| table.steal = true);
    consume(&shared, three(), Noting::default(), |table| table.handled.contains(&3)).await;
    assert_eq!(handled(&shared), [2, 3], "the thief had the first");
}

#[tokio::test(start_paused = true)]
async fn who_is_paused_with_records_in_hand_still_hears_what_it_is_assigned() {
    let shared = Shared::default();
    shared.with(|table| table.paused = true);
    let bus = ScriptedBus::new(three());
    let rebalance = bus.rebalance.clone();
    let consumer = Consumer::new(Arc::new(bus), shared.clone(), Noting::default(), EPOCH);
    let running = tokio::spawn(consumer.run(std::future::pending()));
    until(&shared, |table| table.loads == 2).await;
    // Somebody else has had the partition, and was not paused.
    shared.with(|table| table.progress.insert(partition(0), Progress { next_offset: 3, last_position: 2 }));
    rebalance.notify_one();
    until(&shared, |table| table.loads == 4).await;
    assert!(handled(&shared).is_empty());
    shared.with(|table| table.paused = false);
    until(&shared, all_handled(3)).await;
    assert_eq!(handled(&shared), [3]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_store_still_hears_what_it_is_assigned() {
    let shared = Shared::default();
    shared.with(|table| table.outages = usize::MAX);
    let bus = ScriptedBus::new(three());
    let (rebalance, assignments) = (bus.rebalance.clone(), bus.assignments.clone());
    let consumer = Consumer::new(Arc::new(bus), shared.clone(), Noting::default(), EPOCH);
    let mut state = consumer.state();
    let running = tokio::spawn(consumer.run(std::future::pending()));
    let waiting = state.wait_for(|state| matches!(state, State::Waiting { .. }));
    timeout(DEADLINE, waiting).await.expect("in time").expect("it runs");
    rebalance.notify_one();
    until(&shared, |_| assignments.load(Ordering::Relaxed) == 2).await;
    shared.with(|table| table.outages = 0);
    until(&shared, all_handled(3)).await;
    assert_eq!(handled(&shared), [1, 2, 3]);
    running.abort();
}

fn keyed(position: u64, key: &'static str) -> Record {
    Record { key: Bytes::from_static(key.as_bytes()), ..record(0, position) }
}

fn offsets(shared: &Shared) -> Vec<(u64, bool)> {
    let letter = |letter: &Letter| (letter.record.offset, letter.error.is_some());
    shared.with(|table| table.letters.iter().map(letter).collect())
}

fn all_handled(count: u64) -> impl Fn(&Table) -> bool {
    move |table| table.progress.get(&partition(0)).is_some_and(|progress| progress.next_offset > count)
}

#[tokio::test(start_paused = true)]
async fn poison_parks_its_key_and_no_other() {
    let shared = Shared::default();
    let mut records: Vec<_> =
        [(1, "a"), (2, "b"), (3, "a"), (4, "b"), (5, "a")].map(|(position, key)| keyed(position, key)).into();
    records[0].value = vec![0xff; 3].into();
    consume(&shared, records, Noting::default(), all_handled(5)).await;
    assert_eq!(handled(&shared), [2, 4]);
    assert_eq!(offsets(&shared), [(1, true), (3, false), (5, false)]);
}

#[tokio::test(start_paused = true)]
async fn what_is_rejected_is_redriven_in_order_once_it_can_be_handled() {
    let shared = Shared::default();
    let records: Vec<_> =
        [(1, "a"), (2, "a"), (3, "b"), (4, "a")].map(|(position, key)| keyed(position, key)).into();
    let handler = Noting::refusing(&[2]);
    let consumer = Consumer::new(Arc::new(ScriptedBus::new(records)), shared.clone(), handler.clone(), EPOCH);
    let state = consumer.state();
    let running = tokio::spawn(consumer.run(std::future::pending()));
    until(&shared, all_handled(4)).await;
    assert_eq!((handled(&shared), offsets(&shared)), (vec![1, 3], vec![(2, true), (4, false)]));

    shared.with(|table| table.redrive = true);
    until(&shared, |table| !table.redrive).await;
    assert_eq!(handled(&shared), [1, 3], "still refused, and asked for once only");

    handler.refuses.lock().expect("no test panics with it").clear();
    shared.with(|table| table.redrive = true);
    until(&shared, |table| table.letters.is_empty()).await;
    assert_eq!(handled(&shared), [1, 3, 2, 4]);
    let mut state = state;
    timeout(DEADLINE, state.wait_for(|state| *state == State::Running))
        .await
        .expect("in time")
        .expect("it runs");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_is_left_out_and_what_waited_flows() {
    let shared = Shared::default();
    let handler = Noting::refusing(&[1]);
    let records = vec![keyed(1, "a"), keyed(2, "a")];
    shared.with(|table| table.given_up = vec![1]);
    let consumer = Consumer::new(Arc::new(ScriptedBus::new(records)), shared.clone(), handler, EPOCH);
    let running = tokio::spawn(consumer.run(std::future::pending()));
    until(&shared, all_handled(2)).await;
    shared.with(|table| table.redrive = true);
    until(&shared, |table| table.letters.is_empty()).await;
    assert_eq!(handled(&shared), [2]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_is_found_by_halving() {
    let shared = Shared::default();
    let records: Vec<_> = (1..=9)
        .zip(["b", "c", "a"].into_iter().cycle())
        .map(|(position, key)| keyed(position, key))
        .collect();
    let handler = Noting { unfit: vec![4], ..Noting::default() };
    // All at once, so that there is something to halve.
    let bus = ScriptedBus::new(vec![]);
    let consumer = Consumer::new(Arc::new(bus), shared.clone(), handler, EPOCH);
    let mut owned = BTreeMap::from([(partition(0), owned())]);
    consumer.work_off([(partition(0), records)].into(), &mut owned).await.expect("no outage");
    assert_eq!(handled(&shared), [1, 2, 3, 5, 6, 8, 9]);
    assert_eq!(offsets(&shared), [(4, true), (7, false)]);
    assert_eq!(owned[&partition(0)].parked.keys, BTreeSet::from([Bytes::from_static(b"b")]));
}

#[tokio::test(start_paused = true)]
async fn a_paused_consumer_handles_nothing_until_it_may_go_on() {
    let shared = Shared::default();
    shared.with(|table| table.paused = true);
    let consumer =
        Consumer::new(Arc::new(ScriptedBus::new(three())), shared.clone(), Noting::default(), EPOCH);
    let mut state = consumer.state();
    let running = tokio::spawn(consumer.run(std::future::pending()));
    timeout(DEADLINE, state.wait_for(|state| *state == State::Paused))
        .await
        .expect("in time")
        .expect("it runs");
    assert_eq!(handled(&shared), [0; 0]);
    shared.with(|table| table.paused = false);
    until(&shared, all_handled(3)).await;
    assert_eq!(handled(&shared), [1, 2, 3]);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn another_epoch_is_poison_and_its_positions_hide_nothing() {
    let shared = Shared::default();
    let mut records = vec![keyed(1, "a"), keyed(2, "b"), keyed(3, "a")];
    records[1].envelope.epoch = Some(EPOCH + 1);
    records[1].envelope.position = Some(1_000);
    consume(&shared, records, Noting::default(), all_handled(3)).await;
    assert_eq!((handled(&shared), offsets(&shared)), (vec![1, 3], vec![(2, true)]));
    assert_eq!(shared.with(|table| table.progress[&partition(0)].last_position), 3);
}
