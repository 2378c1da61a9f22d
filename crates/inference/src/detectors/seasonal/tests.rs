use serde_json::json;

use super::super::Feedback;
use super::super::laws::{Dice, findings, watch};
use super::*;

const DAY: f64 = 86_400.0;
const STEP: f64 = 300.0;

fn model(parameters: &Value) -> Box<dyn Model> {
    Seasonal.configure(parameters).expect("parameters")
}

/// The day's shape: quiet at night, a bump at noon.
fn shape(seconds: f64) -> f64 {
    50.0 - 40.0 * (seconds / DAY * std::f64::consts::TAU).cos()
}

/// Days of samples every five minutes or so, moved by what is given for each.
fn days(seed: u64, days: f64, noise: f64, moved: impl Fn(f64) -> f64) -> Vec<Sample> {
    let mut dice = Dice(seed);
    let times = (0..5_000_000_u32).map(|index| f64::from(index) * STEP).take_while(|time| *time < days * DAY);
    let times: Vec<f64> = times.map(|time| time + 20.0 * dice.roll()).collect();
    watch(times.into_iter().map(|time| (time, shape(time) + noise * dice.normal() + moved(time))))
}

fn day_of(sample: &Sample) -> f64 {
    Duration::from_micros(sample.time.as_micros().unsigned_abs()).as_secs_f64() / DAY
}

/// On which days anomalies begin.
fn found(parameters: &Value, samples: &[Sample]) -> Vec<f64> {
    findings(model(parameters).as_ref(), samples).into_iter().map(|index| day_of(&samples[index])).collect()
}

fn given() -> Value {
    json!({ "season_seconds": 86_400 })
}

/// Noon's value at midnight, for an hour on the eighth day.
fn noon_at_night(time: f64) -> f64 {
    if (8.0 * DAY..8.0 * DAY + 3_600.0).contains(&time) { 60.0 } else { 0.0 }
}

#[test]
fn an_ordinary_value_at_the_wrong_hour_is_found_once() {
    for parameters in [given(), json!({})] {
        let found = found(&parameters, &days(1, 10.0, 2.0, noon_at_night));
        assert_eq!(found.len(), 1, "{parameters}: {found:?}");
        assert!((found[0] - 8.0).abs() < 0.01, "{parameters}: {found:?}");
    }
}

#[test]
fn drift_gaps_and_bursts_are_ordinary() {
    let drifting = |time: f64| time / DAY * 3.0;
    let mut samples = days(2, 20.0, 2.0, drifting);
    samples.retain(|sample| !(9.3..11.7).contains(&day_of(sample)));
    let samples: Vec<Sample> = samples.iter().flat_map(|sample| [*sample, *sample]).collect();
    for parameters in [given(), json!({})] {
        let found = found(&parameters, &samples);
        assert!(found.is_empty(), "{parameters}: {found:?}");
    }
}

#[test]
fn spikes_move_neither_what_is_expected_nor_its_interval() {
    let model = model(&given());
    let mut detector = model.start(0);
    let is_spike = |time: f64| (time + 50_000.0) % 150_000.0 < STEP || (time + 20_000.0) % 150_000.0 < STEP;
    for sample in days(4, 9.0, 2.0, |time| if is_spike(time) { 1e6 } else { 0.0 }) {
        if let Some(expected) = detector.observe(&sample).expected {
            let seconds = day_of(&sample) * DAY;
            assert!((expected.value - shape(seconds)).abs() < 8.0, "{expected:?} on day {}", day_of(&sample));
            assert!(expected.upper - expected.lower < 60.0, "{expected:?} on day {}", day_of(&sample));
        }
    }
}

#[test]
fn a_new_level_is_an_anomaly_at_first_and_believed_at_last() {
    let samples = days(3, 16.0, 2.0, |time| if time > 9.5 * DAY { 60.0 } else { 0.0 });
    let model = model(&given());
    let mut detector = model.start(0);
    let mut begins = Vec::new();
    let mut last = Verdict::default();
    for sample in &samples {
        last = detector.observe(sample);
        begins.extend(last.finding.iter().map(|_| day_of(sample)));
    }
    assert!(begins.first().is_some_and(|day| (day - 9.5).abs() < 0.01), "{begins:?}");
    assert!(begins.iter().all(|day| *day < 11.5), "{begins:?}");
    assert!(
        last.score < Some(0.5) && last.expected.is_some_and(|expected| expected.value > 50.0),
        "{last:?}"
    );
}

#[test]
fn the_interval_holds_its_share_whatever_the_noise() {
    for (parameters, share) in [(json!({ "season_seconds": 86_400, "level": 0.9 }), 0.9), (given(), 0.99)] {
        for noise in [0.1, 2.0, 20.0] {
            let (mut inside, mut all) = (0_u32, 0_u32);
            for seed in 0..4 {
                let mut detector = model(&parameters).start(0);
                for sample in days(seed, 14.0, noise, |_| 0.0) {
                    let Some(expected) = detector.observe(&sample).expected else { continue };
                    all += 1;
                    inside += u32::from((expected.lower..=expected.upper).contains(&sample.value));
                }
            }
            let covered = f64::from(inside) / f64::from(all);
            println!("noise {noise}, level {share}: {covered:.4} of {all}");
            assert!(all > 10_000 && (covered - share).abs() < 0.02, "noise {noise}: {covered}");
        }
    }
}

#[test]
fn it_keeps_still_while_it_learns() {
    let samples = days(5, 3.0, 2.0, |_| 0.0);
    let scores: Vec<bool> = {
        let mut detector = model(&given()).start(0);
        samples.iter().map(|sample| detector.observe(sample).score.is_some()).collect()
    };
    let first = scores.iter().position(|scored| *scored).expect("a score");
    assert!((576..600).contains(&first), "two days: {first}");
    assert!(scores[first..].iter().all(|scored| *scored));
}

#[test]
fn a_false_alarm_widens_the_margin_by_a_quarter() {
    let samples = days(6, 5.0, 2.0, |_| 0.0);
    let model = model(&given());
    let scores = |feedback: Option<Feedback>| {
        let mut detector = model.start(0);
        let last = samples.last().expect("samples");
        let (before, odd) = (&samples[..samples.len() - 1], Sample { value: last.value + 25.0, ..*last });
        for sample in before {
            detector.observe(sample);
        }
        if let Some(feedback) = feedback {
            detector.learn(feedback);
        }
        detector.observe(&odd).score.expect("a score")
    };
    // Of a score of 1 - 0.5 / x, x is how many margins off it is.
    let margins = |score: f64| 0.5 / (1.0 - score);
    let (before, after) = (margins(scores(None)), margins(scores(Some(Feedback::FalseAlarm))));
    assert!(before > 1.25 && (before / after - 1.25).abs() < 1e-9, "{before} {after}");
}

#[test]
fn nonsense_is_refused_by_name() {
    for (parameters, field) in [
        (json!({ "season_seconds": 0 }), "season_seconds"),
        (json!({ "season_seconds": 60, "step_seconds": 60 }), "step_seconds"),
        (json!({ "season_seconds": 86_400, "step_seconds": 1 }), "step_seconds"),
        (json!({ "level": 1 }), "level"),
        (json!({ "margin": 0.5 }), "margin"),
        (json!({ "refit_every": 1 }), "refit_every"),
        (json!({ "warm_up": -1 }), "warm_up"),
        (json!({ "hold_samples": 0 }), "hold_samples"),
        (json!({ "season": 1 }), "season"),
    ] {
        let error = Seasonal.configure(&parameters).expect_err("refused");
        assert_eq!(error.field, field, "{error}");
    }
}

#[test]
fn a_week_in_as_many_steps_as_there_may_be_is_below_the_bound() {
    let mut detector = model(&json!({ "season_seconds": 604_800, "warm_up": 1 })).start(0);
    let mut most = 0;
    for sample in days(8, 40.0, 1.0, |_| 0.0) {
        let verdict = detector.observe(&sample);
        most = most.max(detector.bytes());
        assert!(verdict.finding.is_none(), "{verdict:?}");
    }
    assert!((24 * 1_024..26 * 1_024).contains(&most), "{most} bytes");
}

#[test]
fn a_season_longer_than_the_grid_has_longer_steps() {
    let grid = Grid::new(60_000_000, Some(604_800_000_000), false);
    assert_eq!(grid.season(), Some(1_024));
    assert_eq!(Grid::new(60_000_000, Some(60_000_000), false).season(), Some(1), "none that could be seen");
    let natural = [286, 289, 12, 300].map(|season| Grid::new(300_000_000, None, false).natural(season));
    assert_eq!(natural, [288, 288, 12, 300]);
    assert_eq!((grid::rounded(58_700_000), grid::rounded(77_000_000)), (60_000_000, 77_000_000));
}
