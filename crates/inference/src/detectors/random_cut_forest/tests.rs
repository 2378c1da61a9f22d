use proptest::prelude::*;
use serde_json::json;

use super::super::laws::{Dice, findings, watch};
use super::*;

fn model(parameters: &Value) -> Box<dyn Model> {
    RandomCutForest.configure(parameters).expect("parameters")
}

/// A sample every five minutes: a day in it, noise, and what is strange.
fn series(count: u32, strange: impl Fn(u32) -> Option<f64>) -> Vec<Sample> {
    let mut dice = Dice(5);
    watch((0..count).map(|index| {
        let seconds = f64::from(index) * 300.0;
        let day = (seconds / 86_400.0 * std::f64::consts::TAU).sin() * 20.0;
        (seconds, strange(index).unwrap_or(60.0 + day + dice.normal()))
    }))
}

fn verdicts(model: &dyn Model, seed: u64, samples: &[Sample]) -> Vec<Verdict> {
    let mut detector = model.start(seed);
    samples.iter().map(|sample| detector.observe(sample)).collect()
}

#[test]
fn nothing_is_said_before_it_is_warm() {
    let model = model(&json!({ "warm_up": 50 }));
    let said = verdicts(model.as_ref(), 1, &series(60, |index| (index == 20).then_some(1e6)));
    assert!(said[..50].iter().all(|verdict| verdict.score.is_none() && verdict.finding.is_none()));
    assert!(said[50..].iter().all(|verdict| verdict.score.is_some()));
}

#[test]
fn a_strange_value_is_found_and_named() {
    let model = model(&json!({}));
    let said = verdicts(model.as_ref(), 1, &series(900, |index| (index == 800).then_some(400.0)));
    let found: Vec<_> =
        said.iter().enumerate().filter_map(|(index, said)| Some((index, said.finding.clone()?))).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    let (index, finding) = &found[0];
    assert_eq!((*index, finding.severity), (800, Severity::Critical));
    assert!(finding.contributions.iter().take(2).any(|(feature, _)| *feature == "value"), "{finding:?}");
    assert!(said[800].score > Some(0.6), "{:?}", said[800]);
}

#[test]
fn a_value_at_the_wrong_time_of_day_is_strange_for_its_hour() {
    let model = model(&json!({ "features": ["value", "hour_of_day"] }));
    // At 1,800 it is six in the morning, when values are highest.
    let samples = series(2_100, |index| (1_800..1_806).contains(&index).then_some(42.0));
    let said = verdicts(model.as_ref(), 1, &samples);
    let finding = said[1_800].finding.clone().expect("an anomaly");
    assert_eq!(finding.contributions[0].0, "hour_of_day");
    let expected = said[1_800].expected.expect("an expectation");
    assert!((expected.value - 80.0).abs() < 3.0 && expected.lower > 60.0, "{expected:?}");
}

#[test]
fn after_an_anomaly_there_is_a_refractory_period() {
    let model = model(&json!({ "features": ["value"], "refractory_seconds": 30_000, "habituation": 0 }));
    let strange = |index| match index {
        600 | 640 => Some(300.0),
        720 => Some(900.0),
        _ => None,
    };
    let samples = series(800, strange);
    assert_eq!(findings(model.as_ref(), &samples), [600, 720], "the second is a hundred samples later");
    let said = verdicts(model.as_ref(), 1, &samples);
    assert!(said[640].score < Some(0.25), "{:?}", said[640]);
}

#[test]
fn what_recurs_becomes_familiar() {
    let every_day = |index: u32| (index > 300 && index.is_multiple_of(290)).then_some(400.0);
    let found = |habituation: f64| {
        let model = model(&json!({ "features": ["value"], "habituation": habituation, "threshold": 0.45 }));
        findings(model.as_ref(), &series(12_000, every_day)).len()
    };
    assert!(found(2.0) < found(0.0), "{} is not less than {}", found(2.0), found(0.0));
}

#[test]
fn false_alarms_raise_the_bar_and_the_strangest_is_still_found() {
    let model = model(&json!({ "features": ["value"] }));
    let mut detector = model.start(1);
    for _ in 0..20 {
        detector.learn(Feedback::FalseAlarm);
    }
    let samples = series(900, |index| match index {
        500 => Some(95.0),
        850 => Some(1e9),
        _ => None,
    });
    let found: Vec<_> =
        samples.iter().enumerate().filter(|(_, sample)| detector.observe(sample).finding.is_some()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].0, 850);
}

#[test]
fn memory_is_at_most_two_mebibytes() {
    let model = model(&json!({ "trees": 40, "samples": 256 }));
    let mut detector = model.start(1);
    // Whole numbers, of which many are equal.
    for sample in series(3_000, |index| Some(f64::from(index % 100))) {
        detector.observe(&sample);
    }
    assert!(detector.bytes() <= 2 * 1_024 * 1_024, "{}", detector.bytes());
    assert!(detector.save().len() <= 2 * 1_024 * 1_024);
}

#[test]
fn nonsense_is_refused_by_name() {
    let field = |parameters| RandomCutForest.configure(&parameters).expect_err("refused").field;
    assert_eq!(field(json!({ "features": [] })), "features");
    assert_eq!(field(json!({ "features": ["value", "value"] })), "features");
    assert_eq!(field(json!({ "features": ["colour"] })), "features[0]");
    assert_eq!(field(json!({ "trees": 0 })), "trees");
    assert_eq!(field(json!({ "samples": 257 })), "samples");
    assert_eq!(field(json!({ "decay": 2 })), "decay");
    assert_eq!(field(json!({ "warm_up": 1 })), "warm_up");
    assert_eq!(field(json!({ "trend_seconds": 0 })), "trend_seconds");
    assert_eq!(field(json!({ "refractory_seconds": -1 })), "refractory_seconds");
    assert_eq!(field(json!({ "habituation": -1 })), "habituation");
    assert_eq!(field(json!({ "forget_seconds": 0 })), "forget_seconds");
    assert_eq!(field(json!({ "threshold": 1 })), "threshold");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_detector_that_was_saved_says_the_same_at_every_point(
        seed in any::<u64>(),
        values in prop::collection::vec(prop_oneof![-3.0..3.0_f64, (0..4_i32).prop_map(f64::from)], 40..90),
    ) {
        let parameters = json!({ "trees": 3, "samples": 32, "warm_up": 16, "refractory_seconds": 3_000, "threshold": 0.1 });
        let model = model(&parameters);
        let samples = watch(values.iter().zip(0..).map(|(value, index)| (f64::from(index) * 3_600.0, *value)));
        let whole = verdicts(model.as_ref(), seed, &samples);
        let mut moved = model.start(seed);
        for (sample, verdict) in samples.iter().zip(&whole) {
            moved = model.restore(&moved.save()).expect("its own state");
            prop_assert_eq!(&moved.observe(sample), verdict);
        }
    }
}
