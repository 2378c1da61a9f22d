//! Laws of active times, by what the clocks of a zone show.

use super::*;

const WEEKEND: [Day; 2] = [Day::Saturday, Day::Sunday];

fn at(text: &str) -> Timestamp {
    let parsed: jiff::Timestamp = text.parse().expect("a time");
    Timestamp::from_micros(parsed.as_microsecond())
}

fn range(days: &[Day], start: &str, end: &str) -> TimeRange {
    let days = days.iter().map(|day| i32::from(*day)).collect();
    TimeRange { days, start: start.into(), end: end.into() }
}

fn stated(time_zone: &str, ranges: Vec<TimeRange>) -> proto::ActiveTimes {
    proto::ActiveTimes { time_zone: time_zone.into(), ranges }
}

/// Which of these instants are within the times, in order: `+` or `-`.
fn active(stated: &proto::ActiveTimes, instants: &[&str]) -> String {
    let times = ActiveTimes::try_new(stated).expect("good times");
    instants.iter().map(|instant| if times.muted(at(instant)).is_none() { '+' } else { '-' }).collect()
}

#[test]
fn a_range_begins_with_its_start_and_ends_before_its_end() {
    let office = stated("", vec![range(&[], "08:00", "17:30")]);
    let instants = [
        "2026-11-26T07:59:59.999999Z",
        "2026-11-26T08:00:00Z",
        "2026-11-26T17:29:59Z",
        "2026-11-26T17:30:00Z",
    ];
    assert_eq!(active(&office, &instants), "-++-");
    let weekend = stated("Asia/Kolkata", vec![range(&WEEKEND, "", "")]);
    // Half past six in the evening in London is midnight there.
    let instants =
        ["2026-11-27T18:29:59Z", "2026-11-27T18:30:00Z", "2026-11-29T18:29:59Z", "2026-11-29T18:30:00Z"];
    assert_eq!(active(&weekend, &instants), "-++-");
    let either =
        stated("", vec![range(&[Day::Monday], "", "06:00"), range(&[Day::Thursday], "22:00", "24:00")]);
    let instants =
        ["2026-11-23T05:59:00Z", "2026-11-26T05:59:00Z", "2026-11-26T23:59:59Z", "2026-11-27T00:00:00Z"];
    assert_eq!(active(&either, &instants), "+-+-");
}

#[test]
fn a_range_over_midnight_is_of_the_day_on_which_it_begins() {
    let night = stated("", vec![range(&[Day::Friday, Day::Sunday], "22:00", "06:00")]);
    for (instant, expected) in [
        ("2026-11-27T05:59:00Z", "-"), // Friday's morning is Thursday's night.
        ("2026-11-27T21:59:00Z", "-"),
        ("2026-11-27T22:00:00Z", "+"),
        ("2026-11-28T05:59:59Z", "+"),
        ("2026-11-28T06:00:00Z", "-"),
        ("2026-11-28T22:00:00Z", "-"),
        ("2026-11-29T22:00:00Z", "+"), // Sunday, into Monday.
        ("2026-11-30T00:00:00Z", "+"),
        ("2026-11-30T06:00:00Z", "-"),
    ] {
        assert_eq!(active(&night, &[instant]), expected, "{instant}");
    }
    let to_midnight = stated("", vec![range(&[], "22:00", "00:00")]);
    assert_eq!(active(&to_midnight, &["2026-11-27T23:59:59Z", "2026-11-28T00:00:00Z"]), "+-");
}

#[test]
fn the_clocks_of_the_zone_say_what_time_it_is_when_they_are_put_forward() {
    // 2026-03-29 01:00 UTC: two o'clock in Berlin is three o'clock.
    let berlin = |start, end| stated("Europe/Berlin", vec![range(&[], start, end)]);
    let instants =
        ["2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z", "2026-03-29T01:59:00Z", "2026-03-29T02:00:00Z"];
    assert_eq!(active(&berlin("01:00", "02:30"), &instants), "+---", "its end is left out");
    assert_eq!(active(&berlin("02:30", "04:00"), &instants), "-++-", "so is its beginning");
    assert_eq!(active(&berlin("02:15", "02:45"), &instants), "----", "it does not happen");
    assert_eq!(active(&berlin("22:00", "04:00"), &instants), "+++-", "an hour shorter");
    // The same range, a day before and after.
    assert_eq!(active(&berlin("08:00", "09:00"), &["2026-03-28T07:30:00Z", "2026-03-29T06:30:00Z"]), "++");
}

#[test]
fn the_clocks_of_the_zone_say_what_time_it_is_when_they_are_put_back() {
    // 2026-10-25 01:00 UTC: three o'clock in Berlin is two o'clock once more.
    let berlin = |start, end| stated("Europe/Berlin", vec![range(&[], start, end)]);
    let instants = [
        "2026-10-25T00:29:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:00:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-25T01:59:59Z",
        "2026-10-25T02:00:00Z",
    ];
    assert_eq!(active(&berlin("02:30", "03:00"), &instants), "-+-++-", "both times");
    assert_eq!(active(&berlin("22:00", "03:00"), &instants), "+++++-", "an hour longer");
    assert_eq!(active(&berlin("03:00", "04:00"), &instants), "-----+");
}

#[test]
fn the_reason_says_when_and_where() {
    let times = ActiveTimes::try_new(&stated("Europe/Berlin", vec![range(&WEEKEND, "", "")])).expect("good");
    let reason = times.muted(at("2026-11-26T17:03:00Z")).expect("a Thursday");
    assert_eq!(
        reason,
        "it was Thursday 2026-11-26 18:03 in Europe/Berlin, which is not among the rule's active times"
    );
    assert_eq!(times.muted(Timestamp::from_micros(i64::MAX)), None, "of no calendar");
}

#[test]
fn everything_that_is_wrong_is_told_by_field() {
    let wrong = |stated: &proto::ActiveTimes| {
        let faults = ActiveTimes::try_new(stated).expect_err("bad times");
        faults.into_iter().map(|(field, fault)| (field, fault.reason)).collect::<Vec<_>>()
    };
    let told = |faults: &[(&str, Reason)]| {
        faults.iter().map(|(field, reason)| ((*field).to_owned(), *reason)).collect::<Vec<_>>()
    };
    assert_eq!(
        wrong(&stated("Europe/Nowhere", Vec::new())),
        told(&[("time_zone", Reason::Grammar), ("ranges", Reason::Required)])
    );
    let many = vec![range(&[], "", "08:00"); 33];
    assert_eq!(wrong(&stated("", many.clone())), told(&[("ranges", Reason::TooMany)]));
    assert!(ActiveTimes::try_new(&stated("", many[1..].to_vec())).is_ok());
    let bad = vec![
        range(&[], "8:00", "17:60"),
        range(&[Day::Unspecified, Day::Monday, Day::Monday], "24:00", "24:01"),
        range(&[], "07:00", "07:00"),
        range(&[], "", "00:00"),
        range(&[], "+7:00", "07:0\u{661}"),
        TimeRange { days: vec![8], ..range(&[], "", "") },
    ];
    assert_eq!(
        wrong(&stated("", bad)),
        told(&[
            ("ranges[0].start", Reason::Grammar),
            ("ranges[0].end", Reason::Grammar),
            ("ranges[1].days[0]", Reason::Grammar),
            ("ranges[1].days[2]", Reason::Repeated),
            ("ranges[1].start", Reason::Range),
            ("ranges[1].end", Reason::Grammar),
            ("ranges[2].end", Reason::Mismatch),
            ("ranges[3].end", Reason::Mismatch),
            ("ranges[4].start", Reason::Grammar),
            ("ranges[4].end", Reason::Grammar),
            ("ranges[5].days[0]", Reason::Grammar),
        ])
    );
}
