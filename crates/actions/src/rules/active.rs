//! When a rule tells: parts of days by the clocks of a time zone.

use cornjacket_domain::Timestamp;
use cornjacket_domain::violation::Reason;
use cornjacket_proto::actions::active_times::{Day, TimeRange};
use cornjacket_proto::actions::{self as proto};
use jiff::civil::{DateTime, Weekday};
use jiff::tz::TimeZone;

use super::checker::Fault;

/// Ranges of one rule.
const MOST_RANGES: usize = 32;
/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// Times that have been checked.
#[derive(Debug)]
pub(super) struct ActiveTimes {
    zone: TimeZone,
    /// As people know it.
    zone_name: String,
    ranges: Vec<Range>,
}

/// A part of a day, in minutes since midnight, which goes on into the next day where it ends before it begins.
#[derive(Debug)]
struct Range {
    /// On which it begins, by [`day_index`].
    days: [bool; 7],
    start: u16,
    /// Itself not included.
    end: u16,
}

type Faults = Vec<(String, Fault)>;

impl ActiveTimes {
    /// Looks up and reads; what is wrong is told by field, all of it.
    pub fn try_new(stated: &proto::ActiveTimes) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let zone_name = if stated.time_zone.is_empty() { "UTC" } else { &stated.time_zone };
        let zone = TimeZone::get(zone_name);
        if zone.is_err() {
            let description = format!("{zone_name:?} is no time zone such as \"Europe/Berlin\"");
            faults.push(("time_zone".to_owned(), Fault::grammar(description)));
        }
        if stated.ranges.is_empty() {
            faults.push(("ranges".to_owned(), Fault::new(Reason::Required, "needs at least one range")));
        } else if stated.ranges.len() > MOST_RANGES {
            let description = format!("has {} entries; the limit is {MOST_RANGES}", stated.ranges.len());
            faults.push(("ranges".to_owned(), Fault::new(Reason::TooMany, description)));
        }
        let mut ranges = Vec::new();
        for (index, range) in stated.ranges.iter().take(MOST_RANGES).enumerate() {
            let within = |(field, fault)| (format!("ranges[{index}].{field}"), fault);
            match Range::try_new(range) {
                Ok(range) => ranges.push(range),
                Err(more) => faults.extend(more.into_iter().map(within)),
            }
        }
        match zone {
            Ok(zone) if faults.is_empty() => Ok(Self { zone, zone_name: zone_name.to_owned(), ranges }),
            _ => Err(faults),
        }
    }

    /// Why nothing is told at that time; nothing when it is within a range.
    pub fn muted(&self, now: Timestamp) -> Option<String> {
        // What no calendar knows is no reason to be silent.
        let now = jiff::Timestamp::from_microsecond(now.as_micros()).ok()?;
        let shown = self.zone.to_datetime(now);
        if self.ranges.iter().any(|range| range.holds(shown)) {
            return None;
        }
        let shown = shown.strftime("%A %Y-%m-%d %H:%M");
        Some(format!("it was {shown} in {}, which is not among the rule's active times", self.zone_name))
    }
}

impl Range {
    fn try_new(stated: &TimeRange) -> Result<Self, Faults> {
        let mut faults = Faults::new();
        let days = days(&stated.days, &mut faults);
        let start = minute(&stated.start, 0);
        match start {
            None => faults.push(("start".to_owned(), no_time(&stated.start))),
            Some(DAY) => {
                let description = "is the end of a day: the day after begins at 00:00";
                faults.push(("start".to_owned(), Fault::new(Reason::Range, description)));
            }
            Some(_) => {}
        }
        let end = minute(&stated.end, DAY);
        match end {
            None => faults.push(("end".to_owned(), no_time(&stated.end))),
            end if end == start => {
                let description = "is the start itself: a whole day is 00:00 to 24:00";
                faults.push(("end".to_owned(), Fault::mismatch(description)));
            }
            Some(_) => {}
        }
        match (start, end) {
            (Some(start), Some(end)) if faults.is_empty() => Ok(Self { days, start, end }),
            _ => Err(faults),
        }
    }

    /// Whether clocks that show this are within it.
    fn holds(&self, shown: DateTime) -> bool {
        let minute = u16::from(shown.hour().unsigned_abs()) * 60 + u16::from(shown.minute().unsigned_abs());
        let today = self.days[day_index(shown.weekday())];
        if self.start < self.end {
            return today && (self.start..self.end).contains(&minute);
        }
        let before = self.days[day_index(shown.weekday().previous())];
        (today && minute >= self.start) || (before && minute < self.end)
    }
}

/// The days that are stated; every day when none is.
fn days(stated: &[i32], faults: &mut Faults) -> [bool; 7] {
    let mut days = [stated.is_empty(); 7];
    for (index, day) in stated.iter().enumerate() {
        let Some(weekday) = Day::try_from(*day).ok().and_then(weekday) else {
            let fault = Fault::grammar(format!("{day} is no day of the week"));
            faults.push((format!("days[{index}]"), fault));
            continue;
        };
        let known = &mut days[day_index(weekday)];
        if *known {
            let fault = Fault::new(Reason::Repeated, format!("repeats {weekday:?}"));
            faults.push((format!("days[{index}]"), fault));
        }
        *known = true;
    }
    days
}

const fn weekday(day: Day) -> Option<Weekday> {
    Some(match day {
        Day::Unspecified => return None,
        Day::Monday => Weekday::Monday,
        Day::Tuesday => Weekday::Tuesday,
        Day::Wednesday => Weekday::Wednesday,
        Day::Thursday => Weekday::Thursday,
        Day::Friday => Weekday::Friday,
        Day::Saturday => Weekday::Saturday,
        Day::Sunday => Weekday::Sunday,
    })
}

fn day_index(day: Weekday) -> usize {
    usize::from(day.to_monday_zero_offset().unsigned_abs())
}

/// Minutes since midnight of `HH:MM`, up to 24:00.
fn minute(stated: &str, when_empty: u16) -> Option<u16> {
    if stated.is_empty() {
        return Some(when_empty);
    }
    let (hour, minute) = stated.split_once(':')?;
    let number = |text: &str| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= DAY).then_some(minutes)
}

fn no_time(stated: &str) -> Fault {
    Fault::grammar(format!("{stated:?} is no time of 00:00 to 24:00, as HH:MM"))
}

#[cfg(test)]
mod tests;
