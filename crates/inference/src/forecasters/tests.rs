//! What holds of forecasts, on simulated series.

pub(crate) use crate::detectors::laws::Dice;

use super::*;

const SEASON: usize = 12;
const LEVELS: [f64; 4] = [0.5, 0.8, 0.9, 0.95];

/// A season about a level that wanders a little, with noise.
fn simulated(seed: u64, count: u16, noise: f64) -> Vec<f64> {
    let mut dice = Dice(seed.wrapping_mul(7_919));
    let shape: Vec<f64> = (0..SEASON).map(|_| 10.0 * dice.normal()).collect();
    let slope = 0.05 * dice.normal();
    let mut level = 100.0;
    (0..usize::from(count))
        .map(|step| {
            level += slope + 0.1 * noise * dice.normal();
            level + shape[step % SEASON] + noise * dice.normal()
        })
        .collect()
}

fn error_of(points: impl Iterator<Item = f64>, future: &[f64]) -> f64 {
    points.zip(future).map(|(point, value)| (point - value).abs()).sum()
}

/// Split-conformal intervals cover what they say, and what is chosen errs less than seasonal naive: over all noises and
/// horizons, and for each.
#[test]
fn intervals_cover_what_they_say_and_errors_are_at_most_the_seasonal_naive_ones() {
    for (noise, horizon) in [(0.5, 6), (2.0, 24), (8.0, 12)] {
        let (mut covered, mut all, mut error, mut naive) = (0_u32, 0_u32, 0.0, 0.0);
        for seed in 1..=50 {
            let series = simulated(seed, 144 + 24, noise);
            let (history, future) = series.split_at(144);
            let asked = Asked { horizon, levels: &LEVELS };
            let forecast = choose(history, SEASON, asked).expect("a forecast");
            for (step, value) in forecast.steps.iter().zip(future) {
                let interval = step.intervals[2];
                covered += u32::from((interval.lower..=interval.upper).contains(value));
                all += 1;
            }
            error += error_of(forecast.steps.iter().map(|step| step.value), &future[..horizon]);
            let points = seasonal_naive::SeasonalNaive.points(history, SEASON, horizon).expect("points");
            naive += error_of(points.into_iter(), &future[..horizon]);
        }
        let coverage = f64::from(covered) / f64::from(all);
        println!(
            "noise {noise}, horizon {horizon}: coverage {coverage:.3}, error {:.3} of naive",
            error / naive
        );
        assert!((0.85..=0.95).contains(&coverage), "noise {noise}, horizon {horizon}: {coverage}");
        assert!(error <= naive, "noise {noise}, horizon {horizon}: {error} above {naive}");
    }
}

/// What a level grows by without a season, on its own and by much of the time.
fn wandering(seed: u64, count: usize) -> Vec<f64> {
    let mut dice = Dice(seed.wrapping_mul(104_729));
    let (mut level, mut slope) = (50.0, 0.0);
    let mut next = || {
        slope = 0.9 * slope + 0.3 * dice.normal();
        level += slope;
        level + 0.5 * dice.normal()
    };
    (0..count).map(|_| next()).collect()
}

/// Part of a wave of 96 steps, in which no season shows yet.
fn clean(seed: u64, count: usize) -> Vec<f64> {
    let mut phase = Dice(seed.wrapping_mul(15_485_863)).normal() * 10.0;
    let mut next = || {
        phase += std::f64::consts::TAU / 96.0;
        20.0 + 5.0 * phase.sin()
    };
    (0..count).map(|_| next()).collect()
}

/// Where few origins tell how wide they must be, or near ones that all err alike, the first step's intervals hold what they say.
#[test]
fn few_origins_make_no_first_interval_too_narrow() {
    /// By seed and length.
    type Series = fn(u64, usize) -> Vec<f64>;
    const SEEDS: u32 = 100;
    let noisy: Series = |seed, count| simulated(seed, u16::try_from(count).expect("few"), 2.0);
    let kinds: [(&str, usize, Series, usize); 6] = [
        ("noisy", SEASON, noisy, 46),
        ("noisy", SEASON, noisy, 56),
        ("wandering", 1, wandering, 40),
        ("wandering", 1, wandering, 300),
        ("clean", 1, clean, 60),
        ("clean", 1, clean, 110),
    ];
    for (kind, season, series, count) in kinds {
        let mut covered = [0_u32; 2];
        for seed in 1..=u64::from(SEEDS) {
            let series = series(seed, count + 1);
            let asked = Asked { horizon: 8, levels: &[0.5, 0.9] };
            let forecast = choose(&series[..count], season, asked).expect("a forecast");
            for (covered, interval) in covered.iter_mut().zip(&forecast.steps[0].intervals) {
                *covered += u32::from((interval.lower..=interval.upper).contains(&series[count]));
            }
        }
        let [half, most] = covered.map(|covered| f64::from(covered) / f64::from(SEEDS));
        println!("{kind}, {count} steps: {half:.2} and {most:.2}");
        assert!(half >= 0.4 && most >= 0.87, "{kind}, {count} steps: {half} and {most}");
        assert!(half < most, "{kind}, {count} steps: all levels have one interval");
    }
}

#[test]
fn every_forecaster_says_the_same_of_the_same_series_and_nests_its_intervals() {
    let history = simulated(3, 120, 1.0);
    let asked = Asked { horizon: 9, levels: &LEVELS };
    for forecaster in FORECASTERS {
        let forecast = || forecast(*forecaster, &history, SEASON, asked).expect("a forecast");
        assert_eq!(forecast(), forecast());
        let forecast = forecast();
        assert_eq!(forecast.steps.len(), 9);
        for step in &forecast.steps {
            assert!(
                step.intervals.is_sorted_by(|one, next| one.upper <= next.upper && one.lower >= next.lower)
            );
        }
    }
}

#[test]
fn nonsense_short_and_extreme_series_are_errors() {
    let history = simulated(3, 120, 1.0);
    for asked in [
        Asked { horizon: 0, levels: &[] },
        Asked { horizon: MOST_STEPS + 1, levels: &[] },
        Asked { horizon: 1, levels: &[1.0] },
        Asked { horizon: 1, levels: &[0.9, 0.5] },
        Asked { horizon: 1, levels: &[f64::NAN] },
    ] {
        assert!(matches!(choose(&history, SEASON, asked), Err(ForecastError::Asked { .. })), "{asked:?}");
    }
    let asked = Asked { horizon: 6, levels: &LEVELS };
    assert!(matches!(choose(&history[..20], SEASON, asked), Err(ForecastError::TooShort { .. })));
    assert!(choose(&[f64::NAN; 100], 1, asked).is_err());
    for values in [[1e300, -1e300], [5.0, 5.0], [0.0, 1e-300]] {
        for season in [0, 1, 2] {
            let forecast = choose(&values.repeat(50), season, asked).expect("seasonal naive at least");
            assert!(forecast.steps.iter().all(|step| step.value.is_finite()), "{values:?}");
        }
    }
}

/// A series drifts towards a limit; each step it is asked anew. Before it crosses the limit, that was announced, and as
/// possible by a time before it happened.
#[test]
fn an_expected_breach_precedes_the_actual_one() {
    let (mut announced, mut early, mut runs) = (0, 0, 0);
    for seed in 1..=20 {
        let mut dice = Dice(seed);
        let series: Vec<f64> = (0..400_u16).map(|step| f64::from(step) * 0.25 + dice.normal()).collect();
        let limit = 30.0;
        let actual = series.iter().position(|value| *value > limit).expect("it drifts over it");
        let origin = actual - 15;
        let asked = Asked { horizon: 30, levels: &LEVELS };
        let breach =
            breach::breach(&choose(&series[..origin], 1, asked).expect("a forecast"), Limit::Upper(limit));
        runs += 1;
        announced += u32::from(breach.expected.is_some() && breach.probability >= 0.5);
        early += u32::from(breach.earliest.is_some_and(|step| origin + step <= actual));
    }
    println!("{announced} of {runs} announced, {early} early");
    assert!(announced >= runs * 9 / 10, "{announced} of {runs} announced");
    assert!(early >= runs * 8 / 10, "{early} of {runs} early");
}
