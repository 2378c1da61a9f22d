//! A clock that goes only while every door is open.

use std::time::Duration;

use cornjacket_domain::Timestamp;
use cornjacket_store::{Door, Vigil};

/// A door that was silent for longer may have been closed. Doors speak every [`super::TICK`].
const GAP: Duration = Duration::from_secs(3);
/// A door of which nothing was heard for so long is given up, when another one lets in the same.
const GIVEN_UP: Duration = Duration::from_mins(2);
/// And when none does.
const FORGOTTEN: Duration = Duration::from_hours(24);

/// A clock that is about to go, once devices had `grace` for coming back.
pub(super) fn begin(now: Timestamp, grace: Duration) -> Vigil {
    Vigil { open: Duration::ZERO, until: now, since: now + grace, open_before: Duration::ZERO }
}

/// The time up to which every door is known to have been open; unknown where there is none.
pub(super) fn all_open(now: Timestamp, doors: &[Door]) -> Option<Timestamp> {
    doors.iter().map(|door| now - door.silent_for).min()
}

/// The clock, when doors have been open up to some time. It does not go back, and what is longer than [`GAP`] does not count:
/// after that it goes again once devices had `grace` for coming back.
pub(super) fn advance(known: Vigil, open: Option<Timestamp>, grace: Duration) -> Vigil {
    let Some(until) = open.filter(|open| *open > known.until) else { return known };
    if until > known.until + GAP {
        return Vigil { until, since: until + grace, open_before: known.open, ..known };
    }
    let from = known.until.max(known.since);
    Vigil { open: known.open + between(from, until), until, ..known }
}

/// What the clock showed when something came in, or somewhat later: never earlier.
pub(super) fn shown_at(vigil: &Vigil, time: Timestamp) -> Duration {
    if time < vigil.since {
        return vigil.open_before.min(vigil.open);
    }
    vigil.open.saturating_sub(between(time, vigil.until))
}

/// Doors that are closed, for operators.
pub(super) fn closed(doors: &[Door]) -> Option<String> {
    if doors.is_empty() {
        return Some("no door is open: nobody can be called silent".to_owned());
    }
    let closed: Vec<_> = doors
        .iter()
        .filter(|door| door.silent_for > GAP)
        .map(|door| format!("{} for {} s", door.name, door.silent_for.as_secs()))
        .collect();
    let doors = closed.join(", ");
    (!closed.is_empty()).then(|| format!("closed: {doors}: nobody can be called silent"))
}

/// Doors that are to be forgotten.
pub(super) fn gone(doors: &[Door]) -> Vec<&str> {
    let is_replaced =
        |door: &Door| doors.iter().any(|other| other.kind == door.kind && other.silent_for <= GAP);
    let gone = doors
        .iter()
        .filter(|door| door.silent_for > FORGOTTEN || (door.silent_for > GIVEN_UP && is_replaced(door)));
    gone.map(|door| door.name.as_str()).collect()
}

fn between(from: Timestamp, until: Timestamp) -> Duration {
    let micros = until.as_micros().saturating_sub(from.as_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const GRACE: Duration = Duration::from_mins(1);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn door(name: &str, kind: &str, seconds: u64) -> Door {
        Door { name: name.into(), kind: kind.into(), silent_for: Duration::from_secs(seconds) }
    }

    /// What the clock shows after doors were open up to each of these seconds.
    fn shows(until: impl IntoIterator<Item = i64>) -> (u64, Vigil) {
        let vigil = until
            .into_iter()
            .fold(begin(at(0), GRACE), |vigil, seconds| advance(vigil, Some(at(seconds)), GRACE));
        (vigil.open.as_secs(), vigil)
    }

    #[test]
    fn it_goes_while_doors_are_open_and_begins_anew_after_an_outage() {
        assert_eq!(shows(0..=60).0, 0, "devices come back");
        assert_eq!(shows(0..=100).0, 40);
        assert_eq!(shows((0..=100).chain(400..=460)).0, 40, "an outage, and coming back");
        assert_eq!(shows((0..=100).chain(400..=470)).0, 50);
        assert_eq!(shows((0..=100).chain([90, 100, 100])).0, 40, "it does not go back");
        assert_eq!(shows((0..=100).chain([103])).0, 43, "a tick that was late");
        assert_eq!(advance(shows(0..=100).1, None, GRACE), shows(0..=100).1, "without doors");
    }

    #[test]
    fn what_came_before_an_outage_was_heard_before_it() {
        let (_, vigil) = shows((0..=100).chain(400..=470));
        let shown = |seconds| shown_at(&vigil, at(seconds)).as_secs();
        assert_eq!([shown(99), shown(410), shown(460), shown(465), shown(500)], [40, 40, 40, 45, 50]);
    }

    #[test]
    fn all_doors_must_be_open() {
        let doors = [door("a", "ingest", 1), door("b", "mqtt", 7)];
        assert_eq!(all_open(at(100), &doors), Some(at(93)));
        assert_eq!(all_open(at(100), &[]), None);
        assert!(
            closed(&doors).is_some_and(|reason| reason.contains("b for 7 s") && !reason.contains("a for"))
        );
        assert!(closed(&[]).is_some());
        assert_eq!(closed(&doors[..1]), None);
    }

    #[test]
    fn a_door_is_given_up_when_another_lets_in_the_same() {
        let doors = [door("a", "ingest", 1), door("b", "ingest", 121), door("c", "mqtt", 86_000)];
        assert_eq!(gone(&doors), ["b"]);
        assert_eq!(gone(&[door("c", "mqtt", 86_401)]), ["c"]);
    }

    proptest! {
        #[test]
        fn it_never_shows_more_than_there_was(until in prop::collection::vec(0..5_000_i64, 1..60)) {
            let (open, vigil) = shows(until.iter().copied());
            let last = until.iter().max().copied().unwrap_or(0);
            prop_assert!(i64::try_from(open).is_ok_and(|open| open <= last));
            for seconds in 0..50 {
                let shown = shown_at(&vigil, at(seconds * 100));
                prop_assert!(shown <= vigil.open && shown <= shown_at(&vigil, at(seconds * 100) + SECOND));
            }
        }
    }
}
