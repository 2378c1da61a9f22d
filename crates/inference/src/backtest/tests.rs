//! A course is what the scorer's watchers do.

use std::sync::Arc;

use super::*;
use crate::detectors::Feedback;
use crate::watched::Watcher;
use crate::watching::Watching;
use cornjacket_store::{Change, Control, Mode, Taken};

const SERIES: SeriesId = SeriesId(7);

fn key() -> SeriesKey {
    SeriesKey { subject: "pump-1".into(), metric: "temperature".into() }
}

fn model(detector: &str, parameters: &str) -> Model {
    let parameters = serde_json::from_str(parameters).expect("JSON");
    let draft = detectors::draft("m", detector, ("pump-*", "*"), &parameters).expect("a draft");
    Model { id: ModelId(3), version: 1, draft }
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

/// A wave with jumps in it; every eleventh comes late.
fn samples() -> Vec<Sample> {
    (1..3_000_i64)
        .map(|number| {
            let late = if number % 11 == 0 { 300 } else { 0 };
            #[allow(clippy::cast_precision_loss, reason = "small")]
            let value = (number as f64 / 40.0).sin() + if number % 97 == 0 { 9.0 } else { 0.0 };
            Sample { time: at(number * 10 - late), position: number.unsigned_abs() * 3, value }
        })
        .collect()
}

fn told(course: &Course, samples: &[Sample]) -> Vec<Seen> {
    let mut told = Vec::new();
    course.run((SERIES, &key()), samples, &|| true, &mut |seen| told.push(seen)).expect("nobody cuts it off");
    told
}

fn taken(after_position: u64, seq: u64, model: &Model, change: Change) -> Taken {
    Taken { after_position, control: Control { seq, model: model.clone(), change } }
}

const MODELS: [(&str, &str); 4] = [
    ("threshold", r#"{"upper": 5, "hold_samples": 1}"#),
    ("rate_of_change", r#"{"per_seconds": 60, "rise": 3, "fall": 3}"#),
    ("seasonal", "{}"),
    ("random_cut_forest", r#"{"trees": 10, "samples": 64}"#),
];

/// What a watcher says that sees all of it, as the scorer has it see it.
#[test]
fn a_draft_says_what_a_watcher_says_of_the_same_samples() {
    for (detector, parameters) in MODELS {
        let (model, samples) = (model(detector, parameters), samples());
        let mut watching = Watching::default();
        watching.take(&taken(0, 1, &model, Change::Mode(Mode::Active)).control);
        let mut watcher = Watcher::start(watching.get(model.id).expect("in force"), &key());
        let expected: Vec<_> = samples.iter().map(|sample| watcher.observe(sample)).collect();
        let told = told(&Course::anew(model), &samples);
        let verdicts: Vec<_> = told.iter().map(|seen| seen.verdict.clone()).collect();
        assert!(verdicts == expected, "{detector}");
        let late = told.iter().filter(|seen| seen.verdict.is_none()).count();
        assert_eq!(late, 272, "{detector} passes over what is late");
        assert!(told.iter().all(|seen| seen.is_active));
        let found = verdicts.iter().flatten().filter(|verdict| verdict.finding.is_some()).count();
        assert!(found > 0, "{detector} finds something");
    }
}

/// Through saved states, as after restarts, with words on the way: the course has neither and says the same.
#[test]
fn a_registered_model_takes_its_changes_where_they_were_taken() {
    for (detector, parameters) in MODELS {
        let (model, samples) = (model(detector, parameters), samples());
        let changes = [
            taken(600, 1, &model, Change::Mode(Mode::Shadow)),
            taken(1_500, 2, &model, Change::Mode(Mode::Active)),
            taken(2_100, 3, &model, Change::FalseAlarm(SERIES)),
            taken(2_100, 4, &model, Change::FalseAlarm(SeriesId(1))),
            taken(2_700, 5, &model, Change::Missed(SERIES)),
            taken(4_500, 6, &model, Change::Mode(Mode::Off)),
            taken(5_100, 7, &model, Change::FalseAlarm(SERIES)),
            taken(6_000, 8, &model, Change::Mode(Mode::Active)),
        ];
        let mut expected: Vec<(u64, Option<Verdict>, bool)> = Vec::new();
        let (mut watching, mut watcher): (_, Option<Watcher>) = (Watching::default(), None);
        for sample in &samples {
            for taken in changes.iter().filter(|one| {
                one.after_position < sample.position && one.after_position + 3 >= sample.position
            }) {
                watching.take(&taken.control);
                let heard = watcher.as_mut();
                match (taken.control.change, heard) {
                    (Change::FalseAlarm(SERIES), Some(watcher)) => watcher.learn(Feedback::FalseAlarm),
                    (Change::Missed(SERIES), Some(watcher)) => watcher.learn(Feedback::Missed),
                    (Change::Mode(Mode::Off), _) => watcher = None,
                    _ => {}
                }
            }
            let Some(in_force) = watching.get(model.id) else { continue };
            let mut one = watcher.take().unwrap_or_else(|| Watcher::start(Arc::clone(&in_force), &key()));
            expected.push((sample.position, one.observe(sample), watching.is_active(model.id)));
            let (_, saved) = one.save(SERIES).expect("it has seen something");
            watcher = Some(Watcher::resume(in_force, &saved, &[]).expect("its own state"));
        }
        let told = told(&Course::as_it_ran(model.id, changes.to_vec()), &samples);
        let told: Vec<_> =
            told.into_iter().map(|seen| (seen.sample.position, seen.verdict, seen.is_active)).collect();
        assert_eq!(told.len(), expected.len());
        assert!(told == expected, "{detector}");
        assert_eq!(told[0].0, 603, "it begins where it was switched on");
        assert!(told.iter().any(|(_, _, active)| !active), "as a shadow first");
    }
}

#[test]
fn nobody_is_kept_waiting_for_what_nobody_wants() {
    let (asked, mut told) = (std::cell::Cell::new(0), 0);
    let goes_on = || {
        asked.set(asked.get() + 1);
        asked.get() < 3
    };
    let course = Course::anew(model("threshold", r#"{"upper": 5}"#));
    assert_eq!(course.run((SERIES, &key()), &samples(), &goes_on, &mut |_| told += 1), None);
    assert_eq!(told, 512);
}

#[test]
fn a_model_says_whether_it_can_be_had_from_samples() {
    let of = |detector, parameters| playable(&model(detector, parameters).draft).expect("a model");
    assert_eq!(of("threshold", r#"{"upper": 5}"#), Playable::Whole);
    assert_eq!(of("silence", "{}"), Playable::ScoresOnly);
    assert_eq!(of("remote", r#"{"url": "http://models", "model": "m"}"#), Playable::Nothing);
}
