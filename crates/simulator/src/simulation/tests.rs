use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cornjacket_domain::{Limits, Timestamp};
use proptest::prelude::*;
use prost::Message;
use sha2::{Digest, Sha256};

use super::*;
use crate::options::Share;

/// 2026-01-01T00:00:00Z
const START: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

pub(crate) fn options() -> Options {
    Options {
        seed: 1,
        start: START,
        devices: 20,
        users: 5,
        services: 5,
        faults: Share::new(0.001).expect("a share"),
        duplicates: Share::new(0.01).expect("a share"),
        late: Share::new(0.01).expect("a share"),
        late_by: Duration::from_mins(10),
        poison: Share::NONE,
    }
}

fn events(options: Options, count: usize) -> Vec<Event> {
    Simulation::new(options).take(count).map(|sent| sent.event).collect()
}

fn bytes(events: &[Event]) -> Vec<u8> {
    events.iter().flat_map(Message::encode_length_delimited_to_vec).collect()
}

/// Whoever changes what a seed means changes this on purpose, and says so.
#[test]
fn the_first_thousand_events_of_seed_one_are_the_same_for_ever() {
    let digest = Sha256::digest(bytes(&events(options(), 1_000)));
    assert_eq!(hex::encode(digest), "f77966a88b277a1f86f08d795e0a517fc3f382b9b92db4202a3f05d467815700");
}

#[test]
fn the_same_options_give_the_same_bytes_and_another_seed_gives_others() {
    let one = bytes(&events(options(), 5_000));
    assert_eq!(one, bytes(&events(options(), 5_000)));
    assert_ne!(one, bytes(&events(Options { seed: 2, ..options() }, 5_000)));
    let later = Options { start: START + Duration::from_secs(1), ..options() };
    assert_ne!(one, bytes(&events(later, 5_000)));
}

/// What each subject sends, in its order, up to a moment.
fn by_subject(options: Options) -> BTreeMap<String, Vec<Sent>> {
    let mut sent = BTreeMap::<_, Vec<Sent>>::new();
    let end = START + Duration::from_hours(1);
    for one in Simulation::new(options).take_while(|sent| sent.at < end) {
        sent.entry(one.event.subject.clone()).or_default().push(one);
    }
    sent
}

#[test]
fn one_more_actor_leaves_the_others_as_they_were() {
    let few = by_subject(options());
    let many = by_subject(Options { devices: 21, users: 6, services: 6, ..options() });
    assert_eq!(many.len(), few.len() + 3);
    for (subject, sent) in &few {
        assert_eq!(Some(sent), many.get(subject), "{subject}");
    }
}

#[test]
fn what_befalls_events_does_not_change_what_happens() {
    let orderly = Options { duplicates: Share::NONE, late: Share::NONE, ..options() };
    let ids = |options| events(options, 20_000).into_iter().map(|event| event.id).collect::<BTreeSet<_>>();
    let (orderly, disorderly) = (ids(orderly), ids(options()));
    // Near the end some are still under way on one side only.
    assert!(orderly.intersection(&disorderly).count() > 19_500);
}

#[test]
fn events_leave_in_order_of_time_and_happen_at_most_that_much_earlier() {
    let mut before = START;
    for Sent { at, event } in Simulation::new(options()).take(20_000) {
        assert!(before <= at);
        before = at;
        let happened =
            event.event_time.and_then(|time| Timestamp::from_proto(&time)).expect("every event has one");
        assert!(START <= happened && happened <= at);
        assert!(at <= happened + Duration::from_mins(10) + Duration::from_secs(30));
    }
}

#[test]
fn every_event_is_valid_also_those_that_are_poison() {
    let options = Options { poison: Share::new(0.01).expect("a share"), ..options() };
    let mut poison = 0;
    for event in events(options, 20_000) {
        poison += usize::from(format!("{event:?}").contains("\\0poison"));
        let checked = cornjacket_domain::Event::new(event.clone(), START, &Limits::default());
        assert!(checked.is_ok(), "{checked:?}: {event:?}");
    }
    assert!((100..300).contains(&poison), "{poison}");
}

#[test]
fn nobody_sends_nothing() {
    assert_eq!(Simulation::new(Options { devices: 0, users: 0, services: 0, ..options() }).next(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn shares_are_kept(late in 0.0..0.5, duplicates in 0.0..0.5, seed: u64) {
        const COUNT: u32 = 10_000;
        let share = |share| Share::new(share).expect("below a half");
        let options = Options { seed, late: share(late), duplicates: share(duplicates), ..options() };
        let (mut ids, mut lates, mut repeats) = (BTreeSet::new(), 0_u32, 0_u32);
        for Sent { at, event } in Simulation::new(options).take(COUNT as usize) {
            if ids.insert(event.id) {
                lates += u32::from(event.event_time != Some(at.to_proto()));
            } else {
                repeats += 1;
            }
        }
        let happened = f64::from(COUNT - repeats);
        prop_assert!((f64::from(repeats) / happened - duplicates).abs() < 0.03, "{repeats}");
        // Those late by more than the time simulated are not seen yet.
        prop_assert!(f64::from(lates) / happened < late + 0.03, "{lates}");
        prop_assert!(f64::from(lates) / happened > late * 0.8 - 0.03, "{lates}");
    }
}
