//! How long the season of a series is: where its autocorrelation peaks (Box and Jenkins 1970).

/// How strong the autocorrelation of a season is at least: half of what varies is the season.
const LEAST: f64 = 0.5;
/// By how much the autocorrelation has fallen before it peaks: what peaks from less is no season but slow change.
const FALL: f64 = 0.25;
/// What is nearly as strong as the best is preferred, if it is shorter: multiples of a season are seasons as well.
const NEARLY: f64 = 0.9;
/// How many seasons must be there to be found.
const SEASONS: usize = 2;
/// A season is looked for within such a part of it: a sixteenth.
const REACH: usize = 16;
/// The shortest series that is looked at.
const FEWEST: usize = 32;

/// The season of a regular series in steps, if it has one of which it shows two or more. Costs n²/2 multiplications.
pub fn find(values: &[f64]) -> Option<usize> {
    if values.len() < FEWEST {
        return None;
    }
    let level = without_line(values);
    let correlations = correlations(&level, values.len() / SEASONS)?;
    let mut lowest = f64::INFINITY;
    // Where a correlation is high after all that was low, per lag: before it fell there is no peak.
    let is_peak: Vec<bool> = correlations
        .iter()
        .map(|correlation| {
            lowest = lowest.min(*correlation);
            *correlation >= LEAST && correlation - lowest >= FALL
        })
        .collect();
    let peaks = correlations.iter().copied().enumerate().filter(|(lag, _)| is_peak[*lag]);
    let best = peaks.reduce(|best, next| if next.1 > best.1 { next } else { best });
    let (longest, highest) = best?;
    // The last lag may only be on the way to a peak.
    if longest + 1 == correlations.len() {
        return None;
    }
    let parts = (2..=longest / 2).rev().map(|parts| peak_near(&correlations, longest / parts));
    let shorter =
        parts.flatten().find(|(lag, correlation)| is_peak[*lag] && *correlation >= NEARLY * highest);
    Some(sharpest(&level, shorter.map_or(longest, |(lag, _)| lag)))
}

/// The season near one that was found in less of the series, if it is still one.
pub fn near(values: &[f64], season: usize) -> Option<usize> {
    let most = (season + (season / REACH).max(1) + 1).min(values.len().saturating_sub(1));
    let level = without_line(values);
    let correlations = correlations(&level, most)?;
    let peak = peak_near(&correlations, season).filter(|(_, correlation)| *correlation >= LEAST);
    peak.map(|(lag, _)| sharpest(&level, lag))
}

/// The highest correlation within a sixteenth of a lag, if it is a peak there.
fn peak_near(correlations: &[f64], lag: usize) -> Option<(usize, f64)> {
    let reach = (lag / REACH).max(1);
    let (low, high) =
        (lag.saturating_sub(reach).max(2), (lag + reach).min(correlations.len().checked_sub(2)?));
    let best = (low..=high).max_by(|one, other| correlations[*one].total_cmp(&correlations[*other]))?;
    let neighbours = correlations[best - 1].max(correlations[best + 1]);
    (correlations[best] >= neighbours).then_some((best, correlations[best]))
}

/// Without the line from the mean of its first half to that of its second.
#[expect(clippy::cast_precision_loss, reason = "a series has fewer than 2^52 steps")]
fn without_line(values: &[f64]) -> Vec<f64> {
    let count = values.len() as f64;
    let middle = (count - 1.0) / 2.0;
    let mean = values.iter().map(|value| value / count).sum::<f64>();
    let offsets = || (0..values.len()).map(|index| index as f64 - middle);
    let covariance = offsets().zip(values).map(|(offset, value)| offset * (value - mean)).sum::<f64>();
    let slope = covariance / offsets().map(|offset| offset * offset).sum::<f64>();
    offsets().zip(values).map(|(offset, value)| value - mean - slope * offset).collect()
}

/// The autocorrelations at lags 0 to `most`, unbiased; nothing if the series is constant.
#[expect(clippy::cast_precision_loss, reason = "a series has fewer than 2^52 steps")]
fn correlations(values: &[f64], most: usize) -> Option<Vec<f64>> {
    let at = |lag: usize| {
        let later = &values[lag..];
        product(&values[..later.len()], later) / later.len() as f64
    };
    let variance = at(0);
    let varies = variance.is_finite() && variance > f64::MIN_POSITIVE;
    varies.then(|| (0..=most).map(|lag| at(lag) / variance).collect())
}

/// The season within a sixteenth of one that was found at which the series repeats itself best. Autocorrelations have one mean and
/// variance for all lags, so that what makes no whole season at the ends moves their peak by a step or more.
fn sharpest(values: &[f64], season: usize) -> usize {
    let reach = (season / REACH).max(1);
    let lags = season.saturating_sub(reach).max(2)..=(season + reach).min(values.len() - 2);
    let likeness = lags.map(|lag| (lag, likeness(values, lag)));
    likeness.reduce(|best, next| if next.1 > best.1 { next } else { best }).map_or(season, |(lag, _)| lag)
}

/// How like itself a series is a lag later: the correlation (Pearson) of the two about the means of each, 1 where it repeats
/// exactly, wherever it begins and ends and whatever line was taken off.
#[expect(clippy::cast_precision_loss, reason = "a series has fewer than 2^52 steps")]
fn likeness(values: &[f64], lag: usize) -> f64 {
    let (later, count) = (&values[lag..], (values.len() - lag) as f64);
    let earlier = &values[..later.len()];
    let about_its_mean = |values: &[f64]| {
        let mean = values.iter().map(|value| value / count).sum::<f64>();
        values.iter().map(|value| value - mean).collect::<Vec<f64>>()
    };
    let (earlier, later) = (about_its_mean(earlier), about_its_mean(later));
    let scale = (product(&earlier, &earlier) * product(&later, &later)).sqrt();
    if scale > f64::MIN_POSITIVE { product(&earlier, &later) / scale } else { 0.0 }
}

/// The scalar product, in four sums, which a processor adds up at a time.
fn product(one: &[f64], other: &[f64]) -> f64 {
    let (fours, rest) = one.as_chunks::<4>();
    let (other_fours, other_rest) = other.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for (four, other) in fours.iter().zip(other_fours) {
        for (sum, (value, other)) in sums.iter_mut().zip(four.iter().zip(other)) {
            *sum += value * other;
        }
    }
    let rest: f64 = rest.iter().zip(other_rest).map(|(value, other)| value * other).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use super::super::tests::Dice;
    use super::*;

    fn series(count: u32, of: impl Fn(f64) -> f64, noise: f64) -> Vec<f64> {
        let mut dice = Dice(u64::from(count));
        (0..count).map(|index| of(f64::from(index)) + noise * dice.normal()).collect()
    }

    #[test]
    fn a_season_is_found_in_noise_and_on_a_slope() {
        for season in [7_u32, 12, 24, 96, 288] {
            let wave = |x: f64| (x / f64::from(season) * std::f64::consts::TAU).sin() * 10.0;
            for (of, noise) in [
                (Box::new(wave) as Box<dyn Fn(f64) -> f64>, 0.0),
                (Box::new(wave), 4.0),
                (Box::new(move |x| wave(x) + x * 0.02), 3.0),
                (
                    Box::new(
                        move |x| if x % f64::from(season) < f64::from(season) / 4.0 { 20.0 } else { 0.0 },
                    ),
                    2.0,
                ),
            ] {
                let found = find(&series(season * 5, of, noise)).unwrap_or_default();
                let tolerance = usize::try_from(season).expect("small") / 24;
                assert!(found.abs_diff(season as usize) <= tolerance, "{season}: {found}");
            }
        }
    }

    /// Wherever it begins and ends, and on any slope.
    #[test]
    fn clean_waves_have_exactly_their_season() {
        for season in [7_u32, 12, 24, 60, 96, 97, 288] {
            for (quarters, phase, slope) in
                [(8, 0.0, 0.0), (9, 1.0, 0.0), (10, 2.5, 0.01), (15, 4.0, -0.3), (21, 5.5, 0.02)]
            {
                let turn = std::f64::consts::TAU / f64::from(season);
                let wave = |x: f64| 20.0 + 5.0 * (x * turn + phase).sin() + slope * x;
                let count = season * quarters / 4 + 9;
                let found = find(&series(count.max(36), wave, 0.0));
                assert_eq!(found, usize::try_from(season).ok(), "{season}: {count} from {phase} by {slope}");
            }
        }
    }

    #[test]
    fn none_is_found_where_there_is_none() {
        assert_eq!(find(&series(1_000, |_| 0.0, 1.0)), None, "noise");
        assert_eq!(find(&series(1_000, |x| x, 1.0)), None, "a line");
        assert_eq!(find(&series(1_000, |_| 5.0, 0.0)), None, "a constant");
        assert_eq!(find(&[f64::MAX, f64::MIN].repeat(32)), None, "what cannot be added up");
    }
}
