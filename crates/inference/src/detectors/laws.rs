//! What holds for every kind: a line in [`KINDS`] is enough to be held to it.

use std::time::Duration;

use cornjacket_domain::{Sample, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use super::{Detector, Feedback, Finding, KINDS, Kind, Model, Verdict};

/// What a detector takes of memory by default, in bytes; forests are made of samples.
fn most_bytes(kind: &dyn Kind) -> usize {
    if kind.name() == "random_cut_forest" { 320 * 1024 } else { 32 * 1024 }
}

/// Samples at seconds since 1970.
pub(crate) fn watch(samples: impl IntoIterator<Item = (f64, f64)>) -> Vec<Sample> {
    samples
        .into_iter()
        .zip(1..)
        .map(|((seconds, value), position)| {
            let time = Timestamp::default() + Duration::from_secs_f64(seconds);
            Sample { time, position, value }
        })
        .collect()
}

/// With which samples anomalies begin.
pub(crate) fn findings(model: &dyn Model, samples: &[Sample]) -> Vec<usize> {
    let mut detector = model.start(1);
    let verdicts = samples.iter().map(|sample| detector.observe(sample));
    verdicts.enumerate().filter(|(_, verdict)| verdict.finding.is_some()).map(|(index, _)| index).collect()
}

/// `SplitMix64` (Steele, Lea and Flood 2014): numbers for simulations, from 0 up to 1.
#[derive(Debug)]
pub(crate) struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        f64::from(u32::try_from((bits ^ (bits >> 31)) >> 32).unwrap_or_default()) / 4_294_967_296.0
    }

    /// Nearly normal, of mean 0 and deviation 1 (Irwin and Hall: twelve rolls).
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.roll()).sum::<f64>() - 6.0
    }
}

/// A series with a day in it, noise, gaps, bursts and here and there something strange, which may last.
pub(crate) fn eventful(seed: u64, count: usize) -> Vec<Sample> {
    let mut dice = Dice(seed);
    let (mut seconds, mut strange) = (0.0, 0.0);
    watch((0..count).map(|_| {
        seconds += match dice.roll() {
            rare if rare < 0.002 => 40_000.0 * dice.roll(),
            rare if rare < 0.05 => 0.0,
            _ => 240.0 + 120.0 * dice.roll(),
        };
        let day = (seconds / 86_400.0 * std::f64::consts::TAU).sin() * 20.0;
        strange = match dice.roll() {
            rare if rare < 0.004 => 60.0 * dice.normal(),
            lasts if lasts < 0.85 => strange,
            _ => 0.0,
        };
        (seconds, 60.0 + day + dice.normal() + strange)
    }))
}

fn default_model(kind: &dyn Kind) -> Box<dyn Model> {
    kind.configure(&kind.example()).unwrap_or_else(|error| panic!("{}: {error}", kind.name()))
}

/// What is said of a sample, and how long it would wait for the next.
type Said = (Verdict, Option<(Duration, Finding)>);

/// A sample, and a person's word now and then.
fn step(detector: &mut dyn Detector, index: usize, sample: &Sample) -> Said {
    if index % 97 == 96 {
        detector.learn(if index.is_multiple_of(2) { Feedback::FalseAlarm } else { Feedback::Missed });
    }
    (detector.observe(sample), detector.patience())
}

fn run(detector: &mut dyn Detector, samples: &[Sample], from: usize) -> Vec<Said> {
    let rest = samples.iter().enumerate().skip(from);
    rest.map(|(index, sample)| step(detector, index, sample)).collect()
}

/// Equal to the last bit: the text of a float tells all that differ, but for NaN, of which there must be none.
fn assert_same(one: &[Said], other: &[Said], kind: &dyn Kind) {
    assert_eq!(one.len(), other.len());
    for (index, (one, other)) in one.iter().zip(other).enumerate() {
        assert_eq!(format!("{one:?}"), format!("{other:?}"), "{} at {index}", kind.name());
    }
}

#[test]
fn names_differ_and_parameters_make_a_round_trip() {
    for (index, kind) in KINDS.iter().enumerate() {
        assert!(KINDS[..index].iter().all(|other| other.name() != kind.name()), "{}", kind.name());
        let parameters = default_model(*kind).parameters();
        let again = kind.configure(&parameters).unwrap_or_else(|error| panic!("{}: {error}", kind.name()));
        assert_eq!(again.parameters(), parameters, "{}", kind.name());
        for (name, value) in kind.example().as_object().expect("an object") {
            assert_eq!(&parameters[name], value, "{}: {name}", kind.name());
        }
    }
}

#[test]
fn unknown_parameters_are_refused_by_name() {
    for kind in KINDS {
        let mut parameters = kind.example();
        parameters["no_such_field"] = json!(1);
        let error = kind.configure(&parameters).expect_err("refused");
        assert_eq!(error.field, "no_such_field", "{}", kind.name());
        assert!(kind.configure(&json!("text")).is_err(), "{}", kind.name());
    }
}

#[test]
fn scores_and_expectations_are_sound_and_something_is_found() {
    let samples = eventful(7, 6_000);
    for kind in KINDS {
        let verdicts = run(default_model(*kind).start(3).as_mut(), &samples, 0);
        assert!(verdicts.iter().any(|(verdict, _)| verdict.score.is_some()), "{} never scores", kind.name());
        let mut found = 0;
        for (verdict, patience) in &verdicts {
            assert!(verdict.score.is_none_or(|score| (0.0..=1.0).contains(&score)), "{verdict:?}");
            if let Some(expected) = verdict.expected {
                let ordered = expected.lower <= expected.value && expected.value <= expected.upper;
                assert!(ordered, "{}: {expected:?}", kind.name());
            }
            assert!(patience.is_none() || default_model(*kind).minds_silence(), "{}", kind.name());
            for finding in verdict.finding.iter().chain(patience.as_ref().map(|(_, finding)| finding)) {
                found += 1;
                let weights: Vec<f64> = finding.contributions.iter().map(|(_, weight)| *weight).collect();
                assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{finding:?}");
                assert!(weights.is_sorted_by(|one, next| one >= next), "{finding:?}");
            }
        }
        assert!(found > 0, "{} finds nothing", kind.name());
    }
}

#[test]
fn extreme_samples_are_survived() {
    let values = [f64::MAX, f64::MIN, 0.0, -0.0, f64::NAN, f64::INFINITY, 1e-308, -1e300];
    for kind in KINDS {
        let mut detector = default_model(*kind).start(3);
        for index in 0..4_000_u32 {
            let micros = i64::from(index) * 60_000_000;
            let micros = if index < 3_000 { micros } else { i64::MAX - 4_000 + i64::from(index) };
            let value = if index % 7 == 0 {
                values[(index as usize / 7) % values.len()]
            } else {
                f64::from(index % 50)
            };
            let sample = Sample { time: Timestamp::from_micros(micros), position: 1, value };
            let score = detector.observe(&sample).score;
            assert!(score.is_none_or(|score| (0.0..=1.0).contains(&score)), "{}: {score:?}", kind.name());
            assert!(detector.patience().is_none_or(|(after, _)| !after.is_zero()), "{}", kind.name());
        }
    }
}

#[test]
fn memory_is_bounded() {
    let samples = eventful(11, 100_000);
    for kind in KINDS {
        let mut detector = default_model(*kind).start(3);
        let mut most = 0;
        for sample in &samples {
            detector.observe(sample);
            most = most.max(detector.bytes());
        }
        assert!(most <= most_bytes(*kind), "{}: {most} bytes", kind.name());
        let saved = detector.save().len();
        assert!(saved <= most_bytes(*kind), "{}: {saved} bytes saved", kind.name());
    }
}

#[test]
fn damaged_states_are_refused() {
    let samples = eventful(13, 3_000);
    for kind in KINDS {
        let model = default_model(*kind);
        let mut detector = model.start(3);
        run(detector.as_mut(), &samples, 0);
        let state = detector.save();
        assert!(model.restore(&state).is_ok(), "{}", kind.name());
        let stride = (state.len() / 200).max(1);
        for index in (0..state.len()).step_by(stride) {
            assert!(model.restore(&state[..index]).is_err(), "{}: cut at {index}", kind.name());
            let mut flipped = state.clone();
            flipped[index] ^= 1 << (index % 8);
            assert!(model.restore(&flipped).is_err(), "{}: byte {index}", kind.name());
        }
        assert!(model.restore(&[state.as_slice(), &[0]].concat()).is_err(), "{}: longer", kind.name());
        let others = KINDS.iter().filter(|other| other.name() != kind.name());
        assert!(
            others.into_iter().all(|other| default_model(*other).restore(&state).is_err()),
            "{}",
            kind.name()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn what_is_said_follows_from_samples_and_seed_whenever_it_is_saved(
        seed in any::<u64>(),
        every in 2..40_usize,
        from in 0..40_usize,
    ) {
        let samples = eventful(seed, 2_500);
        for kind in KINDS {
            let model = default_model(*kind);
            let whole = run(model.start(seed).as_mut(), &samples, 0);
            let mut moved = model.start(seed);
            let mut pieces = Vec::new();
            for (index, sample) in samples.iter().enumerate() {
                if index % every == from % every {
                    moved = default_model(*kind).restore(&moved.save()).expect("its own state");
                }
                pieces.push(step(moved.as_mut(), index, sample));
            }
            assert_same(&whole, &pieces, *kind);
        }
    }

    #[test]
    fn bytes_that_are_no_state_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for kind in KINDS {
            prop_assert!(default_model(*kind).restore(&bytes).is_err());
        }
    }
}
