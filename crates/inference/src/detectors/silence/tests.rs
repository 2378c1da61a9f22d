use super::super::laws::watch;
use super::super::{Detector, Feedback};
use super::*;

fn model(parameters: &Value) -> Box<dyn Model> {
    Silence.configure(parameters).expect("parameters")
}

/// After how many seconds of quiet it speaks, if it ever does.
fn speaks_after(detector: &dyn Detector) -> Option<f64> {
    detector.patience().map(|(after, _)| after.as_secs_f64())
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
fn the_usual_gap_is_learned_and_outliers_do_not_disturb_it() {
    let model = model(&json!({ "factor": 5, "minimum_seconds": 0 }));
    let mut times: Vec<f64> = (0..100).map(|index| f64::from(index) * 60.0).collect();
    for (index, time) in times.iter_mut().enumerate() {
        *time += if index >= 60 { 86_400.0 } else { 0.0 };
        *time += if index >= 90 { 86_400.0 } else { 0.0 };
    }
    let twice: Vec<f64> = times.iter().flat_map(|time| [*time, *time]).collect();
    let detector = after(model.as_ref(), &watch(twice.into_iter().map(|time| (time, 0.0))));
    assert_eq!(speaks_after(detector.as_ref()), Some(300.0));
}

#[test]
fn it_keeps_still_until_it_knows_and_below_the_minimum() {
    let learning = model(&json!({}));
    let speaks = |samples: &[Sample]| speaks_after(after(learning.as_ref(), samples).as_ref());
    assert_eq!(speaks(&every(1.0, 16)), None);
    assert_eq!(speaks(&every(1.0, 17)), Some(10.0));
    assert_eq!(speaks(&every(7.0, 17)), Some(35.0));
    let fixed = model(&json!({ "after_seconds": 1 }));
    assert_eq!(speaks_after(fixed.start(0).as_ref()), None, "what never spoke is not silent");
    assert_eq!(speaks_after(after(fixed.as_ref(), &every(1.0, 1)).as_ref()), Some(1.0));
}

#[test]
fn a_false_alarm_makes_it_wait_a_quarter_longer() {
    let model = model(&json!({ "after_seconds": 60 }));
    let mut detector = after(model.as_ref(), &every(1.0, 1));
    detector.learn(Feedback::FalseAlarm);
    assert_eq!(speaks_after(detector.as_ref()), Some(75.0));
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
