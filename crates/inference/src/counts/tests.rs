use cornjacket_proto::events::Event;
use proptest::prelude::*;

use super::*;
use crate::batch::{buckets, roll_up};

const KEEP: Duration = Duration::from_hours(1);

fn counted(types: &[&str]) -> Result<Counted, String> {
    Counted::new(types.iter().map(|name| (*name).to_owned())).map_err(|error| error.to_string())
}

fn delivered(position: u64, event_type: &str, subject: &str, seconds: i64) -> Delivered {
    let event = Event {
        r#type: event_type.into(),
        subject: subject.into(),
        position,
        event_time: Some(Timestamp::from_micros(seconds * 1_000_000).to_proto()),
        ..Event::default()
    };
    Delivered { event, ingest_time: Timestamp::from_micros(10_000_000_000), offset: position }
}

/// That of a series, for good: types are of one letter here, and subjects of three.
fn id(key: &SeriesKey) -> SeriesId {
    let letters = key.metric.bytes().last().into_iter().chain(key.subject.bytes());
    SeriesId(letters.fold(0, |id, letter| id * 256 + i64::from(letter)))
}

/// Takes events in, in a transaction of their own: what is known of buckets grows by them.
fn take_in(events: &[Delivered], known: &mut HashMap<RollupKey, Summary>) -> Vec<(SeriesKey, Sample)> {
    let counts = Counts::of(events, KEEP, &counted(&["a", "b"]).expect("types"));
    let ids: Vec<SeriesId> = counts.series().map(|(key, _)| id(key)).collect();
    let of_batch: HashMap<_, _> = buckets(counts.times(&ids))
        .into_iter()
        .filter_map(|bucket| Some((bucket, *known.get(&bucket)?)))
        .collect();
    let samples = counts.samples(&ids, &of_batch);
    known.extend(roll_up(&samples, of_batch));
    let key = |id: SeriesId| {
        let at = ids.iter().position(|other| *other == id).expect("its own");
        counts.series[at].clone()
    };
    samples.into_iter().map(|(id, sample)| (key(id), sample)).collect()
}

#[test]
fn every_event_of_such_a_type_is_the_next_of_its_minute() {
    let events = [
        delivered(1, "a", "ann", 9_000),
        delivered(2, "b", "ann", 9_001),
        delivered(3, "a", "bob", 9_002),
        delivered(4, "a.b", "ann", 9_003),
        delivered(5, "a", "ann", 9_059),
        delivered(6, "a", "ann", 9_060),
        delivered(7, "a", "ann", 9_010),
    ];
    let mut known = HashMap::new();
    let samples = take_in(&events[..5], &mut known).into_iter().chain(take_in(&events[5..], &mut known));
    let told: Vec<_> = samples
        .map(|(key, sample)| (key.subject, key.metric, sample.position, sample.value.to_string()))
        .collect();
    let sample = |subject: &str, metric: &str, position, value: &str| {
        (subject.to_owned(), metric.to_owned(), position, value.to_owned())
    };
    let expected = [
        sample("ann", "events.a", 1, "1"),
        sample("ann", "events.b", 2, "1"),
        sample("bob", "events.a", 3, "1"),
        sample("ann", "events.a", 5, "2"),
        sample("ann", "events.a", 6, "1"),
        // Late, and the third of its minute to come.
        sample("ann", "events.a", 7, "3"),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_was_too_old_when_it_came_is_not_counted() {
    let events = [delivered(1, "a", "ann", 6_399), delivered(2, "a", "ann", 6_400)];
    let counts = Counts::of(&events, KEEP, &counted(&["a"]).expect("a type"));
    assert_eq!((counts.too_old, counts.happened.len()), (1, 1));
}

#[test]
fn what_is_counted_decides_which_topics_are_read() {
    assert_eq!(Counted::default().topics(), [Topic::SensorEvents]);
    let all = counted(&["security.x", "user.action", "sensor.alarm", "system.y"]).expect("types");
    assert_eq!(all.topics(), [Topic::SensorEvents, Topic::UserActions, Topic::SystemEvents]);
    assert!(all.goes_on(&SeriesKey::counting("ann", "user.action")));
    assert!(!all.goes_on(&SeriesKey::counting("ann", "user.login")));
    assert!(all.goes_on(&SeriesKey { subject: "ann".into(), metric: "user.login".into() }), "measured");
}

#[test]
fn a_type_that_cannot_be_counted_is_named() {
    let long = "x".repeat(LONGEST + 1);
    for (types, named) in [
        (&["a", "b", "a"][..], "\"a\" is there twice"),
        (&["security.*"], "\"security.*\" is no type"),
        (&["a b"], "\"a b\" is no type"),
        (&[""], "\"\" must have 1 to 121"),
        (&["ai.anomaly_detected"], "\"ai.anomaly_detected\" cannot be counted"),
        (&[&long], "must have 1 to 121"),
    ] {
        let refused = counted(types).expect_err(named);
        assert!(refused.contains(named), "{refused}");
    }
    assert!(counted(&[&"x".repeat(LONGEST)]).is_ok());
}

proptest! {
    #[test]
    fn counts_do_not_depend_on_how_events_are_cut_into_batches(
        what in prop::collection::vec((0..3_usize, 0..2_usize, 9_000..9_300_i64), 1..80),
        cuts in prop::collection::btree_set(1..80_usize, 0..6),
    ) {
        let (types, subjects) = (["a", "b", "c"], ["ann", "bob"]);
        let event = |((event_type, subject, seconds), position): (&(usize, usize, i64), u64)| {
            delivered(position, types[*event_type], subjects[*subject], *seconds)
        };
        let events: Vec<Delivered> = what.iter().zip(1..).map(event).collect();
        let mut known = HashMap::new();
        let whole = take_in(&events, &mut known);
        let (mut pieces, mut known_of_pieces, mut from) = (Vec::new(), HashMap::new(), 0);
        for cut in cuts.into_iter().filter(|cut| *cut < events.len()).chain([events.len()]) {
            pieces.extend(take_in(&events[from..cut], &mut known_of_pieces));
            from = cut;
        }
        prop_assert_eq!(pieces, whole);
        prop_assert_eq!(known_of_pieces, known);
    }
}
