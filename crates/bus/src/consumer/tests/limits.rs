//! At the limit of what may be parked.

use tokio::time::timeout;

use super::bed::*;
use super::{all_handled, handled, keyed, offsets, until};
use crate::consumer::*;

async fn waits_for_room(state: &mut watch::Receiver<State>) {
    let told =
        |state: &State| matches!(state, State::Waiting { reason } if reason.contains("which is the limit"));
    timeout(DEADLINE, state.wait_for(told)).await.expect("in time").expect("it runs");
}

/// Poison at 1 and 3, of keys of their own, and what follows.
async fn stops_and_goes_on(limits: ParkLimits) {
    let shared = Shared::default();
    let records =
        [(1, "a"), (2, "b"), (3, "c"), (4, "b"), (5, "a")].map(|(position, key)| keyed(position, key));
    let handler = Noting::refusing(&[1, 3]);
    let bus = Arc::new(ScriptedBus::new(records.into()));
    let consumer = Consumer::new(bus, shared.clone(), handler.clone(), EPOCH).with_limits(limits);
    let mut state = consumer.state();
    let running = tokio::spawn(consumer.run(std::future::pending()));
    waits_for_room(&mut state).await;
    assert_eq!((handled(&shared), offsets(&shared)), (vec![1 + 1], vec![(1, true)]), "it stopped before 3");
    let told = |table: &Table| table.reports.iter().any(|report| report.state == "waiting");
    until(&shared, told).await;

    // A redrive makes room, and it goes on by itself.
    handler.refuses.lock().expect("no test panics with it").retain(|position| *position == 3);
    shared.with(|table| table.redrive = true);
    until(&shared, all_handled(5)).await;
    assert_eq!((handled(&shared), offsets(&shared)), (vec![2, 1, 4, 5], vec![(3, true)]));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_consumer_stops_at_the_limit_of_parked_rows_and_goes_on_when_there_is_room() {
    stops_and_goes_on(ParkLimits { rows: 1, bytes: u64::MAX }).await;
}

#[tokio::test(start_paused = true)]
async fn a_consumer_stops_at_the_limit_of_parked_bytes_and_goes_on_when_there_is_room() {
    stops_and_goes_on(ParkLimits { rows: u64::MAX, bytes: 1 }).await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_behind_poison_counts_too() {
    let shared = Shared::default();
    let records = vec![keyed(1, "a"), keyed(2, "a"), keyed(3, "b"), keyed(4, "a")];
    let consumer =
        Consumer::new(Arc::new(ScriptedBus::new(records)), shared.clone(), Noting::refusing(&[1]), EPOCH);
    let consumer = consumer.with_limits(ParkLimits { rows: 2, bytes: u64::MAX });
    let mut state = consumer.state();
    let running = tokio::spawn(consumer.run(std::future::pending()));
    waits_for_room(&mut state).await;
    assert_eq!((handled(&shared), offsets(&shared)), (vec![3], vec![(1, true), (2, false)]));
    running.abort();
}
