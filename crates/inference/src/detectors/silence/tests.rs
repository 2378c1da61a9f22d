use super::super::laws::watch;
use super::super::{Detector, Feedback};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn model(parameters: &Value) -> Box<dyn Model> {
    Silence.configure(parameters).expect("parameters")
}

/// After how many seconds of quiet it speaks, if it does within a hundred thousand.
fn speaks_after(detector: &mut dyn Detector) -> Option<u32> {
    (1..=100_000).find(|_| detector.wait(SECOND).is_some())
}

fn every(seconds: f64, samples: u32) -> Vec<Sample> {
    watch((0..samples).map(|index| (f64::from(index) * seconds, 1.0)))
}

fn after(model: &dyn Model, samples: &[Sample]) -> Box<dyn Detector> {
    let mut detector = model.start(0);
    for sample in samples {
        assert_eq!(detector.observe(sample).finding, None);
    }
    detector
}

#[test]
fn a_silence_is_found_once_and_is_over_with_the_next_sample() {
    let model = model(&json!({ "after_seconds": 60 }));
    let mut detector = after(model.as_ref(), &every(1.0, 1));
    assert_eq!(speaks_after(detector.as_mut()), Some(60));
    assert_eq!(speaks_after(detector.as_mut()), None);
    detector.observe(&every(1.0, 2)[1]);
    assert_eq!(speaks_after(detector.as_mut()), Some(60));
}

#[test]
fn the_usual_gap_is_learned_and_outliers_do_not_disturb_it() {
    let model = model(&json!({ "factor": 5, "minimum_seconds": 0 }));
    let mut times: Vec<f64> = (0..100).map(|index| f64::from(index) * 60.0).collect();
    for (index, time) in times.iter_mut().enumerate() {
        *time += if index >= 60 { 86_400.0 } else { 0.0 };
        *time += if index >= 90 { 86_400.0 } else { 0.0 };
    }
    let twice: Vec<f64> = times.iter().flat_map(|time| [*time, *time]).collect();
    let mut detector = after(model.as_ref(), &watch(twice.into_iter().map(|time| (time, 0.0))));
    assert_eq!(speaks_after(detector.as_mut()), Some(300));
}

#[test]
fn it_keeps_still_until_it_knows_and_below_the_minimum() {
    let learning = model(&json!({}));
    assert_eq!(speaks_after(after(learning.as_ref(), &every(1.0, 16)).as_mut()), None);
    assert_eq!(speaks_after(after(learning.as_ref(), &every(1.0, 17)).as_mut()), Some(10));
    assert_eq!(speaks_after(after(learning.as_ref(), &every(7.0, 17)).as_mut()), Some(35));
    let fixed = model(&json!({ "after_seconds": 1 }));
    assert_eq!(speaks_after(fixed.start(0).as_mut()), None, "what never spoke is not silent");
}

#[test]
fn quiet_that_was_counted_survives_a_restart() {
    let model = model(&json!({ "after_seconds": 60 }));
    let mut detector = after(model.as_ref(), &every(1.0, 1));
    assert_eq!(detector.wait(SECOND * 40), None);
    let mut detector = model.restore(&detector.save()).expect("a state");
    assert_eq!(speaks_after(detector.as_mut()), Some(20));
    let mut detector = model.restore(&detector.save()).expect("a state");
    assert_eq!(speaks_after(detector.as_mut()), None, "it was found before");
}

#[test]
fn a_false_alarm_makes_it_wait_a_quarter_longer() {
    let model = model(&json!({ "after_seconds": 60 }));
    let mut detector = after(model.as_ref(), &every(1.0, 1));
    detector.learn(Feedback::FalseAlarm);
    assert_eq!(speaks_after(detector.as_mut()), Some(75));
}

#[test]
fn a_gap_scores_half_where_a_silence_begins() {
    let model = model(&json!({ "after_seconds": 60 }));
    let mut detector = model.start(0);
    let scores = watch([(0.0, 0.0), (60.0, 0.0), (61.0, 0.0), (1_261.0, 0.0)])
        .iter()
        .map(|sample| detector.observe(sample).score)
        .collect::<Vec<_>>();
    assert_eq!(scores[0..2], [None, Some(0.5)]);
    assert!(scores[2] < Some(0.01) && scores[3] > Some(0.95), "{scores:?}");
}

#[test]
fn nonsense_is_refused_by_name() {
    for (parameters, field) in [
        (json!({ "after_seconds": 0 }), "after_seconds"),
        (json!({ "after_seconds": 5, "factor": 3 }), "factor"),
        (json!({ "after_seconds": 5, "warm_up": 3 }), "warm_up"),
        (json!({ "factor": 1 }), "factor"),
        (json!({ "minimum_seconds": -1 }), "minimum_seconds"),
        (json!({ "warm_up": 65 }), "warm_up"),
        (json!({ "after": 65 }), "after"),
    ] {
        let error = Silence.configure(&parameters).expect_err("refused");
        assert_eq!(error.field, field, "{error}");
    }
}
