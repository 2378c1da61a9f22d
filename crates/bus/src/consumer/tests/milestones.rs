//! When effects went in is told once, also when that is not easy.

use super::*;

fn spans(milestones: &[Milestone]) -> Vec<(u16, u64, u64)> {
    milestones.iter().map(|one| (one.at.partition, one.after, one.last_position)).collect()
}

fn at(last_position: u64) -> Progress {
    Progress { next_offset: last_position + 1, last_position }
}

#[tokio::test(start_paused = true)]
async fn milestones_are_told_until_they_are_kept_and_then_no_more() {
    let shared = Shared::default();
    shared.with(|table| table.deaf = 2);
    let records = vec![record(0, 2), record(1, 3), record(0, 5)];
    consume(&shared, records, Noting::default(), |table| table.told == 6).await;
    let milestones = shared.with(|table| table.milestones.clone());
    assert_eq!(spans(&milestones), [(0, 0, 5), (1, 0, 3)]);
    let told_late = |one: &Milestone| (2 * REPORT_EVERY..=3 * REPORT_EVERY).contains(&one.age);
    assert!(milestones.iter().all(told_late), "{milestones:?}");
}

#[tokio::test(start_paused = true)]
async fn a_milestone_begins_at_the_last_and_has_the_time_of_the_latest_effect() {
    let mut owned = Owned { progress: at(3), ..owned() };
    assert_eq!(owned.milestone(partition(0)), None, "what was there before has no time");
    for (last_position, age) in [(4, 2), (9, 1)] {
        owned.move_to(at(last_position));
        tokio::time::advance(Duration::from_secs(age)).await;
    }
    // An offset alone is no effect.
    owned.move_to(Progress { next_offset: 12, last_position: 9 });
    let milestone = owned.milestone(partition(0)).expect("something is new");
    assert_eq!((spans(&[milestone]), milestone.age), (vec![(0, 3, 9)], Duration::from_secs(1)));
}
