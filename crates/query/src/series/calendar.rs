//! Where buckets begin: at whole steps of a time zone's clocks.

use cornjacket_domain::Timestamp;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
/// Steps are counted from Monday 2000-01-03, so that a week begins on a Monday.
const ORIGIN: i64 = 946_857_600 * SECOND;
const SHORTEST: i64 = SECOND / 1_000;
const LONGEST: i64 = 366 * 24 * HOUR;

/// Cuts time into buckets.
#[derive(Clone, Debug)]
pub(crate) struct Calendar {
    step: i64,
    zone: TimeZone,
}

/// Why there is no such calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoCalendar {
    /// The step is too short or too long.
    Step,
    /// There is no such time zone.
    Zone,
}

impl Calendar {
    /// Buckets of `step` microseconds by the clocks of an IANA time zone; UTC when its name is empty.
    pub fn new(step: i64, zone: &str) -> Result<Self, NoCalendar> {
        if !(SHORTEST..=LONGEST).contains(&step) {
            return Err(NoCalendar::Step);
        }
        let zone = if zone.is_empty() { "UTC" } else { zone };
        Ok(Self { step, zone: TimeZone::get(zone).map_err(|_| NoCalendar::Zone)? })
    }

    /// The beginnings of the buckets that have a part in `start..end`, and the end of the last one. Nothing when there
    /// are more than `most`, or the clocks of that time are not known.
    pub fn edges(&self, start: Timestamp, end: Timestamp, most: usize) -> Option<Vec<Timestamp>> {
        let (mut edges, mut edge) = (Vec::new(), self.begin(start.as_micros())?);
        while edge < end.as_micros() {
            if edges.len() == most {
                return None;
            }
            edges.push(Timestamp::from_micros(edge));
            edge = self.next(edge)?;
        }
        edges.push(Timestamp::from_micros(edge));
        Some(edges)
    }

    /// The beginning of the bucket that an instant is in.
    fn begin(&self, instant: i64) -> Option<i64> {
        let local = self.local(instant)?;
        let shown = ORIGIN + (local - ORIGIN).div_euclid(self.step) * self.step;
        if self.repeats() {
            // Counted back by the clocks as they are now. What came before they changed is another bucket.
            let begin = instant - (local - shown);
            return Some(begin.max(self.last_change(instant)?));
        }
        self.first_shown(shown)
    }

    fn next(&self, begin: i64) -> Option<i64> {
        let local = self.local(begin)?;
        let mut shown = ORIGIN + ((local - ORIGIN).div_euclid(self.step) + 1) * self.step;
        if self.repeats() {
            let next = begin + (shown - local);
            return Some(self.next_change(begin)?.map_or(next, |change| next.min(change)));
        }
        loop {
            let next = self.first_shown(shown)?;
            // Several beginnings in an hour that the clocks leave out are one.
            if next > begin {
                return Some(next);
            }
            shown += self.step;
        }
    }

    /// An hour that the clocks show twice has its short buckets twice; longer ones are longer for it.
    const fn repeats(&self) -> bool {
        HOUR % self.step == 0
    }

    /// What the clocks show, in microseconds since they showed 1970-01-01T00:00.
    fn local(&self, instant: i64) -> Option<i64> {
        Some(instant + offset(self.zone.to_offset(timestamp(instant)?)))
    }

    /// When the clocks first show that, or jump over it.
    fn first_shown(&self, local: i64) -> Option<i64> {
        let shown = Offset::UTC.to_datetime(timestamp(local)?);
        match self.zone.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset: at } => Some(local - offset(at)),
            AmbiguousOffset::Fold { before, .. } => Some(local - offset(before)),
            AmbiguousOffset::Gap { after, .. } => self.next_change(local - offset(after))?,
        }
    }

    /// When the clocks change next.
    #[allow(clippy::option_option, reason = "not known, and never, are two answers")]
    fn next_change(&self, instant: i64) -> Option<Option<i64>> {
        let mut changes = self.zone.following(timestamp(instant)?);
        Some(changes.next().map(|change| change.timestamp().as_microsecond()))
    }

    /// When the clocks last changed, at `instant` or before.
    fn last_change(&self, instant: i64) -> Option<i64> {
        // `preceding` is strictly before.
        let mut changes = self.zone.preceding(timestamp(instant + 1)?);
        Some(changes.next().map_or(i64::MIN, |change| change.timestamp().as_microsecond()))
    }
}

fn timestamp(micros: i64) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(micros).ok()
}

fn offset(offset: Offset) -> i64 {
    i64::from(offset.seconds()) * SECOND
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        let parsed: jiff::Timestamp = text.parse().expect("a time");
        Timestamp::from_micros(parsed.as_microsecond())
    }

    fn edges(step_seconds: i64, zone: &str, start: &str, end: &str) -> Vec<String> {
        let calendar = Calendar::new(step_seconds * SECOND, zone).expect("a calendar");
        let edges = calendar.edges(at(start), at(end), 1_000).expect("few");
        edges.into_iter().map(|edge| timestamp(edge.as_micros()).expect("known").to_string()).collect()
    }

    #[test]
    fn steps_are_whole_by_the_clocks_of_the_zone() {
        assert_eq!(
            edges(300, "", "2026-01-01T00:03:00Z", "2026-01-01T00:10:00Z"),
            ["2026-01-01T00:00:00Z", "2026-01-01T00:05:00Z", "2026-01-01T00:10:00Z"]
        );
        // Five and a half hours ahead: hours begin at half past.
        assert_eq!(
            edges(3_600, "Asia/Kolkata", "2026-01-01T00:00:00Z", "2026-01-01T00:31:00Z"),
            ["2025-12-31T23:30:00Z", "2026-01-01T00:30:00Z", "2026-01-01T01:30:00Z"]
        );
        // Weeks begin on Mondays.
        assert_eq!(
            edges(7 * 86_400, "Europe/Berlin", "2026-11-25T12:00:00Z", "2026-11-26T00:00:00Z"),
            ["2026-11-22T23:00:00Z", "2026-11-29T23:00:00Z"]
        );
    }

    #[test]
    fn days_are_as_long_as_they_are() {
        let days = edges(86_400, "Europe/Berlin", "2026-10-24T22:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(days, ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z", "2026-10-26T23:00:00Z"]);
        let spring = edges(43_200, "Europe/Berlin", "2026-03-29T00:00:00Z", "2026-03-29T12:00:00Z");
        assert_eq!(spring, ["2026-03-28T23:00:00Z", "2026-03-29T10:00:00Z", "2026-03-29T22:00:00Z"]);
        // In Cairo the clocks jump at midnight: the day begins when they do.
        let cairo = edges(86_400, "Africa/Cairo", "2026-04-23T12:00:00Z", "2026-04-24T12:00:00Z");
        assert_eq!(cairo, ["2026-04-22T22:00:00Z", "2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"]);
    }

    #[test]
    fn an_hour_that_the_clocks_show_twice_is_two_hours_and_one_left_out_is_none() {
        let back = edges(3_600, "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z");
        assert_eq!(back, ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"]);
        let forward = edges(1_800, "Europe/Berlin", "2026-03-29T00:40:00Z", "2026-03-29T01:10:00Z");
        assert_eq!(forward, ["2026-03-29T00:30:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"]);
    }

    #[test]
    fn there_are_limits() {
        assert_eq!(Calendar::new(0, "").expect_err("no length"), NoCalendar::Step);
        assert_eq!(Calendar::new(i64::MAX, "").expect_err("for ever"), NoCalendar::Step);
        assert_eq!(Calendar::new(SECOND, "Europe/Nowhere").expect_err("no such"), NoCalendar::Zone);
        let calendar = Calendar::new(SECOND, "").expect("a calendar");
        let (start, end) = (Timestamp::from_micros(0), Timestamp::from_micros(100 * SECOND));
        assert_eq!(calendar.edges(start, end, 100).map(|edges| edges.len()), Some(101));
        assert_eq!(calendar.edges(start, end, 99), None);
        assert_eq!(calendar.edges(start, Timestamp::from_micros(i64::MAX), 99), None);
    }

    proptest! {
        #[test]
        fn buckets_follow_one_another_and_hold_the_range(
            step in prop::sample::select(vec![60, 420, 900, 3_600, 5_400, 7_200, 43_200, 86_400, 129_600, 604_800]),
            zone in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Cairo",
            ]),
            start in 1_500_000_000_i64..1_900_000_000,
            length in 1_i64..200,
        ) {
            let calendar = Calendar::new(step * SECOND, zone).expect("a calendar");
            let start = Timestamp::from_micros(start * SECOND);
            let end = Timestamp::from_micros(start.as_micros() + length * step * SECOND);
            let edges = calendar.edges(start, end, 10_000).expect("few");
            prop_assert!(edges.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(edges[0] <= start && *edges.last().expect("two") >= end);
            // Wherever in a bucket one looks, it began where the list says.
            for pair in edges.windows(2) {
                let inside = pair[0].as_micros() + (pair[1].as_micros() - pair[0].as_micros()) / 3;
                let found = calendar.edges(Timestamp::from_micros(inside), pair[1], 10).expect("one");
                prop_assert_eq!(found[0], pair[0]);
            }
        }
    }
}
